from pathlib import Path

import pytest

from benchmarks.vectors import registrable
from ingestgate.assets.errors import UsageError
from ingestgate.blocklists.public_suffixes import PublicSuffixes

RULES = """\
// a remark

com
example
uk
co.uk
*.ck
!www.ck
jp
*.kobe.jp
!city.kobe.jp
\u516c\u53f8.cn   and what follows is no part of it
"""


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("com", None),
        ("example.com", "example.com"),
        ("a.b.example.com", "example.com"),
        ("unheard.of", "unheard.of"),
        ("of", None),
        ("co.uk", None),
        ("b.co.uk", "b.co.uk"),
        ("a.b.co.uk", "b.co.uk"),
        ("b.uk", "b.uk"),
        ("ck", None),
        ("test.ck", None),
        ("b.test.ck", "b.test.ck"),
        ("www.ck", "www.ck"),
        ("www.www.ck", "www.ck"),
        ("c.kobe.jp", None),
        ("a.b.c.kobe.jp", "b.c.kobe.jp"),
        ("city.kobe.jp", "city.kobe.jp"),
        ("www.city.kobe.jp", "city.kobe.jp"),
        ("xn--55qx5d.cn", None),
        ("a.xn--55qx5d.cn", "a.xn--55qx5d.cn"),
    ],
)
def test_the_published_algorithm(host: str, expected: str | None) -> None:
    assert registrable(PublicSuffixes.of(RULES.splitlines()), host) == expected


def test_the_built_in_ones() -> None:
    known = PublicSuffixes.built_in()
    assert registrable(known, "shop.example.co.uk") == "example.co.uk"
    assert registrable(known, "somebody.github.io") == "somebody.github.io"
    assert registrable(known, "github.io") is None


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "holds no rule"),
        (b"// nothing\n", "holds no rule"),
        (b"a b c\n\xff\n", "not UTF-8"),
        (b"com\nhttp://x/\n", "line 2 is no rule"),
    ],
)
def test_what_is_no_such_file(tmp_path: Path, content: bytes, reason: str) -> None:
    (tmp_path / "psl").write_bytes(content)
    with pytest.raises(UsageError, match=reason):
        PublicSuffixes.read(str(tmp_path / "psl"))


@pytest.mark.parametrize(
    ("domain", "covered"),
    [
        (b"co.uk", True),
        (b".co.uk", True),
        (b"*.co.uk", True),
        (b"=co.uk", False),
        (b"a.co.uk", False),
        (b"*.a.co.uk", False),
        (b"foo.ck", True),
        (b"www.ck", False),
        (b"a.foo.ck", False),
        (b"kobe.jp", True),
        (b"x.kobe.jp", True),
        (b"10.1.2.3", False),
    ],
)
def test_what_a_listed_domain_covers(domain: bytes, covered: bool) -> None:
    rules = PublicSuffixes.of(["uk", "co.uk", "*.ck", "!www.ck", "*.kobe.jp"])
    assert rules.are_covered_by(domain) is covered
