import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingestgate.blocklists.sources import (
    MAX_HOST,
    BadSource,
    canonical_host,
    domain_expressions,
    expression_digest,
    is_absent,
    is_address,
    parse_source,
    url_digests,
    url_expression,
)


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("https://BAD.com/", "bad.com"),
        ("http:\\\\bad.com\\x", "bad.com"),
        ("http://bücher.example/", "xn--bcher-kva.example"),
        ("http://xn--bcher-kva.example/", "xn--bcher-kva.example"),
        ("http://\uff42\uff41\uff44\u3002com/", "bad.com"),
        ("http://b%61d.com/", "bad.com"),
        ("http://STRA\u1e9eE.example/", "xn--strae-oqa.example"),
        ("http://STRA%E1%BA%9EE.example/", "xn--strae-oqa.example"),
        ("http://stra%e1%ba%9ee.example/%e1%ba%9e", "xn--strae-oqa.example"),
        ("http://stra\u00dfe.example/", "xn--strae-oqa.example"),
        ("http://xn--a.example/", "xn--a.example"),  # no valid Punycode
        ("http://user@XN--A.example:80\\x", "xn--a.example"),
        ("http://look\u180eout.net/", "lookout.net"),  # of a later Unicode than can_ada's
        ("http://\u04c0.com/x", "xn--s5a.com"),
        ("http://bad.com./", "bad.com"),
        ("http://bad.com../", "bad.com"),
        ("http://a..bad.com/", "a.bad.com"),
        ("http://0x7f.1/", "127.0.0.1"),
        ("http://0x7f.1../", "127.0.0.1"),
        ("http://2130706433/", "127.0.0.1"),
        ("http://[::FFFF:127.0.0.1]/", "127.0.0.1"),
        ("http://[2001:DB8::0:1]/", "[2001:db8::1]"),
        ("http://good.com@bad.com/", "bad.com"),
        ("http://good.com\\@bad.com/", "good.com"),
        ("http://bad.com:8080/", "bad.com"),
        (" \thttp://ba\td.com/\n", "bad.com"),
        ("http:bad.com", "bad.com"),
        ("ftp://bad.com/x", "bad.com"),
        ("hdfs://BÜCHER.example/x", "xn--bcher-kva.example"),
        ("bad.com/x", "bad.com"),
        ("//bad.com/x", "bad.com"),
        ("bad.com:80/x", "bad.com"),
        ("bad.com", "bad.com"),
    ],
)
def test_every_spelling_has_one_host(text: str, host: str) -> None:
    assert parse_source(text).host == host


@pytest.mark.parametrize(
    "text",
    [
        "http://bad.com:99999/",
        "other.name://bad.com/",
        "s3://bad.com:99999/",
        "http://[::1/",
        "http://a b/",
        "http://1.2.3.4.5/",
        "http://xn--a.ß/",
        "http:///",
        "http://../",
        "data:image/png;base64,AAAA",
        "data://bad.com/;base64,AAAA",
        "DATA:\\\\bad.com\\",
        "blob://bad.com/x",
        "blob:https://bad.com/x",
        "javascript://bad.com/%0a1",
        "about:blank",
        "file:///etc/x",
        "javascript:1",
        "unknown",
        "None",
        "12345",
        "not a url",
        "\ud800",
        "http://\ud800.com/",
    ],
)
def test_what_names_no_host_is_bad_and_not_repeated(text: str) -> None:
    with pytest.raises(BadSource) as caught:
        parse_source(text)
    assert text not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "expression"),
    [
        ("http://u:p@a.com:80/x#f", b"a.com/x"),
        ("https://a.com", b"a.com/"),
        ("http://a.com/%2541", b"a.com/A"),
        ("http://a.com/b/%252e%252e/c", b"a.com/c"),
        ("http://a.com/b/..", b"a.com/"),
        ("http://a.com/b/%2E", b"a.com/b/"),
        ("http://a.com/../../c", b"a.com/c"),
        ("http://a.com//b///c", b"a.com/b/c"),
        ("http://a.com\\b", b"a.com/b"),
        ("http://a.com/b?", b"a.com/b"),
        ("http://a.com/b?x=%31#y", b"a.com/b?x=1"),
        ("http://a.com/B", b"a.com/B"),
        ("http://a.com/%ff%zz", b"a.com/\xff%zz"),
    ],
)
def test_paths_and_queries_are_decoded_and_resolved(text: str, expression: bytes) -> None:
    assert url_expression(parse_source(text)) == expression


def test_percent_encoding_without_end_is_bad() -> None:
    with pytest.raises(BadSource, match="more than 16 times"):
        url_expression(parse_source("http://a.com/%" + "25" * 40))


@pytest.mark.parametrize(
    ("listed", "source", "matches"),
    [
        ("http://a.com/x", "https://a.com/x", True),
        ("https://a.com/x", "http://A.com:81/x?y=1#z", True),
        ("http://a.com/x", "http://a.com/x/", True),
        ("http://a.com/x", "http://a.com/x/y", False),
        ("http://a.com/x", "http://a.com/xy", False),
        ("http://a.com/x", "http://www.a.com/x", False),
        ("http://a.com/x/", "http://a.com/x/y/z?q", True),
        ("http://a.com/x/", "http://a.com/x", False),
        ("http://a.com/", "http://a.com/anything", True),
        ("http://a.com", "http://a.com/anything", True),
        ("http://a.com/x?id=1", "http://a.com/x?id=1", True),
        ("http://a.com/x?id=1", "http://a.com/x?id=1&more=2", True),
        ("http://a.com/x?id=1", "http://a.com/x?id=12", False),
        ("http://a.com/x?id=1", "http://a.com/x", False),
        ("http://a.com/?id=1", "http://a.com/?id=1", True),
    ],
)
def test_listed_url(listed: str, source: str, matches: bool) -> None:
    digest = expression_digest(url_expression(parse_source(listed)))
    assert (digest in set(url_digests(parse_source(source)))) is matches


segments = st.lists(st.sampled_from(["a", "bb", "c%20d", "é"]), max_size=5)


@given(segments, st.booleans(), st.lists(st.sampled_from(["k=1", "v", ""]), max_size=3))
def test_digests_are_those_of_the_expressions_spelled_out(
    path: list[str], slash: bool, query: list[str]
) -> None:
    text = "http://h.com/" + "/".join(path) + ("/" if slash and path else "")
    source = parse_source(text + ("?" + "&".join(query) if query else ""))
    whole, _, asked = url_expression(source).partition(b"?")
    expressions = {whole[: i + 1] for i, byte in enumerate(whole) if byte == ord("/")} | {whole}
    if whole.count(b"/") > 1:
        expressions.add(whole.rstrip(b"/"))
    parts = asked.split(b"&") if asked else []
    expressions |= {whole + b"?" + b"&".join(parts[: i + 1]) for i in range(len(parts))}
    digests = list(url_digests(source))
    assert set(digests) == {hashlib.sha256(expression).digest() for expression in expressions}
    assert len(digests) == len(set(digests))


@pytest.mark.parametrize("host", ["a." * 125 + "com", f"{'a' * 249}.com", "10.1.2.3", "[::1]"])
def test_hosts_up_to_what_a_name_server_can_be_asked_for(host: str) -> None:
    assert len(host) <= MAX_HOST == 253
    assert parse_source(f"http://{host}/").host == canonical_host(host) == host
    if not is_address(host):
        assert parse_source(f"http://{host}../x").host == host


@pytest.mark.parametrize("host", ["a." * 126 + "cc", f"{'a' * 250}.com", "\u00fc." * 40 + "com"])
@pytest.mark.parametrize("form", ["http://{}/", "{}", "ftp://{}./x", "http://u@{}:80?q"])
def test_longer_hosts_are_bad(host: str, form: str) -> None:
    for text, parse in ((form.format(host), parse_source), (host, canonical_host)):
        with pytest.raises(BadSource, match="a host of more than 253 characters") as caught:
            parse(text)
        assert host not in str(caught.value)


def test_a_million_segments_take_linear_time() -> None:
    source = parse_source("http://h.com/" + "a/" * 200_000)
    assert sum(1 for _ in url_digests(source)) == 200_002


def test_domain_expressions_walk_the_parents() -> None:
    assert set(domain_expressions("x.b.sub.org")) == {
        b"x.b.sub.org",
        b"=x.b.sub.org",
        b"b.sub.org",
        b"*.b.sub.org",
        b"sub.org",
        b"*.sub.org",
    }


@pytest.mark.parametrize("host", ["10.1.2.3", "[2001:db8::1]"])
def test_addresses_have_no_parents(host: str) -> None:
    assert is_address(host)
    assert set(domain_expressions(host)) == {host.encode(), b"=" + host.encode()}


@pytest.mark.parametrize("host", ["a/b", "u@a.com", "a.com:81", "a.com?x", "a b", ""])
def test_canonical_host_takes_hosts_only(host: str) -> None:
    with pytest.raises(BadSource):
        canonical_host(host)


@pytest.mark.parametrize("text", [None, "", "  ", "\t\r\n", "\u00a0"])
def test_blank_is_absent(text: str | None) -> None:
    assert is_absent(text)


@given(st.text(max_size=40))
def test_any_text_parses_or_is_bad(text: str) -> None:
    for candidate in (text, "http://" + text, "http://h.com/" + text):
        try:
            source = parse_source(candidate)
            list(url_digests(source))
        except BadSource:
            continue
        assert source.host
        assert canonical_host(source.host) == source.host


@given(st.text(max_size=40))
def test_canonical_form_is_stable(text: str) -> None:
    try:
        source = parse_source("http://h.com/" + text)
        expression = url_expression(source)
    except BadSource:
        return
    assert expression.startswith(b"h.com/")
    assert b"//" not in expression.partition(b"?")[0]


@pytest.mark.parametrize(
    "host",
    [
        "a\u0301\u0316" * 200_000,
        "".join(chr(0x20000 + i % 40_000) for i in range(400_000)),
        "a" * 5000,
    ],
    ids=["combining", "distinct", "ASCII"],
)
@pytest.mark.parametrize(
    "url", ["http://{}.com/x", " \tHTTP:\\u:p@{}.com\\x", "{}.com", "s3://{}/x"]
)
def test_hosts_without_end_are_not_parsed(url: str, host: str) -> None:
    with pytest.raises(BadSource, match="more than 253 characters where a host would be"):
        parse_source(url.format(host))


def test_a_long_text_need_not_have_a_long_host() -> None:
    for text in (
        "http://" + "u@" * 5000 + "bad.com/",
        "http://bad.com/" + "x" * 5000,
        "http://bad.com?" + "x" * 5000,
        "http://bad.com\\" + "x" * 5000,
        "bad.com" + " " * 5000,
        " " * 5000 + "http://bad.com" + "\n" * 5000,
        "http:" + "/" * 5000 + "bad.com",
    ):
        assert parse_source(text).host == "bad.com"
    for host in ("1.2.3.4", "_a.bad.com"):  # no schemes, as which they would be parsed
        source = parse_source(f"{host}:/{'x' * 5000}")
        assert (source.host, len(source.path)) == (host, 5001)
    spelled = "".join(f"%EF%BD%{0x81 + i % 26:X}" for i in range(60))  # full-width letters
    assert len(parse_source(f"http://{'.'.join([spelled] * 4)}/").host) == 243


def test_a_host_of_a_list_is_no_longer_than_another() -> None:
    with pytest.raises(BadSource, match="more than 253 characters"):
        canonical_host("a\u0301\u0316" * 200_000)


def test_labels_without_end_are_no_host_and_port() -> None:
    with pytest.raises(BadSource, match="a URL without a host"):
        parse_source("a." * 500_000 + "a:x")
