from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from ingestgate.assets import ledger
from ingestgate.assets.errors import LedgerError
from ingestgate.assets.ledger import LedgerRow, PartHeader, Sidecar
from ingestgate.assets.perceptual_view import PerceptualView
from ingestgate.assets.verdict import Reason, Verdict
from ingestgate.blocklists.additions import added_since, only
from ingestgate.blocklists.canaries import PICTURE
from ingestgate.blocklists.compiling import compile_list
from ingestgate.blocklists.listset import ListSet
from ingestgate.blocklists.matching import Matcher
from ingestgate.fingerprints.perceptual import perceptual_hashes
from ingestgate.transforms.policy import Policy
from ingestgate.transforms.rescanning import RescanLists, rescan_part

NOW = datetime(2026, 6, 1, tzinfo=UTC)
ROWS = 300
DIGESTS = {"md5": "0" * 32, "sha1": "1" * 40, "sha256": "2" * 64}
LISTED = 400  # enough of them for an index


def flipped(value: bytes, bits: int, random: np.random.Generator) -> bytes:
    chosen = random.choice(8 * len(value), bits, replace=False)
    whole = np.unpackbits(np.frombuffer(value, np.uint8))
    whole[chosen] ^= 1
    return np.packbits(whole).tobytes()


def make_lists(root: Path, values: list[bytes], digests: list[str], version: int = 1) -> ListSet:
    listed = {"pdq": [value.hex() for value in values], "md5": digests}
    lines = {
        name: [f"{text},{name}-{number}" for number, text in enumerate(texts)]
        for name, texts in listed.items()
    }
    return compiled(root, lines, version)


def compiled(root: Path, lines: dict[str, list[str]], version: int = 1) -> ListSet:
    """Compiles lists of values and ids, by signal type."""
    for name, own in lines.items():
        (root / name).write_text("\n".join(["value,entry_id", *own]) + "\n")
    compile_list(
        id="p",
        version=version,
        sources=[(name, str(root / name)) for name in lines],
        to=str(root / "lists"),
        issued=datetime(2026, 1, 1, tzinfo=UTC),
    )
    return ListSet.open(str(root / "lists"), now=NOW)


def row(
    number: int,
    views: list[bytes],
    verdict: Verdict = Verdict.ADMITTED,
    md5: str = "0" * 32,
    provenance: dict[str, str] | None = None,
    sidecar: str = "",
) -> LedgerRow:
    return LedgerRow(
        asset_id=f"{number:032x}",
        shard="s.tar",
        member=str(number),
        field="",
        position=number,
        sample=str(number),
        verdict=verdict,
        reason=Reason.CLEAN,
        tier=None,
        findings=(),
        size=1,
        media_type="image/jpeg",
        width=1,
        height=1,
        frames=1,
        digests={**DIGESTS, "md5": md5},
        perceptual={"pdq": tuple(PerceptualView(0, "full", 100, view) for view in views)},
        provenance=provenance or {},
        sidecars=(Sidecar("c.txt", 1, 1, {**DIGESTS, "md5": sidecar}),) if sidecar else (),
    )


def write(root: Path, rows: list[LedgerRow]) -> str:
    header = PartHeader("s.tar", "i", 0, 1, 0, len(rows), "c", "2026-01-01T00:00:00Z")
    return ledger.write_part(str(root / "ledger"), header, ledger.rows_to_table(rows, {"pdq": 32}))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("listed", [3, LISTED], ids=["scanned", "indexed"])
def test_finds_every_near_hash_of_every_view(tmp_path: Path, seed: int, listed: int) -> None:
    random = np.random.default_rng([seed, listed])
    values = [random.bytes(32) for _ in range(listed)]
    lists = make_lists(tmp_path, values, ["a" * 32])
    rows = []
    for number in range(ROWS):
        views = [[random.bytes(32) for _ in range(8)] for _ in range(1 + number % 3)]
        if number % 4 == 0:
            near = values[int(random.integers(listed))]
            views[-1][number % 8] = flipped(near, int(random.integers(0, 45)), random)
        rows.append(row(number, [b"".join(view) for view in views]))
    found = rescan_part(write(tmp_path, rows), RescanLists(Matcher(lists.lists), Policy()))
    farthest = 31 + perceptual_hashes()["pdq"].margin
    expected, beyond = {}, {}
    table = np.unpackbits(np.array([list(value) for value in values], np.uint8), axis=1)
    for one in rows:
        whole = b"".join(view.hashes for view in one.perceptual["pdq"])
        queries = np.unpackbits(np.frombuffer(whole, np.uint8).reshape(-1, 32), axis=1)
        distances = (queries[:, None, :] != table[None]).sum(axis=2).min(axis=0)
        for entry in np.flatnonzero(distances <= 31):
            expected[one.asset_id, f"pdq-{entry}"] = int(distances[entry])
        for entry in np.flatnonzero((distances > 31) & (distances <= farthest)):
            beyond[one.asset_id, f"pdq-{entry}"] = int(distances[entry])
    certain = {(h.asset_id, h.entry_id): h.distance for h in found.hits if h.certain}
    assert certain == expected
    assert expected
    # What the quick way may have moved beyond the threshold is to be judged again.
    unsure = {(h.asset_id, h.entry_id): h.distance for h in found.hits if not h.certain}
    assert unsure == beyond
    assert beyond


@pytest.mark.parametrize("order", [1, -1])
def test_of_several_views_near_one_entry_the_nearest_decides(tmp_path: Path, order: int) -> None:
    """It matches as recorded, though another of its views is only near enough to be doubtful."""
    random = np.random.default_rng(7)
    value = random.bytes(32)
    lists = make_lists(tmp_path, [value], ["ab" * 16])
    views = [flipped(value, 40, random) * 8, flipped(value, 10, random) * 8][::order]
    path = write(tmp_path, [row(0, views)])
    (hit,) = rescan_part(path, RescanLists(Matcher(lists.lists), Policy())).hits
    assert (hit.distance, hit.certain) == (10, True)


def test_looks_at_sidecars_and_declared_values_and_not_at_what_is_sealed(tmp_path: Path) -> None:
    value = bytes(range(32))
    lists = make_lists(tmp_path, [value], ["ab" * 16])
    clean = [bytes([255, 0] * 128)]
    rows = [
        row(0, clean, md5="ab" * 16),
        row(1, clean, sidecar="ab" * 16),
        row(2, clean, provenance={"note": "x", "image_md5": f" {'AB' * 16} "}),
        row(3, clean, provenance={"page.pdq": value.hex(" ")}),
        row(4, clean, provenance={"note": "ab" * 16}),
        row(5, clean, Verdict.QUARANTINED, md5="ab" * 16),
        row(6, clean, Verdict.UNSCANNABLE, md5="ab" * 16),
        row(7, clean, provenance={"md5": "ab " * 16}),
        row(8, clean, provenance={"md5": "a\tb" + "\u2003ab" * 15}),
    ]
    found = rescan_part(write(tmp_path, rows), RescanLists(Matcher(lists.lists), Policy()))
    hits = [(int(hit.asset_id, 16), hit.signal_type, hit.verdict) for hit in found.hits]
    admitted = "admitted"
    assert sorted(hits) == [
        *((0, "md5", admitted), (1, "md5", admitted), (2, "md5", admitted), (3, "pdq", admitted)),
        *((6, "md5", "unscannable"), (7, "md5", admitted), (8, "md5", admitted)),
    ]
    assert (found.rows, found.compared) == (9, 8)
    assert found.verdicts == {"admitted": 7, "quarantined": 1, "unscannable": 1}


def test_pictures_without_a_hash_that_is_needed_are_missing_it(tmp_path: Path) -> None:
    lists = make_lists(tmp_path, [bytes(range(32))], ["ab" * 16])
    found = rescan_part(write(tmp_path, [row(0, [])]), RescanLists(Matcher(lists.lists), Policy()))
    assert found.missing == {"pdq"}


@pytest.mark.parametrize(
    ("one", "missing"),
    [
        (row(0, [b""]), {"pdq"}),
        (row(0, [bytes(256), b"", bytes(256)]), {"pdq"}),
        (row(0, [bytes(31)]), {"pdq"}),
        (replace(row(0, [bytes([255, 0] * 128)]), digests={}), {"md5"}),
    ],
    ids=["no-hash", "no-hash-among-others", "half-a-hash", "no-digest"],
)
def test_nor_has_a_row_what_has_no_value(tmp_path: Path, one: LedgerRow, missing: set[str]) -> None:
    lists = make_lists(tmp_path, [bytes(range(32))], ["ab" * 16])
    found = rescan_part(write(tmp_path, [one]), RescanLists(Matcher(lists.lists), Policy()))
    assert found.missing == missing


def test_what_is_near_the_quality_that_is_newly_needed_is_judged_again(tmp_path: Path) -> None:
    lists = make_lists(tmp_path, [bytes(range(32))], ["ab" * 16])
    view = bytes([255, 0] * 128)
    rows = [
        replace(row(n, []), perceptual={"pdq": (PerceptualView(0, "full", quality, view),)})
        for n, quality in enumerate((49, 54, 55))
    ]
    path = write(tmp_path, [*rows, replace(rows[0], verdict=Verdict.UNSCANNABLE)])
    wanted = RescanLists(Matcher(lists.lists), Policy(), frozenset({"pdq"}))
    assert [int(asset, 16) for asset in rescan_part(path, wanted).unclear] == [0, 1]
    assert rescan_part(path, replace(wanted, newly_needed=frozenset())).unclear == []


def test_additions_are_what_an_older_version_lacks(tmp_path: Path) -> None:
    random = np.random.default_rng(5)
    values = [random.bytes(32) for _ in range(LISTED)]
    make_lists(tmp_path, values[:-2], ["ab" * 16])
    lists = make_lists(tmp_path, values, ["ab" * 16], version=2)
    folder = str(tmp_path / "lists")
    added = added_since(lists.lists[0], f"{folder}/p-2", f"{folder}/p-1")
    kept = {bytes(value) for value in added.values["pdq"].values}
    assert kept == {*values[-2:], bytes.fromhex(PICTURE["pdq"])}
    assert {bytes(added.values["pdq"].values[row]).hex() for row in added.canaries["pdq"]} == {
        PICTURE["pdq"]
    }
    assert set(added.values) == {"pdq"}
    assert not only(lists.lists[0], set()).values


def test_a_changed_byte_is_a_damaged_part(tmp_path: Path) -> None:
    lists = make_lists(tmp_path, [bytes(range(32))], ["ab" * 16])
    path = Path(write(tmp_path, [row(n, [bytes([255, 0] * 128)]) for n in range(50)]))
    data = bytearray(path.read_bytes())
    data[len(data) // 3 :: 97] = b"\0" * len(data[len(data) // 3 :: 97])
    path.write_bytes(data)
    with pytest.raises(LedgerError, match="part-00000"):
        rescan_part(str(path), RescanLists(Matcher(lists.lists), Policy()))


def test_a_changed_footer_hides_no_row(tmp_path: Path) -> None:
    """Nothing has a checksum over it, and it says where rows are, and how many."""
    lists = make_lists(tmp_path, [bytes(range(32))], ["ab" * 16])
    path = Path(write(tmp_path, [row(n, [bytes([255, 0] * 128)]) for n in range(50)]))
    whole = path.read_bytes()
    wanted = RescanLists(Matcher(lists.lists), Policy())
    length = int.from_bytes(whole[-8:-4], "little")
    for place in range(len(whole) - 8 - length, len(whole) - 8, 7):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x10]) + whole[place + 1 :])
        try:
            found = rescan_part(str(path), wanted)
        except LedgerError:
            continue
        assert (found.rows, found.compared) == (50, 50), place


def test_rows_that_the_reader_does_not_come_to_are_not_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where a footer names no row group, and as many rows as before."""
    lists = make_lists(tmp_path, [bytes(range(32))], ["ab" * 16])
    path = write(tmp_path, [row(0, [bytes(256)])])
    monkeypatch.setattr(pq.ParquetFile, "iter_batches", lambda *arguments, **more: iter(()))
    with pytest.raises(LedgerError, match="ends before its last row"):
        rescan_part(path, RescanLists(Matcher(lists.lists), Policy()))


def test_urls_that_cannot_be_read_on_a_host_that_is_listed_now_are_judged_again(
    tmp_path: Path,
) -> None:
    lists = compiled(tmp_path, {"url": ["https://pages.example/listed,u"]})
    wrapped = "%" + "25" * 20 + "2flisted"
    sources = {
        0: f"https://pages.example/{wrapped}",
        1: f"https://elsewhere.example/{wrapped}",
        2: "https://pages.example/other",
        3: f"https://pages.example/{wrapped}",
        4: "https://pages.example/%2flisted",
    }
    for column in ("url", "url_o"):
        rows = [
            row(
                n, [], Verdict.UNSCANNABLE if n == 3 else Verdict.ADMITTED, provenance={column: url}
            )
            for n, url in sources.items()
        ]
        found = rescan_part(write(tmp_path, rows), RescanLists(Matcher(lists.lists), Policy()))
        assert [int(asset, 16) for asset in found.unclear] == [0]
        assert [int(hit.asset_id, 16) for hit in found.hits] == [4]


def test_text_where_there_may_be_a_source_is_judged_again_if_it_says_that_it_is_one(
    tmp_path: Path,
) -> None:
    lists = compiled(tmp_path, {"domain": ["listed.example,d"]})
    texts = ["3", "a caption", "http://[::bad", "https://listed.example/", "listed.example"]
    rows = [row(n, [], provenance={"url_text": text}) for n, text in enumerate(texts)]
    found = rescan_part(write(tmp_path, rows), RescanLists(Matcher(lists.lists), Policy()))
    assert [int(asset, 16) for asset in found.unclear] == [2]
    assert [int(hit.asset_id, 16) for hit in found.hits] == [3, 4]
