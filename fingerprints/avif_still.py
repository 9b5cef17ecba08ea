"""The still beside an AVIF's image sequence.

A file of the brand ``avis`` holds a sequence and, as a rule, an image of its own for readers that
show no sequences. libavif decodes the one that the brand names, and nothing says that the two show
the same: one that is listed could lie behind one that is not.
"""

from collections.abc import Iterator

_BRAND = slice(8, 12)  # the major one, behind the first box's size and type
_IMAGE, _SEQUENCE = b"avif", b"avis"


def _boxes(content: bytes) -> Iterator[bytes]:
    """Yields the types of the boxes of the file (ISO/IEC 14496-12), as far as they are whole."""
    start = 0
    while start + 8 <= len(content):
        size = int.from_bytes(content[start : start + 4], "big")
        if size == 1:  # it is said behind the type
            size = int.from_bytes(content[start + 8 : start + 16], "big")
        yield content[start + 4 : start + 8]
        if size == 0:  # to the end
            return
        start += max(size, 8)


def has_unnamed_sequence(content: bytes) -> bool:
    """Whether an AVIF whose brand names an image has a sequence, too, which is not decoded."""
    return content[_BRAND] == _IMAGE and b"moov" in _boxes(content)


def still_of(content: bytes) -> bytes | None:
    """Returns an AVIF of a sequence as one of its still; None if it has not both."""
    boxes = set(_boxes(content))
    if content[_BRAND] == _IMAGE or not {b"moov", b"meta"} <= boxes:
        return None
    return content[: _BRAND.start] + _IMAGE + content[_BRAND.stop :]
