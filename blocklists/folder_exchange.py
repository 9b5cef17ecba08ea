"""A plain folder that a partner puts files into: each new or changed one is a page."""

import os
import posixpath
import re
from collections.abc import Iterator, Mapping

from pydantic import JsonValue

from ingestgate.assets import storage
from ingestgate.assets.errors import StorageError, UsageError
from ingestgate.blocklists.exchange import Page, UnsettledError, Window

_CHUNK = 1 << 20
_SUFFIX = re.compile(r"\.[A-Za-z0-9]{1,16}")


class FolderExchange:
    """Brings a folder's files, in the order of their names, each once in a window.

    The folder is listed once, so that a window ends even if files do not rest. What comes or
    changes meanwhile is the next window's.

    Args:
        folder: Which folder.
    """

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._listed: Iterator[storage.Entry] | None = None
        self.name = f"folder {storage.absolute(folder)}"

    def page(self, since: JsonValue, window: Window) -> Page | None:
        """Returns the next file that is not known; see `Exchange.page`."""
        known = window.state if window.pages else since
        known = known if isinstance(known, dict) else {}
        if self._listed is None:
            self._listed = iter(storage.walk(self._folder))
        file = next(self._unknown(known, self._listed), None)
        if file is None:
            self._listed = None
            return None
        mark = _mark(file)
        suffix = posixpath.splitext(file.path)[1]
        return Page(
            _content(file, mark),
            suffix if _SUFFIX.fullmatch(suffix) else "",  # it is the partner's, and may be anything
            str(window.pages + 2),  # which file that is may change until it is asked for
            {**known, self._key(file): mark},
        )

    def _unknown(
        self, known: Mapping[str, JsonValue], listed: Iterator[storage.Entry]
    ) -> Iterator[storage.Entry]:
        """Yields what is new or changed of the files that were listed and are left."""
        for file in listed:
            if known.get(self._key(file)) != _mark(file) and storage.exists(file.path):
                yield file

    def _key(self, file: storage.Entry) -> str:
        """Returns a file's name below the folder; as a checkpoint can hold it, whatever it is."""
        name = file.path[len(self._folder.rstrip("/")) + 1 :].replace("\\", "\\\\")
        return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def refuse_within(to: str, folder: str) -> None:
    """Refuses to fetch into the very folder: each page would be a new file of it, without end.

    Raises:
        UsageError: One lies in the other.
    """
    if f"{storage.resolved(to)}/".startswith(f"{storage.resolved(folder)}/"):
        raise UsageError(f"{to}: lies in {folder}, which is fetched; name a folder outside")


def _mark(file: storage.Entry) -> str:
    """Returns what a file has otherwise once it is another one.

    Who puts a file in another's place may give it the same size and time; on a disk, when that
    was done cannot be chosen.
    """
    if storage.is_remote(file.path):
        return f"{file.size} {file.mark}"
    try:
        return f"{file.size} {file.mark} {os.stat(file.path).st_ctime_ns}"
    except OSError:
        return ""  # gone


def _content(file: storage.Entry, mark: str) -> Iterator[bytes]:
    size = 0
    with storage.open_read(file.path) as source:
        while part := source.read(_CHUNK):
            size += len(part)
            if size > file.size:
                raise UnsettledError
            yield part
    try:
        after = storage.status(file.path)
    except StorageError:
        raise UnsettledError from None
    if size != file.size or _mark(after) != mark:
        raise UnsettledError
