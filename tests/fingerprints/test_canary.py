import hashlib
import io

import numpy as np
from PIL import Image

from ingestgate.assets.verdict import SignalKind
from ingestgate.blocklists.canaries import PICTURE
from ingestgate.blocklists.signals import signal_type
from ingestgate.fingerprints.canary import FORMAT, HEIGHT, WIDTH, canary_picture
from ingestgate.fingerprints.fingerprinter import Fingerprinter
from ingestgate.fingerprints.limits import DecodeLimits


def test_it_is_a_picture_that_others_read() -> None:
    with Image.open(io.BytesIO(canary_picture())) as picture:
        picture.load()
        assert (picture.format, picture.size, picture.mode) == (FORMAT, (WIDTH, HEIGHT), "RGB")
        assert np.asarray(picture)[40, 50].tolist() == [250, 210, 30]


def test_its_digests_are_those_written_down() -> None:
    for name in ("md5", "sha1", "sha256", "sha512"):
        assert hashlib.new(name, canary_picture()).hexdigest() == PICTURE[name]


def test_its_hashes_are_those_written_down() -> None:
    names = [name for name in PICTURE if signal_type(name).kind is SignalKind.PERCEPTUAL]
    found = Fingerprinter(names, DecodeLimits()).fingerprint(canary_picture())
    assert found.low_quality == frozenset()
    for name in names:
        view = found.perceptual[name][0]
        assert view.hashes[: signal_type(name).width].hex() == PICTURE[name], name
