"""Names under which a sample's files are sealed, and opened: safe to unpack, and unique."""

import hashlib
import re
from collections.abc import Iterable

#: Controls (C0, DEL, C1), breaks of a line, and marks that turn the direction of writing.
_UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f\\:\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
#: File systems take names of 255 bytes; a number has to fit in as well.
_MOST_NAME_BYTES = 200
#: Of the 4,096 bytes of a path, elsewhere 1,024, the rest is for where it is unpacked.
_MOST_PATH_BYTES = 600
_MOST_SUFFIX_BYTES = 20


def packed(files: Iterable[tuple[str, bytes]]) -> list[tuple[str, bytes]]:
    """Returns the files under safe relative names, each name once.

    Names stay as they are where they can: no leading ``/``, no ``.`` or ``..`` component, no
    control characters, no marks that turn the direction of writing. What is too long for a file
    system is cut, and gets a digest of what it was. The second of a name becomes
    ``stem~2.suffix``; so does what would be a file and a folder.
    """
    names = _Names()
    return [(names.place(_safe(name)), content) for name, content in files]


class _Names:
    """The names that files have got, and the folders they lie in."""

    def __init__(self) -> None:
        self._is_folder: dict[str, bool] = {}
        self._numbers: dict[tuple[str, bool], int] = {}

    def place(self, name: str) -> str:
        """Returns the name that a file gets: no other's, and below no other file."""
        *folders, base = name.split("/")
        path = ""
        for folder in folders:
            path = self._free(path + folder, folder=True) + "/"
        return self._free(path + base, folder=False)

    def _free(self, path: str, *, folder: bool) -> str:
        # Where the last search ended: the many files of one name are not counted anew each.
        number = self._numbers.get((path, folder), 1)
        while not self._has_room(unique := _numbered(path, number), folder=folder):
            number += 1
        self._numbers[path, folder] = number
        self._is_folder[unique] = folder
        return unique

    def _has_room(self, path: str, *, folder: bool) -> bool:
        return path not in self._is_folder or (folder and self._is_folder[path])


def _numbered(path: str, number: int) -> str:
    if number == 1:
        return path
    parent, slash, base = path.rpartition("/")
    stem, dot, suffix = base.partition(".")
    return f"{parent}{slash}{stem}~{number}{dot}{suffix}"


def _safe(name: str) -> str:
    parts = [part for part in _UNSAFE.sub("_", name).split("/") if part not in ("", ".", "..")]
    path = "/".join(_cut(part) for part in parts) or "unnamed"
    if len(_raw(path)) > _MOST_PATH_BYTES:
        folder, _, base = path.rpartition("/")
        return f"{_digest(folder)}/{base}"
    return path


def _cut(part: str) -> str:
    raw = _raw(part)
    if len(raw) <= _MOST_NAME_BYTES:
        return part
    _, dot, suffix = part.rpartition(".")
    if len(_raw(suffix)) > _MOST_SUFFIX_BYTES:
        dot = suffix = ""
    room = _MOST_NAME_BYTES - len(_raw(f"~{_digest(part)}{dot}{suffix}"))
    return f"{raw[:room].decode(errors='ignore')}~{_digest(part)}{dot}{suffix}"


def _raw(text: str) -> bytes:
    # Names need not be Unicode; this takes all of them, and counts no fewer bytes than they have.
    return text.encode(errors="surrogatepass")


def _digest(text: str) -> str:
    return hashlib.sha256(_raw(text)).hexdigest()[:16]
