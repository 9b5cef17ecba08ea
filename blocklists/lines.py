"""Lines of UTF-8 text files, strictly read: errors name file and line, and never show it."""

from collections.abc import Iterator
from typing import BinaryIO

from ingestgate.assets.errors import ListError

MAX_LINE = 1 << 16
BLANK = " \t\r\n"


def text_lines(path: str, source: BinaryIO) -> Iterator[tuple[int, str]]:
    """Yields the lines of a UTF-8 file with their numbers, from 1 on.

    Raises:
        ListError: A line is not UTF-8, or longer than `MAX_LINE` bytes.
    """
    for number, raw in enumerate(iter(lambda: source.readline(MAX_LINE + 1), b""), 1):
        if len(raw) > MAX_LINE:
            raise ListError(f"{path}, line {number}, row: longer than {MAX_LINE} bytes")
        try:
            yield number, raw.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError:  # which carries the line: do not chain it
            raise ListError(f"{path}, line {number}, row: not UTF-8 text") from None


def plain_lines(path: str, source: BinaryIO) -> Iterator[tuple[int, str]]:
    """Does `text_lines` for files of which each line is one thing.

    Raises:
        ListError: As there; or a carriage return stands within a line, as where it is what ends
            lines: all of the file would be one, and one remark if it begins with one.
    """
    for number, text in text_lines(path, source):
        if "\r" in text.rstrip("\r\n"):
            raise ListError(
                f"{path}, line {number}, row: holds a carriage return; save the file with line "
                "feeds at the ends of its lines"
            )
        yield number, text


def is_comment(text: str) -> bool:
    """Whether a line holds nothing, or a remark that starts with ``#``."""
    text = text.strip(BLANK)
    return not text or text.startswith("#")
