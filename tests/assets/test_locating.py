"""Which paths lead elsewhere."""

import pytest

from ingestgate.assets.locating import remote_parts


@pytest.mark.parametrize(
    ("path", "parts"),
    [
        ("https://a.example/x.jpg", None),
        ("//a.example/x.jpg", None),
        ("https:a.example", None),
        ("\thttp:\\\\a.example", None),
        ("s3://bucket/x.jpg", None),
        ("data:image/png,x", None),
        ("data://a.example/x", None),
        ("zip://x.jpg::https://a.example/x.zip", ["https://a.example/x.zip"]),
        ("https://a.example/x::/local", ["https://a.example/x"]),
        ("zip://x.jpg::/data/x.zip", []),
        ("file:///data/x.jpg", []),
        ("images/x.jpg", []),
        ("/data/images/x.jpg", []),
        ("a.example/x.jpg", []),
        ("C:\\x.jpg", []),
        ("12:30.jpg", []),
        ("", []),
    ],
)
def test_parts_of_a_path_that_are_urls(path: str, parts: list[str] | None) -> None:
    assert remote_parts(path) == ([path] if parts is None else parts)
