import hashlib
import re
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ingestgate.assets.errors import ListError, StorageError, UsageError
from ingestgate.blocklists.entries import Entry, FieldError, read_entries, value_parser
from ingestgate.blocklists.entry_ids import made_id
from ingestgate.blocklists.signals import signal_type
from ingestgate.blocklists.sources import is_address, parse_source, url_expression

MD5 = "0123456789abcdef0123456789ABCDEF"


def read(tmp_path: Path, signal: str, content: str | bytes, name: str | None = None) -> list[Entry]:
    path = tmp_path / "hashes.txt"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return list(read_entries(signal, str(path), name=name))


def refused(tmp_path: Path, signal: str, content: str | bytes) -> str:
    with pytest.raises(ListError) as caught:
        read(tmp_path, signal, content)
    assert caught.value.__cause__ is None  # a cause could carry the line
    return str(caught.value)


def test_plain_text_with_comments_blanks_and_either_case(tmp_path: Path) -> None:
    entries = read(tmp_path, "md5", f"\ufeff# a comment\r\n\r\n {MD5} \r\n{MD5.lower()}", name="n")
    assert [entry.value.hex() for entry in entries] == [MD5.lower()] * 2
    assert [(e.entry_id, e.category) for e in entries] == [("n:md5:3", ""), ("n:md5:4", "")]


def test_ids_are_named_after_the_file_unless_told(tmp_path: Path) -> None:
    assert read(tmp_path, "md5", MD5)[0].entry_id == "hashes:md5:1"


def test_csv(tmp_path: Path) -> None:
    text = f'# by us\nvalue,entry_id,category\n#no\n\n{MD5},7,A1\n"{MD5}","a,b",\n{MD5},,B\n'
    entries = read(tmp_path, "md5", text, name="n")
    assert [(e.entry_id, e.category) for e in entries] == [
        ("7", "A1"),
        ("a,b", ""),
        ("n:md5:7", "B"),
    ]


def test_an_id_of_the_partners_that_ends_like_one_of_ours_shows_no_hash(tmp_path: Path) -> None:
    (entry,) = read(tmp_path, "md5", f"value,entry_id\n{MD5},{MD5}:md5:17\n", name="n")
    assert entry.entry_id == made_id("md5", bytes.fromhex(MD5))


@pytest.mark.parametrize(
    ("signal", "value", "category"),
    [
        ("md5", MD5, MD5),
        ("md5", MD5, f"see {MD5.lower()}"),
        ("md5", MD5, "ASNFZ4mrze8BI0VniavN7w=="),
        ("md5", MD5, "https://other.example/x"),
        ("md5", MD5, "0" * 40),
        ("phash", "0123456789abcdef", "0123-4567-89AB-CDEF"),
        ("domain", "site5.example", "see https://site5.example/x"),
        ("domain", "site5.example", "fruit (Site5.example)"),
        ("url", "https://site5.example/x", "site5.example/x, fruit"),
    ],
)
def test_a_category_that_shows_what_is_listed(
    tmp_path: Path, signal: str, value: str, category: str
) -> None:
    text = f'value,entry_id,category\n{value},1,"{category}"\n'
    message = refused(tmp_path, signal, text)
    assert "line 2, category: holds the listed value, or a URL or a digest" in message
    assert value.lower() not in message.lower()
    assert category not in message


def test_csv_rows_whose_identifier_begins_with_a_hash_sign(tmp_path: Path) -> None:
    text = f'entry_id,value\n"#17",{MD5}\n#18\n'
    assert [entry.entry_id for entry in read(tmp_path, "md5", text)] == ["#17"]
    message = refused(tmp_path, "md5", f"entry_id,value\n17,{MD5}\n#18,{MD5}\n")
    assert "line 3, row: begins with # as a remark does, but has the fields of a row" in message
    assert MD5 not in message


def test_csv_of_values_only_and_in_another_order(tmp_path: Path) -> None:
    assert len(read(tmp_path, "md5", f"Value\n{MD5}\n")) == 1
    assert read(tmp_path, "md5", f"entry_id,value\n9,{MD5}\n")[0].entry_id == "9"


def test_repr_of_an_entry_hides_the_value(tmp_path: Path) -> None:
    (entry,) = read(tmp_path, "md5", MD5)
    assert MD5.lower() not in repr(entry).lower()
    assert str(entry.value) not in repr(entry)


@pytest.mark.parametrize(
    ("signal", "value", "reason"),
    [
        ("md5", MD5[:-1], "line 2, value: no md5 of 32 hex digits"),
        ("md5", MD5 + "0", "no md5 of 32 hex digits"),
        ("md5", MD5[:-1] + "g", "no md5 of 32 hex digits"),
        ("md5", MD5[:-1] + "٣", "no md5 of 32 hex digits"),
        ("md5", f"{MD5[:16]} {MD5[16:]}", "no md5 of 32 hex digits"),
        ("sha1", MD5, "no sha1 of 40 hex digits"),
        ("pdq", MD5, "no pdq of 64 hex digits"),
        ("phash", "0x23456789abcdef", "no phash of 16 hex digits"),
        ("md5", hashlib.md5().hexdigest(), "digest of the empty file"),
        ("sha1", hashlib.sha1().hexdigest(), "digest of the empty file"),
        ("sha256", hashlib.sha256().hexdigest().upper(), "digest of the empty file"),
        ("md5", "0" * 32, "all zeros"),
        ("sha512", "F" * 128, "all ones"),
        ("pdq", "0" * 64, "flat"),
        ("phash", "f" * 16, "flat"),
        ("domain", "onelabel", "a single label without a dot"),
        ("domain", "onelabel.", "a single label without a dot"),
        ("domain", "*.onelabel", "a single label without a dot"),
        ("domain", "two hosts.example", "holds white space"),
        ("domain", "0.0.0.0\thosts.example", "holds white space"),
        ("domain", "https://host.example", "more or less than a host name"),
        ("domain", "host.example/path", "more or less than a host name"),
        ("domain", "host.example:80", "more or less than a host name"),
        ("domain", "a.*.example", "more or less than a host name"),
        ("domain", "me@host.example", "more or less than a host name"),
        ("domain", "*..", "empty"),
        ("domain", "...", "empty"),
        ("domain", "*.10.1.2.3", "an IP address has nothing below it"),
        *(("domain", number, "a number; wants a name") for number in ("12345", "0x1f", "1.2")),
        ("domain", "010.1.2.3", "a number; wants a name, or an IPv4 address as in 192.0.2.1"),
        ("domain", "0xa.1.2.3", "a number; wants a name, or an IPv4 address as in 192.0.2.1"),
        ("url", "0x7f.1", "a number; wants a name"),
        ("url", "1.2/x", "a number; wants a name"),
        ("domain", ".10.1.2.3", "an IP address has nothing below it; list it without ."),
        ("domain", ".co.uk", "a public suffix, under which anybody can register"),
        ("domain", "xn--a.ß", "not a host name or IP address"),
        ("url", "http://a.example:99999/secret", "not a URL that could be matched"),
        ("url", "data:secret", "not a URL that could be matched"),
        ("url", "justtext", "not a URL that could be matched"),
        ("domain", "host.example,csam", "holds a character that no host name has"),
        ("domain", "host.example,", "holds a character that no host name has"),
        ("domain", "host.example;1", "holds a character that no host name has"),
        ("domain", "a.example,b.example", "holds a character that no host name has"),
        ("domain", "'host.example'", "holds a character that no host name has"),
        ("domain", "*.host.example\uff0c1", "holds a character that no host name has"),
        ("domain", "host.example%2c1", "holds a character that no host name has"),
        ("domain", "host.example=1", "holds a character that no host name has"),
        ("domain", "\u201chost.example\u201d", "holds punctuation that no host name has"),
        ("domain", "%e2%80%9chost.example", "holds punctuation that no host name has"),
        ("domain", "\u00abhost.example\u00bb", "holds punctuation that no host name has"),
        ("domain", "ho\u2013st.example", "holds punctuation that no host name has"),
        ("domain", "a.example\u3001b.example", "holds punctuation that no host name has"),
        ("domain", "a." * 126 + "cc", "not a host name or IP address"),
        ("url", "https://host.example/x\tcategory", "holds a control character"),
        ("url", "https://ho\tst.example/x", "holds a control character"),
        ("url", "https://host.example/x\x00", "holds a control character"),
        ("url", "https://host.example/x\x0by", "holds a control character"),
        ("url", "https://host.example/x\u2028y", "holds a control character"),
        ("url", "https://host.example/x #remark", "holds a remark"),
        ("url", "https://host.example/x  # remark", "holds a remark"),
        ("url", "https://host.example/x category", "holds a blank"),
        ("url", "https://host.example/x,", "ends in ',', as one of several fields may"),
        ("url", "https://host.example/x;", "(where that is a part of it, %3B)"),
        ("url", "https://host.example/x|", "ends in '|', as one of several fields may"),
        ("url", 'https://host.example/x"', "ends in '\"', as one of several fields may"),
        ("url", "https://host.example/x'", 'ends in "\'", as one of several fields may'),
        ("url", "https://host.example/x\u200b", "ends in a character that shows nothing"),
        ("url", "https://host.example/x\ufeff", "ends in a character that shows nothing"),
        ("url", "https://host.example/x/*", "its path ends in /*, and * stands for itself"),
        ("url", "host.example/%2A?a=b", "to list all that is below, end it in /"),
        ("url", "\u200bhttps://host.example/x", "not a URL that could be matched"),
        ("url", "https://host.example,x/y", "holds a character that no host name has"),
        ("url", "https://a.example,https://b.example/", "holds several URLs"),
        ("url", "host.example,x", "holds a character that no host name has"),
        ("url", "https://host.example/#!/photo/7", "only its fragment (#...) says which page"),
        ("url", "https://host.example#photo", "only its fragment (#...) says which page is meant"),
        ("url", "host.example/?#/photo?id=7", "only its fragment (#...) says which page is meant"),
        ("url", "HTTP:\\\\Host.example:80\\.\\#7", "only its fragment (#...) says which page"),
        ("url", "https://host\u2019s.example/y", "holds punctuation that no host name has"),
        ("url", "https://" + "a." * 126 + "cc/", "a host of more than 253 characters"),
    ],
)
def test_wrong_value_is_refused_by_line_and_reason_but_not_shown(
    tmp_path: Path, signal: str, value: str, reason: str
) -> None:
    message = refused(tmp_path, signal, f"# first line\n{value}\n")
    assert str(tmp_path / "hashes.txt") in message
    assert "line 2, value: " in message
    assert reason in message
    assert value not in message


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "holds no entry"),
        ("# only\n\n# comments\n", "holds no entry"),
        ("value,entry_id\n", "holds no entry"),
        (
            f"hash,id\n{MD5},1\n",
            "(it has 7 characters); if the line is a header, it has to be value[,entry_id,",
        ),
        (f"value,categroy\n{MD5},A\n", "line 1, header: wants the columns"),
        (f"entry_id,category\n1,{MD5}\n", "line 1, header: wants the columns"),
        (f"value,value\n{MD5},{MD5}\n", "line 1, header: wants the columns"),
        (f"value,entry_id\n{MD5}\n", "line 2, row: has 1 fields, the header 2"),
        (f"value,entry_id\n{MD5},1,2\n", "line 2, row: has 3 fields, the header 2"),
        (f'value,entry_id\n{MD5},"1\n', "line 2, row: not CSV"),
        (f"value,entry_id\n\n{MD5},a\x07b\n", "line 3, entry_id: holds a control character"),
        (f"value,category\n{MD5},{'c' * 257}\n", "line 2, category: longer than 256"),
        (f"value,category\n,{MD5}\n", "line 2, value: no md5"),
        (MD5.encode() + b"\n" + MD5.encode()[:-1] + b"\xff\n", "line 2, row: not UTF-8"),
    ],
)
def test_wrong_file_is_refused(tmp_path: Path, content: str | bytes, reason: str) -> None:
    message = refused(tmp_path, "md5", content)
    assert reason in message
    assert MD5 not in message


@pytest.mark.parametrize(
    ("listed", "expression"),
    [
        ("BAD.example", b"bad.example"),
        ("bad.example.", b"bad.example"),
        ("*.Bad.example", b"*.bad.example"),
        (".Bad.example", b".bad.example"),
        ("bücher.example", b"xn--bcher-kva.example"),
        ("10.1.2.3", b"10.1.2.3"),
        ("2001:db8::1", b"[2001:db8::1]"),
        ("[2001:DB8::1]", b"[2001:db8::1]"),
        ("::ffff:102:304", b"1.2.3.4"),
        ("_dmarc.a--b.example", b"_dmarc.a--b.example"),
        ("b%61d.example", b"bad.example"),
        ("\uff42ad\u3002example", b"bad.example"),
        ("xn--bad-2o0a.example", b"xn--bad-2o0a.example"),  # as it was written
        ("col\u00b7legi.example", b"xn--collegi-xma.example"),
        ("\u30b9\u30fb\u30b9.example", b"xn--zcka1r.example"),
        ("\u2764.example", b"xn--qei.example"),
    ],
)
def test_domains_become_expressions(tmp_path: Path, listed: str, expression: bytes) -> None:
    assert [entry.value for entry in read(tmp_path, "domain", listed)] == [expression]


def test_urls_become_expressions(tmp_path: Path) -> None:
    urls = [
        "https://A.example/x?y#z",
        "b.example/p,q",
        "c.example/#",
        "d.example/?q#!/7",
        "http://0x7f.1/",
    ]
    entries = read(tmp_path, "url", "\n".join(urls))
    assert [entry.value for entry in entries] == [
        b"a.example/x?y",
        b"b.example/p,q",
        b"c.example/",
        b"d.example/?q",
        b"127.0.0.1/",
    ]


spelled = st.text(max_size=12) | st.lists(
    st.sampled_from(
        ["xn--", "%78n--", "a", "bad", ".", "\u3002", "\u2019", "\u00fc", ",", "-", "\uff58"]
    ),
    max_size=9,
).map("".join)


@given(spelled)
@example("%78n--a.example")
@example("\uff58n--99999.example")
def test_whatever_is_taken_is_a_name_or_an_address(text: str) -> None:
    parsers = {name: value_parser(signal_type(name)) for name in ("domain", "url")}
    for name, value in (("domain", text), ("url", f"http://{text}/x"), ("url", text)):
        try:
            host = parsers[name](value).partition(b"/")[0].lstrip(b"*.").decode()
        except FieldError:
            continue
        assert is_address(host) or re.fullmatch(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*", host)


def test_a_url_may_hold_encoded_what_would_divide_it(tmp_path: Path) -> None:
    urls = "https://a.example/p%20q\nhttps://a.example/?u=http://b.example/%2chttp://c.example/"
    assert [entry.value for entry in read(tmp_path, "url", urls)] == [
        b"a.example/p q",
        b"a.example/?u=http://b.example/,http://c.example/",
    ]


@pytest.mark.parametrize(
    ("blank", "escaped"), [(" ", "%20"), ("\u3000", "%E3%80%80"), ("\u00a0", "%C2%A0")]
)
def test_a_blank_that_is_escaped_as_the_message_says_lists_the_url(
    tmp_path: Path, blank: str, escaped: str
) -> None:
    url = f"https://a.example/p{blank}q"
    assert f"(where that is a part of it, {escaped})" in refused(tmp_path, "url", url)
    (entry,) = read(tmp_path, "url", url.replace(blank, escaped))
    assert entry.value == url_expression(parse_source(url))


def test_a_table_of_urls_without_a_header_is_refused(tmp_path: Path) -> None:
    message = refused(tmp_path, "url", "https://a.example/1.jpg,A1\nhttps://a.example/2.jpg,A1\n")
    assert "line 2, row: has behind its last ',' what may be another column" in message
    assert "a.example" not in message
    urls = "https://a.example/1.jpg,A1\nhttps://a.example/2.jpg\n"
    assert [entry.value for entry in read(tmp_path, "url", urls)] == [
        b"a.example/1.jpg,A1",
        b"a.example/2.jpg",
    ]


def test_a_url_in_a_field_of_its_own_may_end_as_it_likes(tmp_path: Path) -> None:
    (entry,) = read(tmp_path, "url", 'value,category\n"https://a.example/x,",A\n')
    assert entry.value == b"a.example/x,"


@pytest.mark.parametrize(
    "between", [" ", ",", "; ", "|", " | ", "\u3000", "\u200b", " (", "\uff0c"]
)
def test_several_urls_in_one_field_are_refused(tmp_path: Path, between: str) -> None:
    urls = f"https://a.example/1.jpg{between}https://b.example/2.jpg"
    message = refused(tmp_path, "url", f'value,entry_id\n"{urls}",r1\n')
    assert "line 2, value: holds several URLs; wants one and nothing else" in message
    assert "example" not in message.removeprefix(str(tmp_path))


def test_line_ends_of_another_kind_are_refused(tmp_path: Path) -> None:
    for signal, text in (("url", "https://a.example/x\rhttps://b.example/y\r"), ("md5", MD5)):
        message = refused(tmp_path, signal, f"# first line\n{text}\r{text}\n")
        assert "line 2, row: holds a carriage return" in message
    assert len(read(tmp_path, "md5", f"{MD5}\r\n{MD5}\r\r\n")) == 2


def test_unknown_type_and_missing_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no signal type"):
        list(read_entries("md6", str(tmp_path / "x")))
    with pytest.raises(StorageError):
        list(read_entries("md5", str(tmp_path / "missing")))
