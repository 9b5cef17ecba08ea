"""Names of columns, however they are spelt."""

import pytest

from ingestgate.assets.naming import spelled


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("image_url", "image_url"),
        ("imageUrl", "image_url"),
        ("imageURL", "image_url"),
        (" Image-URL\t", "image_url"),
        ("image  url", "image_url"),
        ("URL", "url"),
        ("md5Sum", "md5_sum"),
        ("", ""),
    ],
)
def test_one_spelling(name: str, expected: str) -> None:
    assert spelled(name) == expected
