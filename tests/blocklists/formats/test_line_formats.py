"""Formats of one thing to a line: what the samples do not show."""

import io

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ingestgate.assets.errors import ListError
from ingestgate.blocklists.formats.registry import list_format
from tests.blocklists.formats.conftest import Reader

MD5 = "0123456789abcdef0123456789abcdef"
LINES: tuple[str, ...] = (
    "adblock",
    "domains",
    "hash-file",
    "hashed-expressions",
    "hosts",
    "imagehash",
)
LINES += ("local-file", "rpz", "urls")


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("hash-file", f"{MD5}\n{MD5[1:]}  a.jpg\n", "line 2, value: not a hash of 32, 40"),
        ("hash-file", f"a.jpg  {MD5}\n", "line 1, value: not a hash"),
        ("hash-file", f"SHA1 (a.jpg) = {MD5}\n", "line 1, value: no sha1 of 40 hex digits"),
        (
            "hash-file",
            "d41d8cd98f00b204e9800998ecf8427e\n",
            "line 1, value: would match what nobody meant",
        ),
        ("imagehash", f"\n# x\n{MD5}\n", "line 3, value: no phash of 16 hex digits"),
        ("imagehash", "f" * 16, "line 1, value: would match what"),
        ("local-file", f"pdq\n{MD5}\n", "line 1, row: wants a signal type"),
        ("local-file", f"{MD5} pdq\n", "line 1, signal type: not the name of one"),
        ("local-file", f"md5 {MD5} x\n", "line 1, value: no md5"),
        ("domains", "com\n", "line 1, value: a single label"),
        ("domains", "secret-place.example/x\n", "line 1, value: more or less than a host name"),
        ("urls", "secret-place.example\nmailto:x@secret-place.example", "line 2, value: not a URL"),
        ("hosts", "secret-place.example 0.0.0.0\n", "line 1, row: wants an address"),
        ("hosts", "0.0.0.0\n", "line 1, row: wants an address, then host names"),
        ("hosts", "0.0.0.0 a.example com\n", "line 1, name 2: a single label"),
        ("rpz", "secret-place.example\n", "line 1, row: not a resource record"),
        ("rpz", " CNAME .\n", "line 1, row: not a resource record"),
        ("rpz", "a.example CNAME ( .\n", "line 1, row: parentheses"),
        ("rpz", "a.example CNAME ) .\n", "line 1, row: parentheses"),
        ("rpz", "$INCLUDE secret-place\n", "line 1, row: a directive that is not read"),
        ("rpz", "$TTL\n", "line 1, row: a directive wants one"),
        (
            "domains",
            "a.example\nsecret-place.example,A\n",
            "line 2, value: holds a character that no",
        ),
        (
            "hosts",
            "0.0.0.0 a.example secret-place.example,b\n",
            "line 1, name 2: holds a character",
        ),
        ("adblock", "||secret-place.example,x^\n", "line 1, value: holds a character that no host"),
        ("rpz", "secret-place.example, CNAME .\n", "line 1, value: holds a character that no host"),
        ("urls", "https://secret-place.example/x\tA\n", "line 1, value: holds a control character"),
        ("urls", "https://secret-place.example/x # A\n", "line 1, value: holds a remark"),
        ("urls", "https://secret-place.example/x A\n", "line 1, value: holds a blank"),
        (
            "urls",
            "https://secret-place.example/x,\n",
            "line 1, value: ends in ',', as one of",
        ),
        (
            "urls",
            "https://secret-place.example/1,A\n# x\nhttps://secret-place.example/2,A\n",
            "line 3, row: has behind its last ',' what may be another column",
        ),
        (
            "local-file",
            'url https://secret-place.example/x"',
            "line 1, value: ends in '\"', as",
        ),
        ("local-file", "url https://secret-place.example/x\tA", "line 1, value: holds a control"),
        ("local-file", "url https://secret-place.example/x A", "line 1, value: holds a blank"),
        ("hashed-expressions", f"{MD5[:8]}\n", "line 1, value: not a SHA-256 of 32 bytes"),
        ("hashed-expressions", f"{MD5 * 2}0\n", "line 1, value: not a SHA-256 of 32 bytes"),
    ],
)
def test_malformed_lines(read: Reader, name: str, content: str, problem: str) -> None:
    message = read.refused(name, content, secret=MD5[1:])
    assert message.startswith(problem)
    assert "secret-place" not in message


@pytest.mark.parametrize("name", LINES)
def test_files_without_entries_are_refused(read: Reader, name: str) -> None:
    assert "holds no entry" in read.refused(name, "")


@pytest.mark.parametrize("name", LINES)
def test_line_ends_of_another_kind_are_refused(read: Reader, name: str) -> None:
    """Of two lines, one would hide in the other, or be a part of its remark."""
    message = read.refused(name, "! or\r# or ; a remark\rhttps://secret-place.example/x\r")
    assert message.startswith("line 1, row: holds a carriage return")
    assert "secret-place" not in message


@pytest.mark.parametrize("name", LINES)
@given(content=st.binary(max_size=80) | st.text(max_size=60).map(str.encode))
@example(content=b"\xc2\xa0")
@example(content=b"\x0b")
def test_whatever_comes_is_read_or_refused_with_its_place(name: str, content: bytes) -> None:
    list_format(name).detect(content)
    read = list_format(name).read("f", io.BytesIO(content))
    problem = ""
    try:
        assert all(record.not_read or record.values for record in read)
    except ListError as error:
        problem = str(error)
    assert not problem or problem.startswith("f, line ")


def test_what_a_domain_covers(read: Reader) -> None:
    def covers(name: str, content: str) -> list[bytes]:
        return [value for one in read(name, content) for _, value in one.values]

    assert covers("domains", "d.example\n*.d.example\n.d.example") == [
        b"d.example",
        b"*.d.example",
        b".d.example",
    ]
    assert covers("hosts", "0.0.0.0 d.example") == [b"d.example"]
    assert covers("adblock", "||d.example^") == [b".d.example"]
    assert covers("rpz", "d.example CNAME .\n*.d.example CNAME .") == [
        b"=d.example",
        b"*.d.example",
    ]


@pytest.mark.parametrize(
    "sink",
    [
        "0.0.0.0",
        "127.0.0.1",
        "127.1.1.1",
        "127.255.255.254",
        "::",
        "::0",
        "0:0:0:0:0:0:0:0",
        "::1",
        "0000::0001",
        "::1%lo0",
        "::%1",
        "::ffff:0.0.0.0",
        "::ffff:127.0.0.1",
    ],
)
def test_hosts_that_are_sent_to_nowhere(read: Reader, sink: str) -> None:
    (one,) = read("hosts", f"{sink} d.example\n")
    assert one.values == (("domain", b"d.example"),)
    assert not read.skipped


@pytest.mark.parametrize("address", ["192.0.2.1", "240.0.0.1", "0.0.0.1", "fe80::1%lo0", "::2"])
def test_hosts_that_are_sent_somewhere(read: Reader, address: str) -> None:
    assert read("hosts", f"{address} d.example\n") == []
    assert read.skipped == {"name that is not sent to nowhere": 1}


def test_names_relative_to_the_zone(read: Reader) -> None:
    zone = (
        "$ORIGIN rpz.example.\n@ 3600 IN SOA a. b. 1 2 3 4 5\n@ NS localhost.\n"
        "d.example CNAME .\nd2.example.rpz.example. IN 60 CNAME .\n 60 IN A 192.0.2.1\n"
        "rpz.example. TXT x\nd3.example A 192.0.2.1\n"
    )
    values = [value for one in read("rpz", zone) for _, value in one.values]
    assert b"=d.example" in values
    assert b"=d2.example" in values
    assert b"=d3.example" in values
    assert read.skipped == {"record of the zone itself": 1}


SOA = "SOA localhost. root.localhost. 1 2 3 4 5"
LISTED = {"bad.example", "www.evil.example"}
ZONES = {
    "nothing said": f"@ {SOA}\nbad.example CNAME .\nwww.evil.example CNAME .\n",
    "no SOA": "bad.example CNAME .\nwww.evil.example. CNAME .\n",
    "no SOA, an origin": "$ORIGIN rpz.local.\nbad.example CNAME .\n"
    "$ORIGIN evil.example\nwww CNAME .\n",
    "origin of the zone": f"$ORIGIN RPZ.local.\n@ {SOA}\nbad.example CNAME .\n"
    "www.evil.example.rpz.LOCAL. CNAME .\n",
    "origin of the root": f"$ORIGIN .\nrpz.local {SOA}\nbad.example.rpz.local CNAME .\n"
    "www.evil.example.rpz.local. CNAME .\n",
    "as written by BIND": f"$ORIGIN .\n$TTL 300\nrpz.local IN {SOA}\n NS localhost.\n"
    "$ORIGIN rpz.local.\nbad.example CNAME .\n$ORIGIN example.rpz.local.\nwww.evil CNAME .\n",
    "as transferred": f"rpz.local. 60 IN {SOA}\nrpz.local. 60 IN NS localhost.\n"
    "bad.example.rpz.local. 60 IN CNAME .\nwww.evil.example.rpz.local. IN 60 CNAME .\n"
    f"rpz.local. 60 IN {SOA}\n",
    "names relative to a zone named by its SOA": f"rpz.local. {SOA}\nbad.example CNAME .\n"
    "www.evil.example.rpz.local. CNAME .\n",
    "no dots at the ends": f"rpz.local {SOA}\nbad.example.rpz.local CNAME .\n"
    "www.evil.example.rpz.local CNAME .\n",
    "an origin that is relative": f"$ORIGIN local.\nrpz {SOA}\n$ORIGIN rpz\nbad.example CNAME .\n"
    "$ORIGIN example\n$ORIGIN evil\nwww CNAME .\n",
    "the origin itself": f"$ORIGIN rpz.local.\n@ {SOA}\n$ORIGIN bad.example\n@ CNAME .\n"
    "$ORIGIN www.evil.example.rpz.local.\n@ CNAME .\n",
    "owners left out": f"@ {SOA}\nbad.example CNAME .\n$ORIGIN evil.example\n TXT a\nwww TXT a\n"
    "\t60 IN A 192.0.2.1\n",
    "quotes and parentheses": f'@ {SOA}\nbad.example TXT "a (;" "\\")" (\n"b" ; )\n)\n'
    "www.evil.example (\n CNAME\n . )\n",
}


@pytest.mark.parametrize("zone", ZONES)
def test_names_as_the_zone_means_them(read: Reader, zone: str) -> None:
    values = [value for one in read("rpz", ZONES[zone]) for _, value in one.values]
    assert {value.decode() for value in values} == {f"={name}" for name in LISTED}


@pytest.mark.parametrize(
    ("zone", "problem"),
    [
        (
            f"$ORIGIN rpz.local.\n@ {SOA}\nbad.example. CNAME .",
            "line 3, owner: outside of the zone",
        ),
        (f"$ORIGIN rpz.local.\n@ {SOA}\n$ORIGIN evil.\nwww CNAME .", "line 4, owner: outside of"),
        (f"$ORIGIN rpz.local.\n@ {SOA}\n$ORIGIN .\nbad.example CNAME .", "line 4, owner: outside"),
        (f"$ORIGIN rpz.local.\n@ {SOA}\nbad.xrpz.local. CNAME .", "line 3, owner: outside of the"),
        (
            f"@ {SOA}\nbad.example. CNAME .",
            "line 2, owner: outside of the zone, as far as the file",
        ),
        (f"rpz.local {SOA}\nbad.example CNAME .", "line 2, owner: outside of the zone"),
        ("a.example CNAME .\n$ORIGIN bad.\nwww CNAME .", "line 3, owner: outside of the zone"),
        (f"bad.example CNAME .\nrpz.local. {SOA}\n", "line 2, owner: SOA record of another zone"),
        (f"rpz.local. {SOA}\nbad.rpz.local. {SOA}\n", "line 2, owner: SOA record of another zone"),
        (f"@ {SOA}\n bad.example CNAME .", "line 2, row: not a resource record"),
        (f"@ {SOA}\nbad.example CNAME", "line 2, row: not a resource record"),
        (f"@ {SOA}\n* CNAME .", "line 2, value: more or less than a host name"),
        (f"@ {SOA}\nbad\\.example CNAME .", "line 2, value: more or less than a host name"),
        (f'@ {SOA}\na.example TXT "a\nb"', "line 2, row: a quote that is not closed"),
        ("$GENERATE 1-9 a$.bad.example CNAME .", "line 1, row: a directive that is not read"),
        ("$ORIGIN a b", "line 1, row: a directive wants one argument"),
    ],
)
def test_zones_that_do_not_say_what_they_mean(read: Reader, zone: str, problem: str) -> None:
    message = read.refused("rpz", zone)
    assert message.startswith(problem)
    assert "bad" not in message


def test_what_a_zone_says_of_itself_and_of_others(read: Reader) -> None:
    zone = f"rpz.local. {SOA}\n NS localhost.\n TXT a\nbad.example NS localhost.\n"
    zone += "$ORIGIN rpz-ip.rpz.local.\n24.0.2.0.192 CNAME .\n"
    assert read("rpz", zone) == []
    assert read.skipped == {
        "record of the zone itself": 1,
        "delegation": 1,
        "trigger other than a name": 1,
    }


def test_triggers_are_told_by_their_last_label(read: Reader) -> None:
    names = ["a.rpz-ips.example", "a.rpz-ip.example", "b.rpz-ip", "c.RPZ-NSDNAME", "d.xrpz-ip.e"]
    for zone in ("", f"$ORIGIN rpz.local.\n@ {SOA}\n"):
        listed = read("rpz", zone + "".join(f"{name} CNAME .\n" for name in names))
        assert [value for one in listed for _, value in one.values] == [
            b"=a.rpz-ips.example",
            b"=a.rpz-ip.example",
            b"=d.xrpz-ip.e",
        ]
        assert read.skipped == {"trigger other than a name": 2}


labels = st.lists(st.sampled_from(["a", "bad", "rpz", "local", "example"]), min_size=1, max_size=3)


@given(st.lists(st.tuples(labels, labels), min_size=1, max_size=6))
def test_however_names_are_divided_they_are_the_same(
    names: list[tuple[list[str], list[str]]],
) -> None:
    lines = ["$ORIGIN .", f"rpz.local {SOA}"]
    for first, last in names:
        lines += [f"$ORIGIN {'.'.join(last)}.rpz.local.", f"{'.'.join(first)} CNAME ."]
    records = list_format("rpz").read("f", io.BytesIO("\n".join(lines).encode()))
    assert [record.values[0].text for record in records] == [".".join(a + b) for a, b in names]


def test_another_hash_than_the_format_takes_them_for(read: Reader) -> None:
    (one,) = read("imagehash", MD5 * 2, signal_type_name="phash16")
    assert one.values == (("phash16", bytes.fromhex(MD5 * 2)),)
    (one,) = read("hash-file", MD5 * 2, signal_type_name="pdq")
    assert one.values == (("pdq", bytes.fromhex(MD5 * 2)),)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("local-file", f"sha256 {MD5 * 2}\n"),
        ("hash-file", f"{MD5 * 2}\nSHA256 (a.jpg) = {MD5 * 2}\n"),
    ],
)
def test_no_other_hash_than_the_file_says(read: Reader, name: str, content: str) -> None:
    lines = content.count("\n")
    with pytest.raises(ListError) as caught:
        read(name, content, signal_type_name="pdq")
    assert str(caught.value).endswith(
        f"line {lines}, signal type: the file says sha256, --type pdq; leave --type out"
    )
    values = [one.values for one in read(name, content, signal_type_name="sha256")]
    assert values == [(("sha256", bytes.fromhex(MD5 * 2)),)] * lines


@pytest.mark.parametrize(
    "name",
    ["192.0.2.7:8080", "orchard.example:8443", "adserver", "ads.", ".ads", "orchard.example:"],
)
def test_adblock_rules_that_name_no_host_are_counted(read: Reader, name: str) -> None:
    (one,) = read("adblock", f"||grove.example^\n||{name}^\n||{name}^$all")
    assert one.values == (("domain", b".grove.example"),)
    assert read.skipped == {"rule by pattern": 2}


def test_adblock_addresses_are_hosts(read: Reader) -> None:
    found = read("adblock", "||192.0.2.7^\n||[2001:db8::1]^\n||b.example.^")
    assert [one.values[0][1] for one in found] == [b".192.0.2.7", b".[2001:db8::1]", b".b.example"]


def test_adblock_conditions_that_always_hold(read: Reader) -> None:
    assert len(read("adblock", "||a.example^$all\n||b.example^$document,important")) == 2
