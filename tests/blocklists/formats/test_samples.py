"""Every format's sample: detected, imported, compiled, and matched."""

import hashlib
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from ingestgate.blocklists.compiling import compile_list
from ingestgate.blocklists.formats import registry
from ingestgate.blocklists.formats.mapping import parse_mapping
from ingestgate.blocklists.importing import Imported, import_files
from ingestgate.blocklists.listset import ListSet

SAMPLES = Path(__file__).parents[1] / "samples"
ISSUED = datetime(2026, 1, 1, tzinfo=UTC)
TABLE_JSONL = "md5=md5,sha256=sha256,id=ref,category=class,deleted=withdrawn"


def digest(name: str, text: str) -> str:
    return hashlib.new(name, text.encode()).hexdigest()


def pdq(text: str) -> str:
    return digest("sha256", f"pdq of {text}")


def phash(text: str) -> str:
    return digest("sha256", f"phash of {text}")[:16]


APPLE = {name: digest(name, "apple") for name in ("md5", "sha1", "sha256")}
BANANA = {name: digest(name, "banana") for name in ("md5", "sha1", "sha256")}
CHERRY = {name: digest(name, "cherry") for name in ("md5", "sha1", "sha256")}
DATE = {"md5": digest("md5", "date")}
NO_PDNA = "pdna (no such hash here)"

# Files, mapping; values that must be caught with their categories and feedback, values
# that must not, and what is kept out.
Case = tuple[
    list[str],
    str | None,
    dict[tuple[str, str], tuple[str | None, str, str]],
    list[tuple[str, str]],
    dict[str, int],
]
CASES: dict[str, Case] = {
    "ncmec": (
        ["ncmec-1.xml", "ncmec-2.xml"],
        None,
        {
            ("md5", APPLE["md5"]): ("42/image1", "A1", "md5 affirmative 1"),
            ("sha1", APPLE["sha1"]): ("42/image1", "A1", "md5 affirmative 1"),
            ("pdq", pdq("apple")): ("42/image1", "A1", "md5 affirmative 1"),
            ("md5", CHERRY["md5"]): ("43/video1", "", ""),
            ("md5", DATE["md5"]): ("42/image3", "A2", ""),
        },
        [("md5", BANANA["md5"])],
        {NO_PDNA: 1, "tmk-pdqf (no such hash here)": 1},
    ),
    "threatexchange": (
        ["threatexchange.csv"],
        None,
        {
            ("md5", APPLE["md5"]): ("1001", "fruit", "MALICIOUS"),
            ("pdq", pdq("apple")): ("1002", "fruit", "MALICIOUS"),
            ("source", "http://orchard.example/banana.jpg?x"): ("1003", "fruit, yellow", "UNKNOWN"),
        },
        [("source", "https://orchard.example/")],
        {"hash_tmk (no such hash here)": 1},
    ),
    "threatexchange-json": (
        ["threatexchange.json"],
        None,
        {
            ("md5", APPLE["md5"]): ("1001", "fruit", "MALICIOUS"),
            ("sha256", CHERRY["sha256"]): ("1006", "", ""),
        },
        [("md5", CHERRY["md5"])],
        {},
    ),
    "local-file": (
        ["local-file.txt"],
        None,
        {
            ("pdq", pdq("apple")): (None, "", ""),
            ("md5", CHERRY["md5"]): (None, "", ""),
            ("source", "https://orchard.example/banana.jpg"): (None, "", ""),
        },
        [("md5", APPLE["md5"])],
        {},
    ),
    "stopncii": (
        ["stopncii.json"],
        None,
        {
            ("pdq", pdq("apple")): (None, "", "Blocked 1"),
            ("md5", CHERRY["md5"]): (None, "", ""),
        },
        [("pdq", pdq("banana"))],
        {"videotmk (no such hash here)": 1},
    ),
    "vics": (
        ["vics.json"],
        None,
        {
            ("md5", APPLE["md5"]): ("1", "1", ""),
            ("sha1", APPLE["sha1"]): ("1", "1", ""),
            ("sha256", APPLE["sha256"]): ("1", "1", ""),
            ("md5", BANANA["md5"]): ("2", "2", ""),
        },
        [("sha256", BANANA["sha256"])],
        {"photodna (no such hash here)": 1},
    ),
    "vics-media": (
        ["vics-media.json"],
        None,
        {("md5", APPLE["md5"]): ("1", "1", ""), ("sha1", BANANA["sha1"]): ("2", "2", "")},
        [("md5", CHERRY["md5"])],
        {},
    ),
    "csv": (
        ["table.csv"],
        str(SAMPLES / "table.yaml"),
        {
            ("md5", APPLE["md5"]): ("R-1", "A", ""),
            ("sha1", APPLE["sha1"]): ("R-1", "A", ""),
            ("sha256", BANANA["sha256"]): ("R-2", "B", ""),
        },
        [("sha256", APPLE["sha256"])],
        {"photodna (no such hash here)": 1},
    ),
    "jsonl": (
        ["table.jsonl"],
        TABLE_JSONL,
        {("md5", APPLE["md5"]): ("R-1", "A", ""), ("md5", BANANA["md5"]): ("R-2", "B", "")},
        [("sha256", BANANA["sha256"])],
        {},
    ),
    "parquet": (
        ["table.parquet"],
        "sha256=digest,id=ref,category=class",
        {("sha256", APPLE["sha256"]): ("1", "A", ""), ("sha256", BANANA["sha256"]): ("2", "B", "")},
        [("sha256", CHERRY["sha256"])],
        {},
    ),
    "hash-file": (
        ["hashes.sha256", "hashes.md5"],
        None,
        {
            ("sha256", APPLE["sha256"]): (None, "", ""),
            ("sha256", BANANA["sha256"]): (None, "", ""),
            ("md5", APPLE["md5"]): (None, "", ""),
            ("md5", CHERRY["md5"]): (None, "", ""),
        },
        [("sha256", CHERRY["sha256"])],
        {},
    ),
    "imagehash": (
        ["imagehash.txt"],
        None,
        {("phash", phash("apple")): (None, "", ""), ("phash", phash("banana")): (None, "", "")},
        [("phash", phash("cherry"))],
        {},
    ),
    "domains": (
        ["domains.txt"],
        None,
        {
            ("source", "https://Orchard.example./x"): (None, "", ""),
            ("source", "https://any.orchard.example/"): (None, "", ""),
            ("source", "https://xn--bcher-kva.example/"): (None, "", ""),
            ("source", "http://0xc0.0.2.7/"): (None, "", ""),
        },
        [("source", "https://notorchard.example/")],
        {},
    ),
    "urls": (
        ["urls.txt"],
        None,
        {
            ("source", "http://orchard.example/banana.jpg"): (None, "", ""),
            ("source", "https://orchard.example/albums/1"): (None, "", ""),
        },
        [("source", "https://orchard.example/")],
        {},
    ),
    "hosts": (
        ["hosts.txt"],
        None,
        {
            ("source", "https://orchard.example/"): (None, "", ""),
            ("source", "https://grove.example/"): (None, "", ""),
        },
        [("source", "https://intranet.example/"), ("source", "https://localhost:80/")],
        {"name of the machine itself": 3, "name that is not sent to nowhere": 1},
    ),
    "adblock": (
        ["adblock.txt"],
        None,
        {
            ("source", "https://orchard.example/"): (None, "", ""),
            ("source", "https://deep.grove.example/"): (None, "", ""),
        },
        [("source", "https://shop.example/")],
        {
            "exception rule": 1,
            "rule with conditions": 1,
            "rule for a part of a page": 1,
            "rule by pattern": 1,
        },
    ),
    "rpz": (
        ["rpz.zone"],
        None,
        {
            ("source", "https://orchard.example/"): (None, "", ""),
            ("source", "https://below.orchard.example/"): (None, "", ""),
            ("source", "https://grove.example/"): (None, "", ""),
        },
        [("source", "https://below.grove.example/"), ("source", "https://192.0.2.0/")],
        {"name that is let through": 1, "trigger other than a name": 1},
    ),
    "stix": (
        ["stix.json"],
        None,
        {
            ("source", "https://orchard.example/"): (
                "indicator--00000000-0000-4000-8000-000000000001",
                "malicious-activity",
                "",
            ),
            ("sha256", APPLE["sha256"]): (
                "indicator--00000000-0000-4000-8000-000000000003",
                "malicious-activity",
                "",
            ),
            ("md5", APPLE["md5"]): (
                "indicator--00000000-0000-4000-8000-000000000003",
                "malicious-activity",
                "",
            ),
        },
        [("md5", BANANA["md5"]), ("source", "https://grove.example/")],
        {"object that is no indicator": 1, "pattern of more than values joined by OR": 1},
    ),
    "hashed-expressions": (
        ["hashed-expressions.txt"],
        None,
        {
            ("source", "https://a.b.orchard.example/x?y"): (None, "", ""),
            ("source", "https://grove.example/albums/1.jpg"): (None, "", ""),
        },
        [("source", "https://grove.example/")],
        {},
    ),
}


def imported(name: str, store: str) -> Imported:
    files, mapping, *_ = CASES[name]
    return import_files(
        store,
        "partner",
        [str(SAMPLES / file) for file in files],
        format_name=name if name == "hashed-expressions" else None,
        mapping=None if mapping is None else parse_mapping(mapping),
    )


@pytest.mark.parametrize("name", CASES)
def test_sample_is_detected_and_nothing_is_lost(name: str, tmp_path: Path) -> None:
    result = imported(name, str(tmp_path))
    assert result.formats[0] == ("threatexchange" if "threat" in name else name.split("-media")[0])
    assert result.skipped == CASES[name][4]


@pytest.mark.parametrize("name", CASES)
def test_sample_catches_what_it_lists(name: str, tmp_path: Path) -> None:
    _, _, listed, clean, _ = CASES[name]
    store, to = str(tmp_path / "store"), str(tmp_path / "lists")
    imported(name, store)
    compile_list(
        id="l", version=1, sources=[], store=store, partner="partner", to=to, issued=ISSUED
    )
    lists = ListSet.open(to, now=ISSUED)

    def match(kind: str, value: str) -> list[tuple[str, str, str]]:
        if kind == "source":
            findings = lists.match_source(value, "url")
        elif kind in ("pdq", "phash"):
            hashed = np.frombuffer(bytes.fromhex(value), np.uint8).reshape(1, -1)
            findings = lists.match_perceptual(kind, hashed, ["full"])
        else:
            findings = lists.match_digest(kind, value, "content")
        return [(one.entry_id, one.category, one.feedback) for one in findings]

    for (kind, value), (entry_id, category, feedback) in listed.items():
        found = match(kind, value)
        assert found, (kind, value)
        assert found[0][1:] == (category, feedback)
        assert entry_id in (None, found[0][0])
        assert value not in found[0][0]
    for kind, value in clean:
        assert match(kind, value) == []


def test_every_format_has_a_sample() -> None:
    assert set(registry.names()) <= set(CASES)
