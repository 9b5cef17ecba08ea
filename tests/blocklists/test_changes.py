from pathlib import Path
from typing import Any

import pytest

from ingestgate.assets.errors import ListError
from ingestgate.blocklists.changes import compare, open_version

A, B, C, D = (f"{number:02x}" * 16 for number in range(1, 5))
HEADER = "value,entry_id,category\n"


def test_versions_are_compared_by_entry(tmp_path: Path, compiled: Any) -> None:
    compiled("l", 1, md5=f"{HEADER}{A},1,x\n{B},2,x\n{C},3,x\n{D},4,x\n{A},5,\n{B},5,\n")
    compiled(
        "l",
        2,
        md5=f"{HEADER}{A},1,x\n{B},2,y\n{A},3,x\n{D},6,\n{A},5,\n{B},5,\n",
        domain="a.example",
    )
    lists = tmp_path / "lists"
    compared = compare(open_version(str(lists / "l-1")), open_version(str(lists / "l-2")))
    assert (compared.old.version, compared.new.version) == (1, 2)
    assert compared.added == ["6", "l:domain:1"]
    assert (compared.removed, compared.changed) == (["4"], ["2", "3"])
    same = compare(open_version(str(lists / "l-1")), open_version(str(lists / "l-1")))
    assert same[2:] == ([], [], [])


def test_value_that_moves_to_another_type(tmp_path: Path, compiled: Any) -> None:
    compiled("l", 1, sha256=f"{HEADER}{A}{A},1,\n{B}{B},2,")
    compiled("l", 2, pdq=f"{HEADER}{A}{A},1,\n{C}{C},2,")
    lists = tmp_path / "lists"
    compared = compare(open_version(str(lists / "l-1")), open_version(str(lists / "l-2")))
    assert compared[2:] == ([], [], ["1", "2"])


def test_a_version_states_what_it_changes(compiled: Any) -> None:
    assert compiled("l", 1, md5=f"{A}\n{B}").changes is None
    assert compiled("l-1", 1, md5=A).changes is None
    compiled("l", 9, md5=C)
    changes = compiled("l", 3, md5=f"{HEADER}{A},l:md5:1,\n{C},n,\n{D},m,").changes
    assert changes is not None
    assert changes.model_dump() == {"since": 1, "added": 2, "removed": 1, "changed": 0}


def test_damaged_versions_are_not_compared(tmp_path: Path, compiled: Any) -> None:
    compiled("l", 1, md5=A)
    path = tmp_path / "lists" / "l-1" / "md5.arrow"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(ListError, match="SHA-256"):
        open_version(str(path.parent))
    with pytest.raises(ListError, match="SHA-256"):
        compiled("l", 2, md5=A)
