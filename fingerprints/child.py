"""The process that decodes: bytes in, fingerprints out, and nothing else within its reach.

Executed afresh by `isolated.IsolatedFingerprinter`, with a socket as its standard input. It
loads all it will ever need, confines itself (see `confinement`), says what is in force, and only
then takes the first untrusted byte.
"""

import gc
import importlib
import io
import json
import os
import socket
import struct
from collections.abc import Iterator
from types import ModuleType

import numpy as np
from PIL import AvifImagePlugin, Image

from ingestgate.assets.errors import GateError
from ingestgate.assets.verdict import Reason
from ingestgate.fingerprints.confinement import confine, end_with_parent
from ingestgate.fingerprints.fingerprinter import Fingerprint, Fingerprinter
from ingestgate.fingerprints.limits import DecodeLimits
from ingestgate.fingerprints.perceptual import perceptual_hashes
from ingestgate.fingerprints.protocol import (
    NONCE_BYTES,
    AnswerForm,
    ProtocolError,
    read_request,
    receive,
    send,
)
from ingestgate.fingerprints.selftest import self_test
from ingestgate.fingerprints.shared_bytes import map_shared
from ingestgate.fingerprints.unscannable import Unscannable

SETUP_BYTES = 1 << 20  # far more than names and limits take

# What Pillow imports only when a picture needs it; no file can be opened by then.
_LATE = ("ImageCms", "ImageColor", "ImageFile", "ImageFilter", "ImagePalette", "TiffImagePlugin")

# What the policy allows does not matter to pictures that are made here.
_WARM_UP_LIMITS = DecodeLimits()


def main() -> None:
    """Serves fingerprints until the gate closes the socket."""
    end_with_parent()
    with socket.socket(fileno=0) as channel:
        received = receive(channel, SETUP_BYTES)
        if received is None:
            return
        setup, shared = map(json.loads, received[1])
        memory = map_shared(*shared)
        names = setup["names"]
        formats = frozenset(setup["limits"].pop("formats"))
        limits = DecodeLimits(**setup["limits"], formats=formats)
        # SciPy asks for all of NumPy, and so for a compiler of Fortran: a tenth of the start.
        vars(np).setdefault("f2py", ModuleType("numpy.f2py"))
        try:
            fingerprinter = Fingerprinter(names, limits)
            _load(Fingerprinter(names, _WARM_UP_LIMITS))
            gc.freeze()  # what is loaded by now stays: collections need not look at it
            gc.enable()
            _mute()
            measures = confine(limits.max_memory)
            self_test.cache_clear()  # what decodes is this process as it now is
            self_test()
        except GateError as error:
            send(channel, bytes(NONCE_BYTES), [json.dumps({"problem": str(error)}).encode()])
            return
        form = AnswerForm.of([perceptual_hashes()[name] for name in names], limits)
        send(channel, bytes(NONCE_BYTES), [json.dumps({"measures": measures}).encode()])
        while request := receive(channel, setup["longest_request"]):
            nonce, items = request
            exact, contents = read_request(items, memory)
            outcomes = fingerprinter.fingerprint_many(contents, exact=exact)
            send(channel, nonce, [_answer(form, outcome) for outcome in outcomes])


def _answer(form: AnswerForm, outcome: Fingerprint | Unscannable) -> bytes:
    try:
        return form.encode(outcome)
    except (ProtocolError, struct.error):  # a plug-in's views are not what it said they are
        return form.encode(Unscannable(Reason.INTERNAL_ERROR, "a hash returned no valid views"))


def _load(fingerprinter: Fingerprinter) -> None:
    """Loads every module and kernel that a picture may need, while files can be opened."""
    Image.init()
    for module in _LATE:
        importlib.import_module(f"PIL.{module}")
    AvifImagePlugin.DEFAULT_MAX_THREADS = 1  # threads cannot be started any more
    self_test()
    for picture in _pictures():
        for format in ("PPM", "JPEG"):  # only of a JPEG is luma had the quick way
            sink = io.BytesIO()
            picture.save(sink, format)
            for exact in (False, True):
                # Where a plug-in fails, it will fail on assets, and they will be held.
                fingerprinter.fingerprint_many([sink.getvalue()], exact=exact)


def _pictures() -> Iterator[Image.Image]:
    """Yields pictures that reach every kernel: flat, noisy, with a border, of odd shapes.

    None that is large: with one of those, a `Fingerprinter` has begun.
    """
    for height, width in ((600, 700), (40, 40), (3, 3), (600, 5), (5, 600)):
        noise = Image.effect_noise((width, height), 90.0)
        yield Image.new("L", noise.size)
        yield noise
        yield noise.convert("RGB")
        bordered = Image.new("L", (width + 20, height + 20), 255)
        bordered.paste(noise, (10, 10))
        yield bordered


def _mute() -> None:
    """Sends what decoders and plug-ins print to nowhere: it may quote assets."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for descriptor in (1, 2):
        os.dup2(nowhere, descriptor)


if __name__ == "__main__":
    main()
