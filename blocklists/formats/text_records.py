"""What line formats share: which lines count, and how the first of them tells a format."""

from collections.abc import Iterator
from typing import BinaryIO

from ingestgate.blocklists.lines import is_comment, plain_lines, unseparated


def data_lines(
    path: str, source: BinaryIO, remarks: str = "#", *, separators: bool = True
) -> Iterator[tuple[str, str]]:
    """Yields place (``line 7``) and text of each line that is neither blank nor a remark.

    Args:
        path: Where the file lies, for messages.
        source: The file.
        remarks: What remarks begin with, each character one way.
        separators: Whether each line may end as a table's row does, in a comma and another column.

    Raises:
        ListError: A line is not text, or several, or each ends as a table's row does.
    """
    lines = plain_lines(path, source)
    for number, line in lines if separators else unseparated(path, lines):
        text = line.strip()
        if text and text[0] not in remarks:
            yield f"line {number}", text


def first_lines(head: bytes) -> list[str]:
    """Returns the lines that begin a file and count, for detection; without the last, cut one."""
    lines = head.decode("utf-8-sig", "replace").splitlines()
    whole = lines[:-1] if len(lines) > 1 else lines
    return [line.strip() for line in whole if line.strip() and not is_comment(line)]
