"""Transposes, against NumPy's."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ingestgate.fingerprints.transposing import transposed

sides = st.integers(0, 70)


@settings(deadline=None)
@given(sides, sides)
def test_rows_become_columns_whatever_the_sides(height: int, width: int) -> None:
    matrix = np.arange(height * width, dtype=np.float32).reshape(height, width)
    found = transposed(matrix)
    assert found.flags.c_contiguous
    np.testing.assert_array_equal(found, matrix.T)
