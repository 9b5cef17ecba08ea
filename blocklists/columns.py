"""Arrow columns of text into what matching wants, vectorised: hex decoded, hosts cut out."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ingestgate.assets.errors import UsageError
from ingestgate.blocklists.sources import SAYS_SOURCE

# A URL whose host can be cut out without parsing: what follows it cannot change it. Everything
# else (credentials, backslashes, tabs, other schemes, other alphabets...) is parsed whole.
_PLAIN_URL = (
    r"\A[hH][tT][tT][pP][sS]?://"
    r"(?P<host>[A-Za-z0-9_\-]+(?:\.[A-Za-z0-9_\-]+)+\.?)"
    r"(?::[0-9]{1,4})?(?:[/?#]|\z)"
)
# `sources.is_absent` in RE2: nothing but white space.
_ABSENT = "\\A[ \\t\\r\\n\\f\\v\\x00\u00a0]*\\z"
# White space as `str.split` has it.
_SPACE = (
    r"[\t-\r\x1c-\x20\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}"
    r"\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}]+"
)
_NOT_HEX = 0xFF
_NIBBLE = np.full(256, _NOT_HEX, np.uint8)
_NIBBLE[np.frombuffer(b"0123456789abcdef", np.uint8)] = np.arange(16)
_NIBBLE[np.frombuffer(b"ABCDEF", np.uint8)] = np.arange(10, 16)


class HexColumn(NamedTuple):
    """A decoded column of hex.

    Attributes:
        values: uint8, shape (n, width).
        rows: int64, shape (n,): the row each value is of, ascending.
        bad: int64, ascending: rows that hold something else than hex of that width.
    """

    values: npt.NDArray[np.uint8]
    rows: npt.NDArray[np.int64]
    bad: npt.NDArray[np.int64]


class SourceColumn(NamedTuple):
    """A column of sources, the hosts of plain ones cut out.

    Attributes:
        texts: The column.
        hosts: Distinct hosts of the plain URLs, as they are spelled.
        rows: int64, shape (n,): the rows of plain URLs.
        host_of_row: int64, shape (n,): each one's place in ``hosts``.
        others: int64: the rows to be parsed whole.
    """

    texts: pa.Array
    hosts: list[str]
    rows: npt.NDArray[np.int64]
    host_of_row: npt.NDArray[np.int64]
    others: npt.NDArray[np.int64]


def decode_hex(column: pa.Array | pa.ChunkedArray, width: int) -> HexColumn:
    """Decodes a column of hex values of one width; white space in them says nothing.

    Args:
        column: Strings; null and blank ones are absent.
        width: Bytes of one value.

    Raises:
        UsageError: The column is not of text.
    """
    texts = as_texts(column)
    present = present_rows(texts)
    texts = without_space(texts, 2 * width)
    sized = pc.equal(pc.binary_length(texts), 2 * width).fill_null(False)
    candidates = np.flatnonzero(sized.to_numpy(zero_copy_only=False))
    flat = b"".join(texts.take(pa.array(candidates)).cast(pa.large_binary()).to_pylist())
    nibbles = _NIBBLE[np.frombuffer(flat, np.uint8)].reshape(-1, 2 * width)
    good = (nibbles != _NOT_HEX).all(axis=1)
    nibbles = nibbles[good]
    rows = candidates[good]
    return HexColumn(nibbles[:, ::2] << 4 | nibbles[:, 1::2], rows, np.setdiff1d(present, rows))


def decode_hex_value(text: str, width: int) -> bytes | None:
    """Decodes one value as `decode_hex` does; None if it is bad or blank."""
    digits = "".join(text.split())
    if not digits.isascii() or len(digits) != 2 * width:
        return None
    try:
        return bytes.fromhex(digits)
    except ValueError:
        return None


def without_space(texts: pa.Array, length: int) -> pa.Array:
    """Returns texts without the white space in them, if there are any longer than some length."""
    if pc.any(pc.greater(pc.binary_length(texts), length)).as_py():
        return pc.replace_substring_regex(texts, _SPACE, "")
    return texts


def source_hosts(column: pa.Array | pa.ChunkedArray) -> SourceColumn:
    """Cuts the hosts out of a column of sources, absent ones left out.

    Raises:
        UsageError: The column is not of text.
    """
    texts = as_texts(column)
    present = present_rows(texts)
    hosts = pc.struct_field(pc.extract_regex(texts, _PLAIN_URL), "host")
    plain = np.flatnonzero(hosts.is_valid().to_numpy(zero_copy_only=False))
    encoded = hosts.take(pa.array(plain)).dictionary_encode()
    return SourceColumn(
        texts,
        encoded.dictionary.to_pylist(),
        plain,
        encoded.indices.to_numpy().astype(np.int64),
        np.setdiff1d(present, plain),
    )


def as_texts(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    """Returns a column as one array of large strings.

    Raises:
        UsageError: The column is not of text.
    """
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    kind = array.type.value_type if pa.types.is_dictionary(array.type) else array.type
    if not (
        pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_string_view(kind)
        or pa.types.is_null(kind)
    ):
        raise UsageError(f"a column of {array.type}, where text is wanted")
    return array.cast(pa.large_string())


def rows_saying_source(texts: pa.Array) -> npt.NDArray[np.int64]:
    """Returns the rows (int64, ascending) of a text column that say so (`sources.says_source`)."""
    saying = pc.match_substring_regex(texts, SAYS_SOURCE).fill_null(False)
    return np.flatnonzero(saying.to_numpy(zero_copy_only=False))


def present_rows(texts: pa.Array) -> npt.NDArray[np.int64]:
    """Returns the rows (int64, ascending) of a text column that hold something.

    The same values are absent as for `sources.is_absent`.
    """
    absent = pc.match_substring_regex(texts, _ABSENT).fill_null(True)
    return np.flatnonzero(~absent.to_numpy(zero_copy_only=False))
