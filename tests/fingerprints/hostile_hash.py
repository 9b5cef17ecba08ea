"""A plug-in that does what a picture's width of 101 and its height say."""

import ctypes
import os
import resource
import socket
import struct
import sys
import threading

from ingestgate.assets.perceptual_view import PerceptualView
from ingestgate.fingerprints.views import Picture

WIDTH = 101
FIRST_HEIGHT = 20
STARTED_IN = os.getcwd()


def _raise() -> None:
    raise ValueError("secret content")


def _hang() -> None:
    while True:
        pass


def _forge() -> None:
    """Answers in time and in form, but to no question."""
    os.write(0, struct.pack("<8sQ", bytes(8), 0))


ACTIONS = {
    "exit": lambda: os._exit(0),
    "crash": lambda: ctypes.string_at(0),
    "abort": os.abort,
    "hang": _hang,
    "allocate": lambda: bytearray(b"x") * (4 << 30),
    "babble": lambda: os.write(0, b"nonsense" * 1000),
    "forge": _forge,
    "raise": _raise,
    "print": lambda: print("noise", file=sys.stderr),
    "read": lambda: os.open("/etc/hostname", os.O_RDONLY),
    "write": lambda: os.open("/dev/null", os.O_WRONLY),
    "environment": lambda: os.open(f"/proc/{os.getppid()}/environ", os.O_RDONLY),
    "socket": socket.socket,
    "fork": os.fork,
    "execute": lambda: os.execv("/bin/true", ["true"]),
    "thread": lambda: threading.Thread(target=int).start(),
    "signal": lambda: os.kill(os.getppid(), 0),
    "limit": lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (9, 9)),
    "duplicate": lambda: os.dup(0),
}


def height(action: str) -> int:
    return FIRST_HEIGHT + list(ACTIONS).index(action)


class Hostile:
    name = "hostile"
    bits = 16
    default_threshold = 0
    min_quality = None
    orientations = 1
    colour = False
    margin = 0

    def compute(self, picture: Picture) -> list[PerceptualView]:
        rows, columns = picture.luma.shape
        if columns == WIDTH and rows >= FIRST_HEIGHT:
            list(ACTIONS.values())[rows - FIRST_HEIGHT]()
        facts = bytes(["A_SECRET" in os.environ, STARTED_IN == "/"])
        return [PerceptualView(picture.frame, picture.view("full"), -1, facts)]


class Misshapen(Hostile):
    name = "misshapen"

    def compute(self, picture: Picture) -> list[PerceptualView]:
        return [PerceptualView(picture.frame, "full", -1, b"three")]
