import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ingestgate.assets.errors import ListError
from ingestgate.assets.verdict import SignalKind
from ingestgate.blocklists.additions import added_since
from ingestgate.blocklists.canaries import PICTURE, SOURCES, canary_id
from ingestgate.blocklists.changes import compare, open_version
from ingestgate.blocklists.listset import ListSet
from ingestgate.blocklists.manifest import ListInfo
from ingestgate.blocklists.matching import Matcher
from ingestgate.blocklists.signals import BUILT_IN, signal_type

Open = Callable[..., ListSet]
Compile = Callable[..., ListInfo]
VALUE = "0123456789abcdef0123456789abcdef"
OTHER = "fedcba9876543210fedcba9876543210"


def found(lists: ListSet, name: str) -> list[str]:
    """Returns the ids of the entries that a canary of a type meets."""
    kind = signal_type(name).kind
    if kind is SignalKind.SOURCE:
        return [finding.entry_id for finding in lists.match_source(SOURCES[name], "url")]
    if kind is SignalKind.DIGEST:
        return [finding.entry_id for finding in lists.match_digest(name, PICTURE[name], "content")]
    query = np.frombuffer(bytes.fromhex(PICTURE[name]), np.uint8).reshape(1, -1)
    return [finding.entry_id for finding in lists.match_perceptual(name, query, ["full"])]


def test_every_built_in_signal_type_has_one() -> None:
    assert {*PICTURE, *SOURCES} == {signal.name for signal in BUILT_IN}
    for name, value in PICTURE.items():
        signal = signal_type(name)
        assert len(value) == 2 * signal.width
        assert bytes.fromhex(value) not in signal.never_match
    assert all(
        url.removesuffix("/listed").rstrip("/").endswith(".invalid") for url in SOURCES.values()
    )


@pytest.mark.parametrize("scope", ["subdomains", "exact"])
def test_a_list_has_one_of_each_type_it_holds_and_no_other(
    compiled: Compile, opened: Open, scope: str
) -> None:
    values = {"md5": VALUE, "sha1": VALUE + "0" * 7 + "1", "pdq": "01" * 32, "phash": "01" * 8}
    sources = {"domain": "a.example", "url": "http://b.example/c"}
    info = compiled(domain_scope=scope, **values, **sources)
    assert info.canaries == {name: (canary_id(name),) for name in {**values, **sources}}
    assert info.listed == dict.fromkeys([*values, *sources], 1)
    for name in info.canaries:
        assert found(opened(), name) == []
        assert found(opened().showing_canaries(), name) == [canary_id(name)]


def test_what_a_partner_lists_beside_a_canary_is_found(tmp_path: Path, opened: Open) -> None:
    from ingestgate.blocklists.compiling import compile_list
    from tests.blocklists.conftest import ISSUED

    path = tmp_path / "md5.csv"
    rows = [f"{PICTURE['md5']},theirs,A", f"{VALUE},canary:md5,A"]
    path.write_text("\n".join(["value,entry_id,category", *rows]) + "\n")
    source = ("md5", str(path))
    compile_list(id="p", version=1, sources=[source], to=str(tmp_path / "lists"), issued=ISSUED)
    assert found(opened(), "md5") == ["theirs"]
    (finding,) = opened().match_digest("md5", VALUE, "content")
    assert finding.entry_id == "canary:md5"


def test_a_list_cannot_hide_entries_as_canaries(
    tmp_path: Path, compiled: Compile, opened: Open
) -> None:
    compiled(md5=VALUE)
    manifest = tmp_path / "lists" / "partner-1" / "list.json"
    fields = json.loads(manifest.read_text())
    manifest.write_text(json.dumps({**fields, "canaries": {"md5": ["partner:md5:1"]}}))
    (finding,) = opened().match_digest("md5", VALUE, "content")
    assert finding.entry_id == "partner:md5:1"


def test_a_list_of_canaries_alone_is_empty(tmp_path: Path, compiled: Compile, opened: Open) -> None:
    compiled(md5=VALUE)
    manifest = tmp_path / "lists" / "partner-1" / "list.json"
    fields = json.loads(manifest.read_text())
    manifest.write_text(json.dumps({**fields, "counts": {"md5": 1}}))
    with pytest.raises(ListError, match="the list is empty"):
        opened()


def test_a_list_without_canaries_is_still_read(
    tmp_path: Path, compiled: Compile, opened: Open
) -> None:
    compiled(md5=VALUE)
    manifest = tmp_path / "lists" / "partner-1" / "list.json"
    fields = json.loads(manifest.read_text())
    del fields["canaries"]
    manifest.write_text(json.dumps(fields))
    lists = opened()
    assert lists.infos[0].canaries == {}
    assert found(lists, "md5") == ["canary:md5"]  # an entry like all others


def test_canaries_are_no_changes(tmp_path: Path, compiled: Compile) -> None:
    compiled("a", 1, md5=VALUE)
    compiled("a", 2, md5=VALUE, domain="a.example")
    compared = compare(*(open_version(str(tmp_path / "lists" / f"a-{n}")) for n in (1, 2)))
    assert compared.added == ["a:domain:1"]
    assert compared.removed == compared.changed == []


CSV = "value,entry_id,category\n"


@pytest.mark.parametrize(
    "theirs",
    [f"{OTHER},canary:md5,A", f"{OTHER},canary:md5,"],
    ids=["with a category", "as the canary's own entry"],
)
def test_an_entry_that_is_called_a_canary_is_a_change(
    tmp_path: Path, compiled: Compile, theirs: str
) -> None:
    compiled("a", 1, md5=f"{CSV}{VALUE},x,")
    added = compiled("a", 2, md5=f"{CSV}{VALUE},x,\n{theirs}").changes
    removed = compiled("a", 3, md5=f"{CSV}{VALUE},x,").changes
    assert added is not None
    assert removed is not None
    assert (added.added, added.removed, added.changed) == (1, 0, 0)
    assert (removed.added, removed.removed, removed.changed) == (0, 1, 0)
    versions = [str(tmp_path / "lists" / f"a-{number}") for number in (1, 2, 3)]
    one, two, three = map(open_version, versions)
    assert compare(one, two)[2:] == (["canary:md5"], [], [])
    assert compare(two, three)[2:] == ([], ["canary:md5"], [])
    assert compare(one, three)[2:] == ([], [], [])


def test_a_value_of_an_entry_that_is_called_a_canary_is_a_change(
    tmp_path: Path, compiled: Compile
) -> None:
    compiled("a", 1, md5=f"{CSV}{VALUE},canary:md5,")
    compiled("a", 2, md5=f"{CSV}{OTHER},canary:md5,")
    compared = compare(*(open_version(str(tmp_path / "lists" / f"a-{n}")) for n in (1, 2)))
    assert compared[2:] == ([], [], ["canary:md5"])


def test_an_entry_that_is_called_a_canary_is_looked_for_since(
    tmp_path: Path, compiled: Compile, opened: Open
) -> None:
    compiled("a", 1, md5=f"{CSV}{VALUE},x,")
    compiled("a", 2, md5=f"{CSV}{VALUE},x,\n{OTHER},canary:md5,")
    older, newer = (str(tmp_path / "lists" / f"a-{number}") for number in (1, 2))
    since = Matcher([added_since(opened().lists[0], newer, older)])
    (finding,) = since.match_digest("md5", OTHER, "content")
    assert finding.entry_id == "canary:md5"
    assert since.match_digest("md5", VALUE, "content") == []
    assert since.match_digest("md5", PICTURE["md5"], "content") == []
