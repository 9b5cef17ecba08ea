import itertools
import random
from collections.abc import Iterable
from contextlib import nullcontext
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingestgate.assets.errors import ListError, UsageError
from ingestgate.assets.storage.paths import temporary_name
from ingestgate.blocklists import store as stores
from ingestgate.blocklists.formats.reading import Listed
from ingestgate.blocklists.store import Changes, apply, stored_entries

A, B, C = (bytes([number]) * 16 for number in (1, 2, 3))


def entry(
    id: str, *values: bytes, category: str = "", feedback: str = "", modified: int | None = None
) -> Listed:
    return Listed(id, tuple(("md5", value) for value in values), category, feedback, modified)


def gone(id: str, modified: int | None = None) -> Listed:
    return Listed(id, (), modified=modified, tombstone=True)


def content(store: Path, partner: str = "p") -> set[tuple[str, bytes, str]]:
    return {
        (one.entry_id, one.value, one.category)
        for _, entries in stored_entries(str(store), partner)
        for one in entries
    }


def applied(store: Path, *files: Iterable[Listed], snapshot: bool = False) -> tuple[int, ...]:
    changes = apply(str(store), "p", files, snapshot=snapshot)
    return changes[:5]


def test_added_changed_removed_and_left_alone(tmp_path: Path) -> None:
    assert applied(tmp_path, [entry("1", A, B), entry("2", B), entry("3", C)]) == (3, 0, 0, 0, 3)
    assert applied(tmp_path, [entry("1", A), gone("2"), entry("3", C)]) == (0, 1, 1, 0, 2)
    assert content(tmp_path) == {("1", A, ""), ("3", C, "")}
    assert applied(tmp_path, [entry("2", A)]) == (1, 0, 0, 0, 3)
    assert applied(tmp_path, [entry("3", C, category="x")]) == (0, 1, 0, 0, 3)
    assert applied(tmp_path, [gone("9")]) == (0, 0, 0, 0, 3)


def test_partners_do_not_meet(tmp_path: Path) -> None:
    apply(str(tmp_path), "p", [[entry("1", A)]])
    apply(str(tmp_path), "q", [[entry("1", B)], [gone("2")]])
    apply(str(tmp_path), "q", [[gone("1"), entry("3", C)]])
    assert content(tmp_path, "p") == {("1", A, "")}
    assert content(tmp_path, "q") == {("3", C, "")}


def test_an_older_page_changes_nothing(tmp_path: Path) -> None:
    applied(tmp_path, [entry("1", A, modified=20), gone("2", modified=20)])
    older = [entry("1", B, modified=10), entry("2", B, modified=10)]
    assert applied(tmp_path, older) == (0, 0, 0, 2, 1)
    assert applied(tmp_path, [gone("1", modified=19)]) == (0, 0, 0, 1, 1)
    assert applied(tmp_path, [entry("2", B, modified=20)]) == (1, 0, 0, 0, 2)
    assert content(tmp_path) == {("1", A, ""), ("2", B, "")}


def test_pages_of_one_import_come_in_any_order(tmp_path: Path) -> None:
    pages = [[entry("1", A, modified=30)], [gone("1", modified=20), entry("2", B, modified=5)]]
    pages += [[gone("2", modified=9)]]
    for number in range(6):
        random.Random(number).shuffle(pages)
        applied(tmp_path / str(number), *pages)
        assert content(tmp_path / str(number)) == {("1", A, "")}


def test_without_times_the_later_file_counts(tmp_path: Path) -> None:
    applied(tmp_path, [entry("1", A), entry("2", A)], [entry("1", B), gone("2")])
    assert content(tmp_path) == {("1", B, "")}


def test_within_a_file_values_stand_side_by_side(tmp_path: Path) -> None:
    rows = [entry("1", A, modified=5), entry("1", B, category="x", modified=3), gone("1")]
    applied(tmp_path, rows)
    assert content(tmp_path) == {("1", A, ""), ("1", B, "x")}


def test_a_removal_within_a_file_counts_against_what_is_older(tmp_path: Path) -> None:
    applied(tmp_path, [entry("1", A, modified=5), gone("1", modified=6), entry("2", B)])
    assert content(tmp_path) == {("2", B, "")}


def test_an_entry_nothing_of_which_can_be_matched_replaces_what_was(tmp_path: Path) -> None:
    applied(tmp_path, [entry("1", A), entry("2", A)])
    assert applied(tmp_path, [entry("1")]) == (0, 0, 1, 0, 1)


def test_a_snapshot_removes_what_it_lacks(tmp_path: Path) -> None:
    applied(tmp_path, [entry("1", A, modified=9), entry("2", B)])
    assert applied(tmp_path, [entry("1", A, modified=1)], snapshot=True) == (0, 0, 1, 0, 1)
    with pytest.raises(ListError, match="the files hold no entry, and would remove everything"):
        applied(tmp_path, [], snapshot=True)
    assert content(tmp_path) == {("1", A, "")}


def unread(id: str, *values: bytes, types: str = "md5", modified: int | None = None) -> Listed:
    listed = tuple(("sha1", value) for value in values)
    return Listed(id, listed, modified=modified, unreadable=tuple(types.split()))


def test_what_cannot_be_read_of_an_entry_stands(tmp_path: Path) -> None:
    old = Listed("1", (("md5", A), ("sha1", B), ("sha512", A * 4)), "x")
    applied(tmp_path, [old, entry("2", A)])
    assert applied(tmp_path, [unread("1"), unread("9")]) == (0, 0, 0, 0, 2)
    assert content(tmp_path) == {("1", A, "x"), ("1", B, "x"), ("1", A * 4, "x"), ("2", A, "")}
    assert applied(tmp_path, [unread("1", C)], snapshot=True) == (0, 1, 1, 0, 1)
    assert content(tmp_path) == {("1", A, "x"), ("1", C, "")}
    assert applied(tmp_path, [unread("1")], snapshot=True) == (0, 0, 0, 0, 1)


def test_what_cannot_be_read_in_one_row_stands_beside_what_others_say(tmp_path: Path) -> None:
    applied(tmp_path, [entry("1", A)])
    applied(tmp_path, [unread("1", types="md5"), Listed("1", (("sha1", B),))])
    assert content(tmp_path) == {("1", A, ""), ("1", B, "")}


def test_a_readable_statement_counts_before_one_that_is_not(tmp_path: Path) -> None:
    applied(tmp_path, [entry("1", A, modified=2)])
    for files in ([[entry("1", B, modified=4)], [unread("1", modified=5)]],) * 2:
        assert applied(tmp_path, *files)[:2] in ((0, 1), (0, 0))
        assert content(tmp_path) == {("1", B, "")}
        files.reverse()
    applied(tmp_path, [entry("1", C, modified=1)], [unread("1", modified=9)])  # older than B
    assert content(tmp_path) == {("1", B, "")}
    applied(tmp_path, [entry("1", C, modified=9)], [unread("1", A, modified=10)])
    assert content(tmp_path) == {("1", C, ""), ("1", A, "")}
    applied(tmp_path, [unread("1", modified=11)], [gone("1", modified=12), entry("2", A)])
    assert content(tmp_path) == {("2", A, "")}


def test_within_a_file_a_removal_counts_against_what_cannot_be_read_and_is_older(
    tmp_path: Path,
) -> None:
    applied(tmp_path, [entry("1", A, modified=1), entry("2", A, modified=1), entry("3", A)])
    applied(tmp_path, [unread("1", modified=5), gone("1", modified=6)])
    applied(tmp_path, [unread("2", modified=6), gone("2", modified=5)])
    assert content(tmp_path) == {("2", A, ""), ("3", A, "")}


@pytest.mark.parametrize("run", [1, 1000])
def test_a_snapshot_that_lacks_what_has_no_identifier(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: int
) -> None:
    monkeypatch.setattr(stores, "_RUN", run)
    applied(tmp_path, [entry("1", A), entry("2", B)])
    nameless = [unread("", types="md5 md5"), unread("")]
    with pytest.raises(ListError, match="3 malformed values have no identifier, and could be"):
        applied(tmp_path, [*nameless, entry("2", B)], snapshot=True)
    assert applied(tmp_path, [*nameless, entry("2", B)]) == (0, 0, 0, 0, 2)
    assert applied(tmp_path, [*nameless, entry("1", A), entry("2", C)], snapshot=True)[1:3] == (
        1,
        0,
    )


statements = st.lists(
    st.tuples(
        st.sampled_from("ab"),
        st.lists(st.sampled_from([A, B]), max_size=1),
        st.sampled_from(["md5", "sha1", "md5 sha1"]),
    ),
    max_size=4,
)


@given(statements, st.booleans())
def test_nothing_that_cannot_be_read_is_lost(
    tmp_path_factory: pytest.TempPathFactory,
    file: list[tuple[str, list[bytes], str]],
    snapshot: bool,
) -> None:
    store = tmp_path_factory.mktemp("s")
    applied(store, [Listed(id, (("md5", A), ("sha1", B))) for id in "ab"])
    applied(
        store, [entry("z", C), *(unread(id, *v, types=t) for id, v, t in file)], snapshot=snapshot
    )
    values = {(id, name) for name, entries in by_type(store) for id in entries}
    for id, _, types in file:
        assert all((id, name) in values for name in types.split())


def by_type(store: Path) -> list[tuple[str, list[str]]]:
    return [
        (signal.name, [one.entry_id for one in entries])
        for signal, entries in stored_entries(str(store), "p")
    ]


def test_counts_of_values(tmp_path: Path) -> None:
    changes = apply(str(tmp_path), "p", [[entry("1", A, B), Listed("2", (("pdq", A * 2),))]])
    assert changes == Changes(2, 0, 0, 0, 2, {"md5": 2, "pdq": 1})


def test_refused_file_changes_nothing(tmp_path: Path) -> None:
    applied(tmp_path, [entry("1", A)])

    def refused() -> Iterable[Listed]:
        yield entry("2", B)
        raise ListError("no")

    with pytest.raises(ListError, match="no"):
        applied(tmp_path, refused())
    assert content(tmp_path) == {("1", A, "")}
    assert [path.name for path in (tmp_path / "p").iterdir()] == [stores.FILE]


def test_two_imports_at_once_do_not_lose_one(tmp_path: Path) -> None:
    def meanwhile() -> Iterable[Listed]:
        with pytest.raises(ListError, match="another import is under way there; wait"):
            applied(tmp_path, [entry("1", A)])
        apply(str(tmp_path), "other", [[entry("1", A)]])  # in another folder
        yield entry("2", B)

    applied(tmp_path, meanwhile())
    assert content(tmp_path) == {("2", B, "")}


def test_what_a_killed_import_left_is_removed(tmp_path: Path) -> None:
    applied(tmp_path, [entry("1", A)])
    Path(temporary_name(str(tmp_path / "p" / stores.FILE))).write_bytes(b"half")
    applied(tmp_path, [entry("2", B)])
    assert [path.name for path in (tmp_path / "p").iterdir()] == [stores.FILE]


def test_where_there_are_no_locks_an_import_in_between_is_not_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stores, "alone", lambda *_: nullcontext())

    def meanwhile() -> Iterable[Listed]:
        applied(tmp_path, [entry("1", A)])
        yield entry("2", B)

    with pytest.raises(ListError, match="another import changed it meanwhile"):
        applied(tmp_path, meanwhile())
    assert content(tmp_path) == {("1", A, "")}


def test_an_import_between_two_types_is_told(tmp_path: Path) -> None:
    sha = Listed("1", (("sha256", C + C),))
    applied(tmp_path, [sha, entry("2", B)])
    types = stored_entries(str(tmp_path), "p")
    name, entries = next(types)
    assert (name.name, {one.entry_id for one in entries}) == ("md5", {"2"})
    applied(tmp_path, [entry("1", A)])  # no sha256 any more, which is read next
    assert [list(entries) for _, entries in itertools.islice(types, 1)] == [[]]
    with pytest.raises(ListError, match="an import changed it meanwhile; compile again"):
        next(types)


@pytest.mark.parametrize("run", [1, 7, 1000])
def test_sorting_in_runs_gives_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: int
) -> None:
    monkeypatch.setattr(stores, "_RUN", run)
    monkeypatch.setattr(stores, "_BATCH", 5)
    rows = [entry(str(n % 40), bytes([n]) * 16, modified=n) for n in range(100)]
    applied(tmp_path, rows, [gone("7", modified=1000)])
    assert len(content(tmp_path)) == 97
    if run < 1000:
        monkeypatch.setattr(stores, "_RUN", 1000)
        other = tmp_path / "other"
        applied(other, rows, [gone("7", modified=1000)])
        assert (other / "p" / stores.FILE).read_bytes() == (
            tmp_path / "p" / stores.FILE
        ).read_bytes()


def test_entries_are_private(tmp_path: Path) -> None:
    applied(tmp_path / "s", [entry("1", A)])
    path = tmp_path / "s" / "p" / stores.FILE
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


operations = st.lists(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.sampled_from([A, B, None]), st.integers(0, 5)),
        max_size=4,
    ),
    max_size=6,
)


@given(operations)
def test_pages_with_times_end_in_the_newest_state(
    tmp_path_factory: pytest.TempPathFactory, files: list[list[tuple[str, bytes | None, int]]]
) -> None:
    """Each entry once a page and a moment of its own: the youngest statement must win."""
    store = tmp_path_factory.mktemp("s")
    newest: dict[str, tuple[int, bytes | None]] = {}
    for number, file in enumerate(files):
        page = {
            id: (time * 100 + number, value) for id, value, time in file
        }  # no two moments alike
        for id, state in page.items():
            newest[id] = max(newest.get(id, (-1, None)), state, key=lambda state: state[0])
        applied(
            store,
            [
                gone(id, modified=time) if value is None else entry(id, value, modified=time)
                for id, (time, value) in page.items()
            ],
        )
    alive = {(id, value, "") for id, (_, value) in newest.items() if value is not None}
    if alive:
        assert content(store) == alive


@pytest.mark.parametrize("partner", ["", "..", "a/b", "a\n", "-"])
def test_names_that_are_no_folder(tmp_path: Path, partner: str) -> None:
    with pytest.raises(UsageError, match="partner"):
        apply(str(tmp_path), partner, [])


def test_nothing_to_compile(tmp_path: Path) -> None:
    with pytest.raises(ListError, match="no entries of that partner; import its files"):
        list(stored_entries(str(tmp_path), "p"))
    applied(tmp_path, [gone("1")])
    with pytest.raises(ListError, match="the partner withdrew every entry"):
        list(stored_entries(str(tmp_path), "p"))


def test_damage_is_told(tmp_path: Path) -> None:
    applied(tmp_path, [entry(str(n), A) for n in range(1000)])
    path = tmp_path / "p" / stores.FILE
    whole = path.read_bytes()
    for damaged in (whole[:-5], b"", whole[:50] + b"\xff" * 200 + whole[250:]):
        path.write_bytes(damaged)
        with pytest.raises(ListError, match=r"entries\.parquet: damaged"):
            applied(tmp_path, [entry("x", B)])
        assert path.read_bytes() == damaged
    pq.write_table(pa.table({"a": [1]}), path)
    with pytest.raises(ListError, match="not entries as this version stores them"):
        content(tmp_path)
