"""CSV and JSON Lines as bytes: where each record lies, so that those that stay stay as they are.

Lines are found with numpy, a range of a file at a time, and Arrow parses the same bytes; both
must agree on what a record is, or a listed row would hide behind another's verdict. So the
grammar is the strict one of RFC 4180 (a quote opens only at the start of a field and closes
only at its end) and of https://jsonlines.org (an object a line); a file of another is refused.

Blank lines between records are no rows; they stay where they are.
"""

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from typing import ClassVar, NamedTuple, NoReturn, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyarrow import csv as arrow_csv
from pyarrow import json as arrow_json

from ingestgate.assets.containers.arrow_text import readable_table
from ingestgate.assets.containers.nesting import MOST_NESTED, MOST_OF_A_FOOTER, first_too_deep
from ingestgate.assets.errors import ShardError

#: Byte order mark of UTF-8: what may stand before the first byte of a file.
BOM = b"\xef\xbb\xbf"
_LF, _CR, _QUOTE, _COMMA = b'\n\r",'
#: Values of a range of JSON Lines, where a key that one record has is counted for each: Arrow has a
#: place for all of them, some sixteen bytes.
_MOST_CELLS = 1 << 26
_FEW_CELLS = 1 << 22
_OTHER_BOMS = (b"\xff\xfe", b"\xfe\xff")
_TOO_MANY = f"more than {MOST_OF_A_FOOTER} columns"
# Strings, with the colon behind those that are keys, and braces. A string that does not end goes on
# to the end: from every quote within it, it would be searched again.
_TOKENS = re.compile(rb'"([^"\\]*+(?:\\.[^"\\]*+)*+)(?:"(\s*:)?)?|([{}])')
_WIDTH = re.compile(r"Expected \d+ columns, got \d+")

Offsets = npt.NDArray[np.int64]


class Lines(NamedTuple):
    """The lines of a piece of a file, back to back from its first byte to its last.

    Attributes:
        ends: int64, (n,); where each line ends, its line break included, from the piece's start.
        records: bool, (n,); whether a line is a record; the others are blank.
    """

    ends: Offsets
    records: npt.NDArray[np.bool_]

    @property
    def number(self) -> int:
        """How many records there are."""
        return int(self.records.sum())


class Dialect(Protocol):
    """How a format divides bytes into records.

    In all methods ``data`` starts where a record does, at byte ``at`` of the shard; ``final``
    says that the shard ends with it.
    """

    suffix: ClassVar[str]

    def lines(self, data: bytes, shard: str, at: int, *, final: bool) -> Lines:
        """Returns the lines; unless ``final``, those that are complete.

        Raises:
            ShardError: The bytes are not of this format; says where.
        """
        ...

    def header(self, begin: bytes, shard: str, *, final: bool) -> int | None:
        """Returns how many bytes stand before the first record; None if more are needed."""
        ...

    def table(self, data: bytes, header: bytes, shard: str, at: int) -> pa.Table:
        """Returns the records' values.

        Raises:
            ShardError: They cannot be parsed, or Arrow sees other records in them than `lines`.
        """
        ...


class Csv:
    """Comma-separated values with a header (RFC 4180), in UTF-8; every value is text.

    Line breaks are LF or CR LF; within quotes they belong to the field.
    """

    suffix: ClassVar[str] = "csv"

    def lines(self, data: bytes, shard: str, at: int, *, final: bool) -> Lines:
        raw = np.frombuffer(data, np.uint8)
        breaks = np.flatnonzero(raw == _LF)
        quotes = np.flatnonzero(raw == _QUOTE)
        if quotes.size:
            _check_quotes(raw, quotes, shard, at)
            breaks = breaks[_outside(quotes, breaks)]
            if final and quotes.size % 2:
                _refuse(shard, at + int(quotes[-1]), "a quote that is never closed")
        if b"\r" in data:
            _check_returns(raw, quotes, shard, at, final=final)
        ends = _line_ends(raw, breaks, final=final)
        lengths = np.diff(ends, prepend=0)
        first = raw[ends - lengths]
        blank = ((lengths == 1) & (first == _LF)) | ((lengths == 2) & (first == _CR))
        return Lines(ends, ~blank)

    def header(self, begin: bytes, shard: str, *, final: bool) -> int | None:
        skipped = _byte_order_mark(begin, shard)
        lines = self.lines(begin[skipped:], shard, skipped, final=final)
        if lines.number:
            return skipped + int(lines.ends[lines.records.argmax()])
        if final:
            raise ShardError(shard, "has no header line")
        return None

    def table(self, data: bytes, header: bytes, shard: str, at: int) -> pa.Table:
        lines = self.lines(data, shard, at, final=True)
        names = self._names(header.removeprefix(BOM), shard)
        if not lines.number:
            return pa.table({name: pa.array([], pa.string()) for name in names})
        table = self._parse(data, names, shard, at)
        _check_count(table, lines, shard, at)
        return readable_table(table)

    def _names(self, header: bytes, shard: str) -> list[str]:
        if header.count(b",") >= MOST_OF_A_FOOTER:
            raise ShardError(shard, f"its header has {_TOO_MANY}")
        try:
            names = list(self._parse(header, None, shard, 0).column_names)
        except UnicodeDecodeError:
            raise ShardError(shard, "its header is not UTF-8") from None
        _check_names(names, shard)
        return names

    def _parse(self, data: bytes, names: list[str] | None, shard: str, at: int) -> pa.Table:
        try:
            return arrow_csv.read_csv(
                pa.BufferReader(data),
                arrow_csv.ReadOptions(
                    use_threads=False, block_size=len(data) + 1, column_names=names
                ),
                arrow_csv.ParseOptions(newlines_in_values=True),
                arrow_csv.ConvertOptions(
                    check_utf8=False,
                    column_types=dict.fromkeys(names or (), pa.string()),
                    strings_can_be_null=False,
                ),
            )
        except pa.ArrowException as error:
            # Arrow quotes the row, which may hold a listed value.
            cause = _WIDTH.search(str(error))
            _refuse(shard, at, cause[0] if cause else "cannot be parsed", after=True)


class JsonLines:
    """An object a line (https://jsonlines.org), in UTF-8; times stay text."""

    suffix: ClassVar[str] = "jsonl"

    def lines(self, data: bytes, shard: str, at: int, *, final: bool) -> Lines:
        raw = np.frombuffer(data, np.uint8)
        ends = _line_ends(raw, np.flatnonzero(raw == _LF), final=final)
        starts = np.concatenate([np.zeros(1, np.int64), ends[:-1]])[: ends.size]
        last = ends - 1
        for line_break in (_LF, _CR):
            last = np.where((last > starts) & (raw[last] == line_break), last - 1, last)
        # An object starts and ends its line, and none can be open at a line's end: a brace that
        # closes is never followed by one that opens.
        records = (raw[starts] == ord("{")) & (raw[last] == ord("}")) & (last > starts)
        for line in np.flatnonzero(~records):
            start = int(starts[line])
            text = data[start : int(ends[line])].strip(b" \t\r\n")
            if text and not (text.startswith(b"{") and text.endswith(b"}")):
                _refuse(shard, at + start, "a line that is not one JSON object")
            records[line] = bool(text)
        return Lines(ends, records)

    def header(self, begin: bytes, shard: str, *, final: bool) -> int | None:
        return _byte_order_mark(begin, shard)

    def table(self, data: bytes, header: bytes, shard: str, at: int) -> pa.Table:
        lines = self.lines(data, shard, at, final=True)
        if not lines.number:
            return pa.table({})
        if (deep := first_too_deep(data, lines.ends)) is not None:
            start = int(lines.ends[deep - 1]) if deep else 0
            _refuse(shard, at + start, f"a record that nests deeper than {MOST_NESTED} levels")
        self._check_cells(data, lines, shard, at)
        table = self._parse(data, None, shard, at)
        _check_encoding(table.schema, shard)
        as_text = pa.schema([field.with_type(_times_as_text(field.type)) for field in table.schema])
        if as_text != table.schema:
            table = self._parse(data, as_text, shard, at)
        _check_names(table.column_names, shard)
        _check_count(table, lines, shard, at)
        return readable_table(table)

    def _check_cells(self, data: bytes, lines: Lines, shard: str, at: int) -> None:
        """Refuses records of too many keys, and those that each have keys of their own.

        All records would have a value for all.
        """
        colons = np.flatnonzero(np.frombuffer(data, np.uint8) == ord(":"))
        if colons.size <= MOST_OF_A_FOOTER and colons.size * lines.number <= _MOST_CELLS:
            return
        ends = np.append(0, lines.ends)
        keys = np.searchsorted(colons, ends)  # before each line's start, and more than that
        columns: set[tuple[str, ...]] = set()
        first = 0
        while first < lines.ends.size:
            rest = range(first + 1, len(ends))

            def share(stop: int, first: int = first) -> float:
                most = int(keys[stop] - keys[first])
                return max((stop - first) * most / _FEW_CELLS, most / MOST_OF_A_FOOTER)

            stop = first + max(1, bisect_right(rest, 1.0, key=share))
            few = data[ends[first] : ends[stop]]
            if share(stop) > 1 and _has_too_many_keys(few):
                _refuse(shard, at + int(ends[first]), f"a record that has {_TOO_MANY}")
            if not few.isspace():
                schema = self._parse(few, None, shard, at).schema
                _check_encoding(schema, shard)
                columns.update(_leaves(schema))
            if len(columns) > MOST_OF_A_FOOTER:
                _refuse(shard, at, f"records that have {_TOO_MANY}", after=True)
            if len(columns) * lines.number > _MOST_CELLS:
                problem = f"more than {_MOST_CELLS >> 20} Mi values, with all keys in all records"
                _refuse(shard, at, problem, after=True)
            first = stop

    def _parse(self, data: bytes, schema: pa.Schema | None, shard: str, at: int) -> pa.Table:
        try:
            return arrow_json.read_json(
                pa.BufferReader(data),
                arrow_json.ReadOptions(use_threads=False, block_size=len(data) + 1),
                arrow_json.ParseOptions(explicit_schema=schema, newlines_in_values=False),
            )
        except pa.ArrowException:
            problem = "not JSON, a key twice in an object, or values of several types under a key"
            _refuse(shard, at, problem, after=True)


def chosen(data: bytes, lines: Lines, rows: npt.NDArray[np.bool_], *, blanks: bool = True) -> bytes:
    """Returns the bytes of the records for which ``rows`` is true, and of blank lines."""
    mask = np.full(lines.ends.size, blanks)
    mask[lines.records] = rows
    if mask.all():
        return data
    lengths = np.diff(lines.ends, prepend=0)
    return bytes(np.frombuffer(data, np.uint8)[np.repeat(mask, lengths)].data)


def _line_ends(raw: npt.NDArray[np.uint8], breaks: Offsets, *, final: bool) -> Offsets:
    ends = breaks + 1
    if final and raw.size and (not ends.size or ends[-1] < raw.size):
        ends = np.append(ends, raw.size)
    return ends


def _outside(quotes: Offsets, positions: Offsets) -> npt.NDArray[np.bool_]:
    """Whether each position lies outside quotes: an even number of them stands before it."""
    even: npt.NDArray[np.bool_] = np.searchsorted(quotes, positions) % 2 == 0
    return even


def _check_quotes(raw: npt.NDArray[np.uint8], quotes: Offsets, shard: str, at: int) -> None:
    """Refuses quotes that readers understand differently.

    A doubled quote inside a field counts as one that closes and one that opens.
    """
    opening, closing = quotes[0::2], quotes[1::2]
    opening = opening[opening > 0]
    closing = closing[closing < raw.size - 1]
    wrong = np.concatenate(
        [
            opening[~np.isin(raw[opening - 1], (_COMMA, _LF, _QUOTE))],
            closing[~np.isin(raw[closing + 1], (_COMMA, _LF, _CR, _QUOTE))],
        ]
    )
    if wrong.size:
        _refuse(shard, at + int(wrong.min()), "a quote that RFC 4180 does not allow there")


def _check_returns(
    raw: npt.NDArray[np.uint8], quotes: Offsets, shard: str, at: int, *, final: bool
) -> None:
    """Refuses a carriage return alone outside quotes: to some readers it ends a line."""
    returns = np.flatnonzero(raw == _CR)
    returns = returns[_outside(quotes, returns)]
    inner = returns[returns < raw.size - 1]
    wrong = inner[raw[inner + 1] != _LF]
    if not wrong.size and final:
        wrong = returns[returns == raw.size - 1]
    if wrong.size:
        _refuse(shard, at + int(wrong[0]), "a carriage return without a line feed")


def _byte_order_mark(begin: bytes, shard: str) -> int:
    if begin.startswith(_OTHER_BOMS):
        raise ShardError(shard, "is UTF-16; convert it to UTF-8")
    return len(BOM) if begin.startswith(BOM) else 0


def _check_names(names: Iterable[str], shard: str) -> None:
    names = list(names)
    if len(set(names)) < len(names):
        raise ShardError(shard, "two of its columns have the same name")


def _check_encoding(fields: Iterable[pa.Field], shard: str) -> None:
    """Refuses keys that are not UTF-8: Arrow takes them, and fails when they are looked at."""
    for field in fields:
        try:
            field.name  # noqa: B018 - decoded here
        except UnicodeDecodeError:
            raise ShardError(shard, "a column's name is not UTF-8") from None
        kind = field.type
        while pa.types.is_list(kind):
            kind = kind.value_type
        if pa.types.is_struct(kind):
            _check_encoding(kind, shard)


def _leaves(fields: Iterable[pa.Field], above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yields the path of each column that has values of its own."""
    for field in fields:
        kind = field.type
        while pa.types.is_list(kind):
            kind = kind.value_type
        path = (*above, field.name)
        yield path
        if pa.types.is_struct(kind):
            yield from _leaves(kind, path)


def _has_too_many_keys(record: bytes) -> bool:
    """Whether an object would have too many columns: keys, each told by those it lies below."""
    known: dict[tuple[int, bytes], int] = {}
    above = [0]
    at = 0
    for found in _TOKENS.finditer(record):
        key, colon, brace = found.groups()
        if colon:
            at = known.setdefault((above[-1], key), len(known) + 1)
            if len(known) > MOST_OF_A_FOOTER:
                return True
        elif brace == b"{":
            above.append(at)
        elif brace and len(above) > 1:
            at = above.pop()
    return False


def _check_count(table: pa.Table, lines: Lines, shard: str, at: int) -> None:
    if table.num_rows != lines.number:
        problem = f"{lines.number} lines that are read as {table.num_rows} rows"
        _refuse(shard, at, problem, after=True)


def _refuse(shard: str, offset: int, problem: str, *, after: bool = False) -> NoReturn:
    where = f"after byte {offset}" if after else f"at byte {offset}"
    raise ShardError(shard, f"{where}: {problem}") from None


def _times_as_text(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_timestamp(kind):
        return pa.string()
    if pa.types.is_list(kind):
        return pa.list_(_times_as_text(kind.value_type))
    if pa.types.is_struct(kind):
        return pa.struct([child.with_type(_times_as_text(child.type)) for child in kind])
    return kind
