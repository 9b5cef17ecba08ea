import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ingestgate.assets.errors import ListError, UsageError
from ingestgate.blocklists.compiling import compile_list
from ingestgate.blocklists.formats.mapping import parse_mapping
from ingestgate.blocklists.importing import import_files
from ingestgate.blocklists.manifest import DomainScope, ListInfo
from ingestgate.blocklists.public_suffixes import PublicSuffixes
from ingestgate.blocklists.store import stored_entries

SAMPLES = Path(__file__).parent / "samples"
ISSUED = datetime(2026, 1, 1, tzinfo=UTC)


def test_folders_and_patterns(tmp_path: Path) -> None:
    pages = tmp_path / "pages"
    pages.mkdir()
    for name in ("ncmec-1.xml", "ncmec-2.xml"):
        (pages / name).write_bytes((SAMPLES / name).read_bytes())
    by_folder = import_files(str(tmp_path / "a"), "p", [str(pages)])
    by_pattern = import_files(str(tmp_path / "b"), "p", [str(pages / "*.xml")])
    assert by_folder == by_pattern
    assert by_folder.changes.total == 3


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no file there"):
        import_files(str(tmp_path), "p", [str(tmp_path / "*.xml")])


def test_importing_again_changes_nothing(tmp_path: Path) -> None:
    files = [str(SAMPLES / "ncmec-1.xml"), str(SAMPLES / "ncmec-2.xml")]
    import_files(str(tmp_path), "p", files)
    before = (tmp_path / "p" / "entries.parquet").read_bytes()
    changes = import_files(str(tmp_path), "p", files).changes
    assert changes[:3] == (0, 0, 0)
    assert (tmp_path / "p" / "entries.parquet").read_bytes() == before


def written(tmp_path: Path, text: str) -> str:
    path = tmp_path / "list.txt"
    path.write_text(text)
    return str(path)


def compiled(tmp_path: Path, scope: DomainScope = "subdomains", **options: Any) -> ListInfo:
    to = str(tmp_path / "lists")
    return compile_list(id="l", version=1, to=to, issued=ISSUED, domain_scope=scope, **options)


@pytest.mark.parametrize("suffix", ["co.uk", "*.co.uk", "foo.ck", "FOO.ck."])
def test_public_suffixes_are_refused_by_file_and_line(tmp_path: Path, suffix: str) -> None:
    path = written(tmp_path, f"fine.example\n{suffix}\n")
    with pytest.raises(ListError, match="line 2, value: a public suffix, under") as of_import:
        import_files(str(tmp_path / "store"), "p", [path], format_name="domains")
    with pytest.raises(ListError, match="line 2, value: a public suffix, under") as of_compile:
        compiled(tmp_path, sources=[("domain", path)])
    for caught in (of_import, of_compile):
        assert path in str(caught.value)
        assert suffix not in str(caught.value)
    assert not (tmp_path / "lists").exists()
    result = import_files(
        *(str(tmp_path / "store"), "p", [path]),
        format_name="domains",
        leave_out_never_match=True,
    )
    assert result.skipped == {"domain that would match what nobody meant": 1}
    assert result.changes.total == 1


def test_a_url_that_would_list_its_host_is_left_out_and_counted(tmp_path: Path) -> None:
    store = str(tmp_path / "store")
    path = written(tmp_path, "https://site.example/#!/photo/7\nhttps://site.example/albums\n")
    with pytest.raises(
        ListError, match=r"line 1, value: only its fragment \(#...\) says"
    ) as caught:
        import_files(store, "p", [path])
    assert "photo" not in str(caught.value)
    result = import_files(store, "p", [path], leave_out_never_match=True)
    assert result.skipped == {"url that would match what nobody meant": 1}
    ((_, entries),) = stored_entries(store, "p")
    assert [one.value for one in entries] == [b"site.example/albums"]


def test_a_public_suffix_in_the_store_is_refused_by_its_entry(tmp_path: Path) -> None:
    store, path = str(tmp_path / "store"), written(tmp_path, "fine.example\nhoster.example\n")
    import_files(store, "p", [path], format_name="domains")
    rules = PublicSuffixes.of(["*.ck", "hoster.example"])
    with pytest.raises(ListError, match=r"list l, entry domain-[0-9a-f]{32}: a public suffix") as e:
        compiled(tmp_path, sources=[], store=store, partner="p", suffixes=rules)
    assert "hoster" not in str(e.value)
    alone = compiled(tmp_path, "exact", sources=[], store=store, partner="p", suffixes=rules)
    assert alone.listed == {"domain": 2}


def test_a_host_alone_may_be_a_public_suffix(tmp_path: Path) -> None:
    path = written(tmp_path, "co.uk\n")
    assert compiled(tmp_path, "exact", sources=[("domain", path)]).listed == {"domain": 1}


def stopncii(tmp_path: Path, *hashes: str) -> str:
    records = [
        {
            "lastModtimestamp": 1767225600,
            "signalType": "ImagePDQ",
            "hashValue": value,
            "hashStatus": "Active",
        }
        for value in hashes
    ]
    return written(tmp_path, json.dumps({"hasMoreRecords": False, "hashRecords": records}))


def test_one_malformed_value_need_not_block_a_feed(tmp_path: Path) -> None:
    good = [hashlib.sha256(b"%d" % n).hexdigest() for n in range(99)]
    path, store = stopncii(tmp_path, *good, "0" * 32), str(tmp_path / "store")
    with pytest.raises(ListError, match="element 100 of hashRecords, hashValue: no pdq of 64"):
        import_files(store, "p", [path])
    result = import_files(store, "p", [path], max_malformed=0.01)
    assert result.skipped == {"malformed pdq": 1}
    assert result.changes.total == 99


def test_more_malformed_values_than_allowed_change_nothing(tmp_path: Path) -> None:
    good = [hashlib.sha256(b"%d" % n).hexdigest() for n in range(98)]
    path, store = stopncii(tmp_path, *good, "0" * 32, "ab"), tmp_path / "store"
    said = r"2 of 100 values are malformed, more than may be left out \(1\.00%\); ask the partner"
    with pytest.raises(ListError, match=said):
        import_files(str(store), "p", [path], max_malformed=0.01)
    assert not list(store.rglob("*.parquet"))


def test_an_entry_that_nothing_is_left_of_says_nothing(tmp_path: Path) -> None:
    store = str(tmp_path / "store")
    mapping = parse_mapping("md5=md5,id=id")
    import_files(store, "p", [written(tmp_path, f"md5,id\n{'1' * 31}2,a\n")], mapping=mapping)
    rows = "".join(f"{n:032x},{n}\n" for n in range(1, 30))
    path = written(tmp_path, f"md5,id\n{rows}{'1' * 31},a\n")
    changes = import_files(store, "p", [path], mapping=mapping, max_malformed=0.1).changes
    assert (changes.added, changes.removed, changes.changed, changes.total) == (29, 0, 0, 30)


EMPTY = hashlib.md5().hexdigest()


@pytest.mark.parametrize("snapshot", [False, True])
def test_a_value_that_nobody_meant_withdraws_nothing(tmp_path: Path, snapshot: bool) -> None:
    store, mapping = str(tmp_path / "store"), parse_mapping("id=id,md5=md5,sha1=sha1")
    a, b = (f"{'1' * 30}{n:02}" for n in range(2))
    before = table(tmp_path, f"A,{a},,", f"B,{b},{'1' * 40},")
    import_files(store, "p", [before], mapping=mapping)
    path = table(tmp_path, f"A,{EMPTY},,", f"B,{EMPTY},{'1' * 39}2,", f"C,{EMPTY},,")
    result = import_files(
        store, "p", [path], mapping=mapping, leave_out_never_match=True, snapshot=snapshot
    )
    assert result.skipped == {"md5 that would match what nobody meant": 3}
    assert (result.changes.added, result.changes.removed, result.changes.changed) == (0, 0, 1)
    assert stored(store) == {"A": {"md5:00"}, "B": {"md5:01", "sha1:12"}}


def test_a_value_that_nobody_meant_is_of_no_entry_without_an_identifier(tmp_path: Path) -> None:
    store = str(tmp_path / "store")
    import_files(store, "p", [written(tmp_path, f"{'1' * 32}\n{'2' * 32}\n")])
    path = written(tmp_path, f"{'1' * 32}\n{EMPTY}\n")
    result = import_files(store, "p", [path], snapshot=True, leave_out_never_match=True)
    assert (result.changes.removed, result.changes.total) == (1, 1)


@pytest.mark.parametrize("role", ["category", "feedback"])
def test_a_column_that_shows_what_is_listed(tmp_path: Path, role: str) -> None:
    store, mapping = str(tmp_path / "store"), parse_mapping(f"id=id,url=url,{role}=note")
    rows = "".join(f"{n},https://site{n}.example/x,fruit\n" for n in range(19))
    text = f"id,url,note\n{rows}19,https://site19.example/x,at site19.example/x\n"
    path = written(tmp_path, text)
    with pytest.raises(ListError, match=f"line 21, {role}: holds the listed value") as caught:
        import_files(store, "p", [path], mapping=mapping)
    assert "site19" not in str(caught.value)
    assert not list(Path(store).rglob("*.parquet"))
    result = import_files(store, "p", [path], mapping=mapping, max_malformed=0.05)
    assert result.skipped == {f"{role} that would show what is listed": 1}
    ((_, entries),) = stored_entries(store, "p")
    assert {one.entry_id: (one.category, one.feedback)[role == "feedback"] for one in entries} == {
        **{str(n): "fruit" for n in range(19)},
        "19": "",
    }  # it is still listed
    mapping = parse_mapping(f"id=id,url=url,{role}=url")
    with pytest.raises(ListError, match=f"line 2, {role}: holds the listed value"):
        import_files(store, "p", [path], mapping=mapping)
    with pytest.raises(ListError, match="20 of 20 values are malformed"):
        import_files(store, "p", [path], mapping=mapping, max_malformed=0.1)


def test_one_value_of_an_entry_is_not_shown_by_the_category_of_another(tmp_path: Path) -> None:
    store, mapping = str(tmp_path / "store"), parse_mapping("id=id,domain=d,category=c")
    path = written(tmp_path, "id,d,c\nA,site1.example,fruit\nA,site2.example,site1.example\n")
    import_files(store, "p", [path], mapping=mapping)
    with pytest.raises(ListError, match="entry A, category or feedback: holds the listed") as e:
        stored(store)
    assert "site1" not in str(e.value)


def stored(store: str) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for signal, entries in stored_entries(store, "p"):
        for one in entries:
            found.setdefault(one.entry_id, set()).add(f"{signal.name}:{one.value.hex()[-2:]}")
    return found


def table(tmp_path: Path, *rows: str) -> str:
    return written(tmp_path, "id,md5,sha1,gone\n" + "".join(f"{row}\n" for row in rows))


def test_a_snapshot_leaves_what_it_holds_but_cannot_be_read(tmp_path: Path) -> None:
    store, mapping = str(tmp_path / "store"), parse_mapping("id=id,md5=md5,sha1=sha1,deleted=gone")
    a, b, c = (f"{'1' * 30}{n:02}" for n in range(3))
    import_files(
        store,
        "p",
        [table(tmp_path, f"A,{a},,", f"B,{a},{'1' * 40},", f"C,{b},,", f"D,{c},,")],
        mapping=mapping,
    )
    more = [f"{n},{n + 1:032x},," for n in range(60)]
    path = table(tmp_path, f"A,{a[1:]},,", f"B,{b[1:]},{'1' * 39}2,", f"C,{a},,", *more)
    result = import_files(store, "p", [path], mapping=mapping, snapshot=True, max_malformed=0.1)
    assert result.skipped == {"malformed md5": 2}
    assert (result.changes.removed, result.changes.changed) == (1, 2)
    after = stored(store)
    assert after["A"] == {"md5:00"}
    assert after["B"] == {"md5:00", "sha1:12"}  # its readable part is as the file has it
    assert after["C"] == {"md5:00"}
    assert "D" not in after


@pytest.mark.parametrize("snapshot", [False, True])
def test_values_of_unknown_types_alone_withdraw_nothing(tmp_path: Path, snapshot: bool) -> None:
    store, mapping = str(tmp_path / "store"), parse_mapping("id=id,value=v,type=t,deleted=gone")

    def rows(*those: str) -> str:
        return written(tmp_path, "id,v,t,gone\n" + "".join(f"{row}\n" for row in those))

    a, b = "1" * 31 + "2", "1" * 31 + "3"
    import_files(store, "p", [rows(f"A,{a},md5,", f"B,{a},md5,", f"C,{a},md5,")], mapping=mapping)
    said = [f"A,{a},md5sum,", f"B,{a},md5sum,", f"B,{b},md5,", f"C,{a},md5sum,yes", f"D,{a},m,"]
    result = import_files(store, "p", [rows(*said)], mapping=mapping, snapshot=snapshot)
    assert result.skipped == {"m (no such hash here)": 1, "md5sum (no such hash here)": 2}
    assert result.changes[:5] == (0, 1, 1, 0, 2)
    assert stored(store) == {"A": {"md5:12"}, "B": {"md5:13"}}


def test_values_of_unknown_types_without_identifiers_are_of_no_stored_entry(tmp_path: Path) -> None:
    store, a, b = str(tmp_path / "store"), "1" * 31 + "2", "1" * 31 + "3"
    import_files(store, "p", [written(tmp_path, f"md5 {a}\nmd5 {b}\n")])
    path = written(tmp_path, f"md5 {b}\ntmk {a}\n")
    result = import_files(store, "p", [path], format_name="local-file", snapshot=True)
    assert result.skipped == {"tmk (no such hash here)": 1}
    assert result.changes[:3] == (0, 0, 1)


def test_a_snapshot_removes_nothing_that_could_be_what_cannot_be_read(tmp_path: Path) -> None:
    store, names = str(tmp_path / "store"), [f"a{n}.example" for n in range(20)]
    options: dict[str, Any] = {"format_name": "domains", "max_malformed": 0.1}
    import_files(store, "p", [written(tmp_path, "\n".join(names))], **options)
    before = stored(store)
    path = written(tmp_path, "\n".join([*names[2:], "a0.example,secret"]))
    said = (
        "1 malformed value has no identifier, and could be one of the 2 entries that the files "
        "lack; import them without --snapshot, or ask the partner for other files"
    )
    with pytest.raises(ListError, match=said) as caught:
        import_files(store, "p", [path], snapshot=True, **options)
    assert "secret" not in str(caught.value)
    assert stored(store) == before
    assert import_files(store, "p", [path], **options).changes.removed == 0
    path = written(tmp_path, "\n".join([*names, "b.example", "secret,"]))
    assert import_files(store, "p", [path], snapshot=True, **options).changes[:3] == (1, 0, 0)
