"""Which rows of a column of text carry a picture; of a million captions in a fraction of a second.

What `carrying` takes a microsecond or two to rule out is ruled out here for all rows at once.
"""

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ingestgate.assets.carrying import LEAST, carried

# A run of text without a blank is long enough that one of these blocks, at multiples of their
# distance, lies in it. Blanks about line breaks count as none: base64 may be broken into lines,
# which may be indented.
_BLOCK = LEAST // 4
_DISTANCE = 2 * _BLOCK
_LETTER, _BLANK, _BREAK, _MARK = range(4)
_CLASS = np.zeros(256, np.uint8)
_CLASS[list(b" \t")] = _BLANK
_CLASS[list(b"\r\n")] = _BREAK
_CLASS[list(b"\"'<>")] = _MARK
# Bytes that were decoded as Latin-1 begin with what no text has in it, or few texts, or with a
# signature of letters.
_LATIN = (
    r"(?s)\A(?:.{0,3}[\x00-\x08\x0e-\x1f\x{80}-\x{ff}]|.{4}ftyp|[\s\x0b]*(?:<|#define)|P[0-7Ffy]"
    r"|8BPS|BM|DDS |FUJIFILMCCD|GIF8|IIRO|R(?:IFF|F64)|SIMPLE  =|icns|qoif|gimp xcf |#\?RADIANCE"
    r"|/\* XPM)"
)


def rows_that_carry(texts: pa.Array) -> list[int]:
    """Returns the rows, ascending, of a column of text that carry a picture."""
    long = places(pc.greater_equal(pc.binary_length(texts), LEAST))
    if not long.size:
        return []
    candidates = texts.take(pa.array(long)).cast(pa.large_string())
    latin = places(pc.match_substring_regex(candidates, _LATIN))
    doubtful = np.union1d(latin, _without_blanks(candidates))
    return [int(long[place]) for place in doubtful if carried(candidates[int(place)].as_py())]


def places(mask: pa.Array) -> npt.NDArray[np.int64]:
    """Returns where a column is true."""
    return np.flatnonzero(mask.fill_null(False).to_numpy(zero_copy_only=False))


def _without_blanks(texts: pa.Array) -> npt.NDArray[np.int64]:
    """Returns the rows of large strings in which a block without a blank begins."""
    _, offsets_buffer, data = texts.buffers()
    offsets = np.frombuffer(offsets_buffer, np.int64, len(texts) + 1, 8 * texts.offset)
    raw = np.frombuffer(data, np.uint8)
    starts = np.arange(0, len(raw) - _BLOCK + 1, _DISTANCE)
    before = here = np.full(len(starts), _BREAK, np.uint8)
    for place in range(_BLOCK):  # few are left after the first ten
        after = _CLASS[raw[starts + place]]
        parted = (here == _BLANK) & (before == _LETTER) & (after == _LETTER)
        left = ~parted & (after != _MARK)
        starts, before, here = starts[left], here[left], after[left]
        if not starts.size:
            break
    return np.unique(np.searchsorted(offsets, starts, side="right") - 1)
