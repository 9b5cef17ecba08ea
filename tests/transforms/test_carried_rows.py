"""What is ruled out for all rows at once carries nothing."""

import base64

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from ingestgate.assets.carrying import LEAST, carried
from ingestgate.transforms.carried_rows import rows_that_carry
from tests.pictures import jpeg

CONTENT = jpeg(1)
CARRIERS = (
    base64.b64encode(CONTENT).decode(),
    base64.encodebytes(CONTENT).decode(),
    CONTENT.decode("latin-1"),
    CONTENT.hex(),
    "data:image/jpeg," + "".join(f"%{byte:02x}" for byte in CONTENT),
)
TEXTS = st.one_of(
    st.none(),
    st.sampled_from(["", "word ", "a caption, " * 200, "\u7d75" * 2000, "x" * 2000]),
    st.builds(
        lambda before, carrier, after: before + carrier + after,
        st.text(" .\n\u00e9'ab", max_size=700),
        st.sampled_from(CARRIERS),
        st.text(" .\n\u00e9'", max_size=9),
    ),
)


@settings(deadline=None)
@given(st.lists(TEXTS, max_size=9), st.integers(0, 3))
def test_the_same_rows_are_found_as_one_by_one(texts: list[str | None], skipped: int) -> None:
    expected = [row for row, text in enumerate(texts[skipped:]) if text and carried(text)]
    for kind in (pa.string(), pa.large_string()):
        assert rows_that_carry(pa.array(texts, kind).slice(skipped)) == expected


def test_most_captions_are_ruled_out() -> None:
    captions = pa.array([f"{number} of a long caption, " * 99 for number in range(1000)])
    assert len(captions[0].as_py()) > LEAST
    assert rows_that_carry(captions) == []
    assert rows_that_carry(pa.array([], pa.string())) == []
    assert rows_that_carry(pa.nulls(3, pa.string())) == []
