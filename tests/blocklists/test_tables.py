import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ingestgate.blocklists.tables import SortedValues, as_keys

values = st.lists(
    st.binary(min_size=3, max_size=3) | st.sampled_from([b"\0\0\0", b"a\0\0", b"a\0b"])
)


def array(items: list[bytes]) -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
    return np.frombuffer(b"".join(items), np.uint8).reshape(len(items), 3)


@given(values, values)
def test_find_equals_comparing_all_with_all(listed: list[bytes], queries: list[bytes]) -> None:
    listed.sort()
    queries += listed[:3]
    table = SortedValues(array(listed), np.arange(len(listed), dtype=np.uint32))
    found = table.find(as_keys(array(queries)))
    expected = [(q, r) for q, a in enumerate(queries) for r, b in enumerate(listed) if a == b]
    assert list(zip(*(part.tolist() for part in found), strict=True)) == expected
