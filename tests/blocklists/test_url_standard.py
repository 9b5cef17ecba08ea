"""The URL Standard's rules for web addresses, by cases of this project's own.

https://url.spec.whatwg.org/; ``benchmarks.vectors`` counts the cases of web-platform-tests.
"""

import json
from collections import Counter
from pathlib import Path

import pytest

from benchmarks.vectors import url_outcomes
from ingestgate.blocklists.sources import BadSource, parse_source, url_expression


@pytest.mark.parametrize(
    ("text", "expression"),
    [
        # Scheme and slashes
        ("HTTP://a.example/x", "a.example/x"),
        ("http:a.example/x", "a.example/x"),
        ("https:/a.example/x", "a.example/x"),
        ("http:\\\\\\a.example\\x\\y", "a.example/x/y"),
        ("ht\ntp:/\t/a.example/x", "a.example/x"),
        ("\x00\x1f http://a.example/x \x1f", "a.example/x"),
        ("ws://a.example/x", "a.example/x"),
        # Credentials and ports
        ("http://u:p@a.example:80/x", "a.example/x"),
        ("http://u@v@a.example/x", "a.example/x"),
        ("http://:@a.example/x", "a.example/x"),
        ("http://b.example:@a.example/x", "a.example/x"),
        ("http://a.example:/x", "a.example/x"),
        ("http://a.example:00080/x", "a.example/x"),
        ("http://a.example:65535/x", "a.example/x"),
        # Hosts
        ("http://A.Example/x", "a.example/x"),
        ("http://%61.example/x", "a.example/x"),
        ("http://\uff41\uff0eexample/x", "a.example/x"),
        ("http://a\u3002example/x", "a.example/x"),
        ("http://a\u00ad.example/x", "a.example/x"),
        ("http://fa\u00df.example/x", "xn--fa-hia.example/x"),
        ("http://\u03b2\u03cc\u03bb\u03bf\u03c2.example/x", "xn--nxasmm1c.example/x"),
        ("http://a_b.example/x", "a_b.example/x"),
        ("http://192.0.519/x", "192.0.2.7/x"),
        ("http://0xC0000207/x", "192.0.2.7/x"),
        ("http://030000001007/x", "192.0.2.7/x"),
        ("http://192.0.2.7./x", "192.0.2.7/x"),
        ("http://[2001:DB8:0:0:0:0:0:1]/x", "[2001:db8::1]/x"),
        ("http://[::192.0.2.7]/x", "[::c000:207]/x"),
        # Paths
        ("http://a.example", "a.example/"),
        ("http://a.example?q", "a.example/?q"),
        ("http://a.example#f", "a.example/"),
        ("http://a.example/./x", "a.example/x"),
        ("http://a.example/x/../../y", "a.example/y"),
        ("http://a.example/x/%2e%2E/y", "a.example/y"),
        ("http://a.example/x/.%2e", "a.example/"),
        ("http://a.example/x/.", "a.example/x/"),
        ("http://a.example/x/...", "a.example/x/..."),
        ("http://a.example/x;y,z:@!$&'()*+=", "a.example/x;y,z:@!$&'()*+="),
        ("http://a.example/x\ty\nz", "a.example/xyz"),
        ("http://a.example/ x", "a.example/ x"),
        ("http://a.example/\u00e9", "a.example/\u00e9"),
        ("http://a.example/\U0001f34e", "a.example/\U0001f34e"),
        ("http://a.example/a|b^c`d{e}", "a.example/a|b^c`d{e}"),
        ("http://a.example/%7", "a.example/%7"),
        # Queries and fragments
        ("http://a.example/x?a/../b", "a.example/x?a/../b"),
        ("http://a.example/x?a?b", "a.example/x?a?b"),
        ("http://a.example/x?a'b<c>\"", "a.example/x?a'b<c>\""),
        ("http://a.example/x?a\\b", "a.example/x?a\\b"),
        ("http://a.example/x#?a", "a.example/x"),
    ],
)
def test_web_addresses(text: str, expression: str) -> None:
    assert url_expression(parse_source(text)).decode() == expression


@pytest.mark.parametrize(
    "text",
    [
        "http://",
        "http://@/x",
        "http://:80/x",
        "http://u:p@/x",
        "http://a.example:65536/x",
        "http://a.example:x/",
        "http://a.example:-1/",
        "http://a b.example/",
        "http://a%00.example/",
        "http://a<b.example/",
        "http://a^b.example/",
        "http://a%b.example/",
        "http://[2001:db8::1/",
        "http://[2001:db8::g]/",
        "http://[::1::]/",
        "http://[192.0.2.7]/",
        "http://192.0.2.256/",
        "http://192.0.2.7.9/",
        "http://a.example.0x/",
        "http://a.09/",
        "http://0x100000000/",
        "http://\ufdd0.example/",
        "http://\u00ad/",
        "mailto:a@b.example",
        "file:///x",
    ],
)
def test_what_does_not_parse_or_has_no_host(text: str) -> None:
    with pytest.raises(BadSource):
        parse_source(text)


def test_cases_that_do_not_apply_are_counted(tmp_path: Path) -> None:
    parts = {"base": None, "hostname": "a.example", "pathname": "/x/", "search": "?q"}
    cases = [
        "a remark",
        {**parts, "input": "http://A.example/y/../x/?q"},
        {**parts, "input": "http://a.example/other?q"},
        {**parts, "input": "http:\\\\a.example/x/?q", "base": "http://b.example/"},
        {**parts, "input": "http:x/?q", "base": "http://a.example/"},
        {**parts, "input": "/x/?q", "base": "http://a.example/"},
        {**parts, "input": "other://a.example/x/?q"},
        {"input": "//a.example", "base": None, "failure": True},
        {"input": "http://a b/", "base": None, "failure": True},
        {"input": "mailto:a", "base": None, "hostname": "", "pathname": "a", "search": ""},
    ]
    path = tmp_path / "cases.json"
    path.write_text(json.dumps(cases))
    excluded: Counter[str] = Counter()
    outcomes = list(url_outcomes(path, excluded))
    assert [one.expected == one.found for one in outcomes] == [True, False, True, True, True]
    assert excluded == {
        "relative to a base": 2,
        "a host under another scheme": 1,
        "without a scheme": 1,
    }
