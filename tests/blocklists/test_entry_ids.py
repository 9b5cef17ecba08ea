import base64
import hashlib
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingestgate.blocklists import entry_ids
from ingestgate.blocklists.changes import compare, open_version
from ingestgate.blocklists.entries import value_parser
from ingestgate.blocklists.entry_ids import Spellings, made_id, shown_id
from ingestgate.blocklists.formats.mapping import parse_mapping
from ingestgate.blocklists.importing import import_files
from ingestgate.blocklists.lint import lint
from ingestgate.blocklists.listset import ListSet
from ingestgate.blocklists.placeholders import FILES
from ingestgate.blocklists.public_suffixes import PublicSuffixes
from ingestgate.blocklists.signals import signal_type
from ingestgate.blocklists.store import stored_entries

A, B, C = (f"a{number:x}" * 16 for number in range(1, 4))
VALUE = bytes.fromhex(A)


@pytest.mark.parametrize(
    "id",
    [
        A,
        A.upper(),
        f"42/{A}",
        f"md5:{A}",
        f"{A[:8]}-{A[8:12]}-{A[12:16]}-{A[16:20]}-{A[20:]}",
        " ".join(A[at : at + 2] for at in range(0, 32, 2)),
        base64.b64encode(VALUE).decode(),
        base64.urlsafe_b64encode(VALUE).decode().rstrip("="),
    ],
)
def test_a_hash_is_not_shown_as_an_id(id: str) -> None:
    assert shown_id(id, [("sha1", b"x" * 20), ("md5", VALUE)]) == made_id("md5", VALUE)
    assert shown_id(id, [("sha1", b"x" * 20)]) == id  # of another entry's values it is none


@pytest.mark.parametrize(
    ("kind", "listed", "ids"),
    [
        (
            "domain",
            ["bad.example", "*.bad.example", "=bad.example", ".bad.example"],
            ["bad.example", "BAD.example.", "*.bad.example", "42/bad.example", "b%61d.example"],
        ),
        ("domain", ["xn--bcher-kva.example"], ["b\u00fccher.example", "xn--bcher-kva.EXAMPLE"]),
        ("domain", ["10.0.0.1"], ["10.0.0.1", "167772161"]),
        (
            "url",
            ["bad.example/x?y"],
            ["https://bad.example/x?y", "http://BAD.example:80/x?y#z", "bad.example/x?y"],
        ),
    ],
)
def test_a_source_is_not_shown_as_an_id(kind: str, listed: list[str], ids: list[str]) -> None:
    for value in listed:
        for id in ids:
            shown = shown_id(id, [(kind, value.encode())])
            assert shown == made_id(kind, value.encode())
            assert "bad" not in shown
    for id in ("42", "R-1", "bad", "other.example", "42/other.example", made_id(kind, b"x")):
        assert shown_id(id, [(kind, one.encode()) for one in listed]) == id


ORCHARD = ["id-{}", "domain:{}", "{}|2026", "[{}]", "case {}/b", "ioc-{}", "42/x/{}"]
GLUED = ["42{}", "D1{}", "{}2026", "id{}x"]


@pytest.mark.parametrize("form", ORCHARD)
@pytest.mark.parametrize(
    ("kind", "listed", "spelled"),
    [
        ("domain", ".orchard.example", "Orchard.example"),
        ("domain", "orchard.example", "orchard%2Eexample"),
        ("domain", "orchard.example", "orchard%252eexample"),
        ("domain", "orchard.example", "orchard[.]example"),
        ("domain", "xn--bcher-kva.example", "B\u00fccher.example"),
        ("domain", "xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("domain", "192.0.2.7", "192.0.2.7"),
        ("url", "orchard.example/", "orchard.example"),
        ("url", "orchard.example/banana.jpg", "<https://orchard.example/banana.jpg>"),
        ("url", "orchard.example/banana.jpg", "orchard.example/banana.jpg@2026"),
        ("url", "orchard.example/banana.jpg", "HTTPS://orchard.example:443//Banana.jpg#x"),
        ("url", "xn--bcher-kva.example/a b", "b\u00fccher.example/a%20b"),
    ],
)
def test_an_id_that_holds_a_source_is_not_shown(
    form: str, kind: str, listed: str, spelled: str
) -> None:
    made = made_id(kind, listed.encode())
    assert shown_id(form.format(spelled), [(kind, listed.encode())]) == made


@pytest.mark.parametrize("form", GLUED)
@pytest.mark.parametrize(
    ("kind", "listed", "spelled"),
    [
        ("domain", "orchard.example", "orchard.example"),
        ("domain", "*.orchard.example", "Orchard%2Eexample"),
        ("url", "orchard.example/", "orchard.example/"),
        ("url", "orchard.example/secret/path.jpg", "orchard.example/secret/path.jpg"),
        ("url", "t.co/secret", "t.co/secret"),
        ("url", "10.0.0.1/secret", "10.0.0.1/secret"),
    ],
)
def test_an_id_that_holds_a_source_glued_to_others_is_not_shown(
    form: str, kind: str, listed: str, spelled: str
) -> None:
    made = made_id(kind, listed.encode())
    assert shown_id(form.format(spelled), [(kind, listed.encode())]) == made


@pytest.mark.parametrize("form", ["www.{}", "{}.", "{}/x", "({})", "x@{}", "a {}: b", "id-{}-2026"])
def test_an_id_that_holds_a_short_host_is_not_shown(form: str) -> None:
    assert shown_id(form.format("t.co"), [("domain", b"t.co")]) == made_id("domain", b"t.co")


@pytest.mark.parametrize("id", ["not.confirmed", "t.com", "at.co", "3t.co", "t.co2", "\u00e9at.co"])
def test_letters_of_a_host_within_words_are_none(id: str) -> None:
    for value in (b"t.co", b"*.t.co"):
        assert shown_id(id, [("domain", value)]) == id


def test_an_address_within_another_is_none() -> None:
    for id in ("10.0.0.12", "110.0.0.1"):
        assert shown_id(id, [("domain", b"10.0.0.1")]) == id
    assert shown_id("2001:db8::1f", [("domain", b"[2001:db8::1]")]) == "2001:db8::1f"


@pytest.mark.parametrize("id", ["orchard", "id-orchard", "case orchard.example/b", "17", "a:b"])
def test_an_id_that_holds_another_source_is_shown(id: str) -> None:
    assert shown_id(id, [("url", b"orchard.example/banana.jpg")]) == id


@given(st.text(min_size=1, max_size=20), st.sampled_from(["md5", "domain", "url", "phash"]))
def test_other_ids_are_the_partners(id: str, kind: str) -> None:
    value = value_parser(signal_type("url"))("unguessed.example/x")
    if kind not in ("domain", "url"):
        value = hashlib.sha512(value).digest()[: signal_type(kind).width]
    assert shown_id(id, [(kind, value)]) == id


HOSTS = ["bad.example", "t.co", "xn--bcher-kva.example", "10.0.0.1", "[2001:db8::1]"]
PATHS = ["", "/", "/x", "/a/x", "/x?y"]
VALUES = [("md5", VALUE), ("sha1", b"x" * 20), ("phash", VALUE[:8])]
VALUES += [("domain", scope + host.encode()) for host in HOSTS for scope in (b"", b"*.", b"=")]
VALUES += [("url", f"{host}{path or '/'}".encode()) for host in HOSTS for path in PATHS]
PIECES = [*HOSTS, *PATHS, A, A[:16], base64.b64encode(VALUE).decode(), "b\u00fccher.example"]
PIECES += ["http://", " ", "-", ".", "a", "7", ":", "%2e", "case "]


@given(
    st.lists(st.sampled_from(PIECES), max_size=6).map("".join),
    st.lists(st.sampled_from(VALUES), max_size=6),
)
def test_several_values_are_in_a_text_as_each_is(
    text: str, values: list[tuple[str, bytes]]
) -> None:
    assert Spellings(values).are_in(text) == any(Spellings([one]).are_in(text) for one in values)


def test_what_is_shorter_than_a_hash_is_not_looked_through(monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[object] = []

    class Counted(Spellings):
        def __init__(self, values: Iterable[tuple[str, bytes]]) -> None:
            built.append(values)
            super().__init__(values)

    monkeypatch.setattr(entry_ids, "Spellings", Counted)
    shortest = base64.b64encode(VALUE).decode().rstrip("=")
    assert shown_id("R-17", [("md5", VALUE), ("sha1", b"x" * 20)]) == "R-17"
    assert shown_id(shortest[1:], [("md5", VALUE)]) == shortest[1:]
    assert not built
    assert shown_id(shortest, [("md5", VALUE)]) == made_id("md5", VALUE)
    assert len(built) == 1


def test_as_many_texts_as_values_are_looked_through() -> None:
    numbers = range(20_000)
    spellings = Spellings(("domain", f"h{number}.example".encode()) for number in numbers)
    started = time.process_time()
    assert not any(spellings.are_in(f"category {number}") for number in numbers)
    assert time.process_time() - started < 5
    assert spellings.are_in("category h19999.example")


def test_updates_and_removals_go_by_the_partners_id(tmp_path: Path) -> None:
    mapping = parse_mapping("id=id,md5=md5,sha1=sha1,deleted=gone")

    def imported(*rows: str) -> dict[str, set[str]]:
        path = tmp_path / "f"
        path.write_text("".join(f"{row}\n" for row in ("id,md5,sha1,gone", *rows)))
        import_files(str(tmp_path / "s"), "p", [str(path)], mapping=mapping)
        found: dict[str, set[str]] = {}
        for signal, entries in stored_entries(str(tmp_path / "s"), "p"):
            for one in entries:
                found.setdefault(one.entry_id, set()).add(signal.name)
        return found

    made = made_id("md5", VALUE)
    assert imported(f"{A.upper()},{A},,", f"R-2,{B},,") == {made: {"md5"}, "R-2": {"md5"}}
    both = imported(f"{A.upper()},{A},{'1' * 39}2,")
    assert both == {made: {"md5", "sha1"}, "R-2": {"md5"}}  # of neither type is the id shown
    assert imported(f"{A.upper()},,,yes") == {"R-2": {"md5"}}


def test_nothing_that_is_shown_is_a_value(
    tmp_path: Path, compiled: Callable[..., Any], opened: Callable[..., ListSet]
) -> None:
    placeholder = hashlib.md5(next(file for file in FILES if file)).hexdigest()
    rows = f"value,entry_id\n{A},{A.upper()}\n{placeholder},{placeholder}\n"
    compiled("l", 1, md5=rows, domain="value,entry_id\nbad.example,https://bad.example/\n")
    compiled("l", 2, md5=f"{rows}{B},{B}\n", domain="value,entry_id\nbad.example,bad.example.\n")
    lists = tmp_path / "lists"
    compared = compare(open_version(str(lists / "l-1")), open_version(str(lists / "l-2")))
    assert compared.added == [made_id("md5", bytes.fromhex(B))]
    found = opened().match_digest("md5", A, "content")
    assert [one.entry_id for one in found] == [made_id("md5", VALUE)]
    (one,) = opened().lists
    messages = [problem.message for problem in lint(one, PublicSuffixes.built_in())]
    assert any(made_id("md5", bytes.fromhex(placeholder)) in message for message in messages)
    assert not [message for message in messages if placeholder in message]
