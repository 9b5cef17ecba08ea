"""Safe Browsing v4: canonical form and expressions, by what its specification says and shows.

https://developers.google.com/safe-browsing/v4/urls-hashing; names are this project's own where
the form of a name is not the point.
"""

import hashlib

import pytest

from ingestgate.blocklists.sources import (
    BadSource,
    expression_digest,
    hashed_expressions,
    parse_source,
)


def digests(*expressions: str) -> list[bytes]:
    return sorted(hashlib.sha256(one.encode()).digest() for one in expressions)


def canonical(text: str, expression: str) -> bool:
    """Whether a URL's first expression, all of it, is the one that is expected."""
    return hashed_expressions(parse_source(text))[0] == hashlib.sha256(expression.encode()).digest()


@pytest.mark.parametrize(
    ("text", "expression"),
    [
        ("http://host.example/%25%32%35", "host.example/%25"),
        ("http://host.example/%25%32%35%25%32%35", "host.example/%25%25"),
        ("http://host.example/%2525252525252525", "host.example/%25"),
        ("http://host.example/asdf%25%32%35asd", "host.example/asdf%25asd"),
        ("http://host.example/%%%25%32%35asd%%", "host.example/%25%25%25asd%25%25"),
        ("http://www.orchard.example/", "www.orchard.example/"),
        ("http://%31%39%32%2e%30%2e%32%2e%37/%2E%78/%77%77%77%2E%61%2F", "192.0.2.7/.x/www.a/"),
        ("http://192.0.2.7/up/%20%20%20/.verify/.e=up", "192.0.2.7/up/%20%20%20/.verify/.e=up"),
        ("http://host.example/%257Ea%2521b%2540c%255E00%252611", "host.example/~a!b@c^00&11"),
        ("http://3221225991/blah", "192.0.2.7/blah"),
        ("http://0300.0x0.519/blah", "192.0.2.7/blah"),
        ("http://www.orchard.example/blah/..", "www.orchard.example/"),
        ("www.orchard.example/", "www.orchard.example/"),
        ("www.orchard.example", "www.orchard.example/"),
        ("http://www.orchard.example/blah#frag", "www.orchard.example/blah"),
        ("http://www.ORCHard.example/", "www.orchard.example/"),
        ("http://www.orchard.example.../", "www.orchard.example/"),
        ("http://www.orchard.example/foo\tbar\rbaz\n2", "www.orchard.example/foobarbaz2"),
        ("http://www.orchard.example/q?", "www.orchard.example/q?"),
        ("http://www.orchard.example/q?#frag?", "www.orchard.example/q?"),
        ("http://www.orchard.example/q#?", "www.orchard.example/q"),
        ("http://www.orchard.example/q?r?", "www.orchard.example/q?r?"),
        ("http://www.orchard.example/q?r?s", "www.orchard.example/q?r?s"),
        ("http://orchard.example/foo#bar#baz", "orchard.example/foo"),
        ("http://orchard.example/foo;", "orchard.example/foo;"),
        ("http://orchard.example/foo?bar;", "orchard.example/foo?bar;"),
        ("http://noslash.example", "noslash.example/"),
        ("http://port.example:1234/", "port.example/"),
        ("  http://www.orchard.example/  ", "www.orchard.example/"),
        ("https://www.secure.example/", "www.secure.example/"),
        ("http://host.example/ab%23cd", "host.example/ab%23cd"),
        ("http://host.example//two?more//slashes", "host.example/two?more//slashes"),
        ("http://host.example/a/../b/./c?/../d", "host.example/b/c?/../d"),
        ("http://b\u00fccher.example/\u00e9?\u00e9", "xn--bcher-kva.example/%C3%A9?%C3%A9"),
        ("http://host.example/\u1e9e?\u1e9e", "host.example/%E1%BA%9E?%E1%BA%9E"),
        ("http://host.example/%e1%ba%9e", "host.example/%E1%BA%9E"),
        ("http://host.example/\u00df", "host.example/%C3%9F"),
        ("http://stra\u1e9ee.example/%e1%ba%9e", "xn--strae-oqa.example/%E1%BA%9E"),
        ("http://host.example/%01%80", "host.example/%01%80"),
    ],
)
def test_canonical_form(text: str, expression: str) -> None:
    assert canonical(text, expression)


@pytest.mark.parametrize(
    "text",
    [
        "http://\x01\x80.example/",
        "http://%01%80.example/",
        "http:// leadingspace.example/",
        "http://%20leadingspace.example/",
        "%20leadingspace.example/",
    ],
)
def test_hosts_that_are_none_are_bad_and_never_clean(text: str) -> None:
    with pytest.raises(BadSource):
        parse_source(text)


@pytest.mark.parametrize(
    ("text", "hosts", "paths"),
    [
        (
            "http://a.b.example/1/2.html?param=1",
            ["a.b.example", "b.example"],
            ["/1/2.html?param=1", "/1/2.html", "/", "/1/"],
        ),
        (
            "http://a.b.c.d.e.f.example/1.html",
            [
                "a.b.c.d.e.f.example",
                "c.d.e.f.example",
                "d.e.f.example",
                "e.f.example",
                "f.example",
            ],
            ["/1.html", "/"],
        ),
        ("http://192.0.2.7/1/", ["192.0.2.7"], ["/1/", "/"]),
        (
            "http://a.b.c.d.e.example/1/2/3/4/5.html?q",
            ["a.b.c.d.e.example", "b.c.d.e.example", "c.d.e.example", "d.e.example", "e.example"],
            ["/1/2/3/4/5.html?q", "/1/2/3/4/5.html", "/", "/1/", "/1/2/", "/1/2/3/"],
        ),
        ("http://f.example/q?", ["f.example"], ["/q?", "/q", "/"]),
        ("http://f.example/?", ["f.example"], ["/?", "/"]),
    ],
)
def test_suffixes_and_prefixes(text: str, hosts: list[str], paths: list[str]) -> None:
    found = hashed_expressions(parse_source(text))
    assert sorted(found) == digests(*(host + path for host in hosts for path in paths))
    assert len(found) <= 30


def test_expressions_are_hashed_by_sha256() -> None:
    # FIPS 180-2's own example, which the specification names.
    assert expression_digest(b"abc").hex() == (
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    )
