import json
from collections.abc import Callable
from pathlib import Path

import pytest

from ingestgate.assets.errors import ListError, UsageError
from ingestgate.blocklists.listset import ListSet
from ingestgate.blocklists.manifest import ListInfo
from ingestgate.blocklists.remembered import accept, check_remembered, remember

Open = Callable[..., ListSet]
Compile = Callable[..., ListInfo]


def md5(*numbers: int) -> str:
    return "".join(f"{number:032x}\n" for number in numbers)


@pytest.fixture
def state(tmp_path: Path) -> str:
    return str(tmp_path / "state" / "seen.json")


def refused(state: str, opened: Open, reason: str, change: float = 0.5) -> None:
    with pytest.raises(ListError, match=reason):
        check_remembered(state, opened().infos, change)


def remove(tmp_path: Path, name: str) -> None:
    (tmp_path / "lists" / name / "list.json").unlink()
    for file in (tmp_path / "lists" / name).iterdir():
        file.unlink()


def test_first_use_remembers(compiled: Compile, opened: Open, state: str) -> None:
    info = compiled("a", 3, md5=md5(1, 2))
    check_remembered(state, opened().infos, 0.5)
    remember(state, opened().infos)
    check_remembered(state, opened().infos, 0.5)
    (seen,) = json.loads(Path(state).read_text())["lists"].items()
    assert seen == ("a", {"version": 3, "digest": info.digest, "counts": {"md5": 2}})
    assert Path(state).stat().st_mode & 0o777 == 0o600


def test_rollback(tmp_path: Path, compiled: Compile, opened: Open, state: str) -> None:
    compiled("a", 9, md5=md5(1))
    compiled("a", 10, md5=md5(2))
    remember(state, opened().infos)
    remove(tmp_path, "a-10")
    refused(state, opened, "list a version 9 is older than version 10, which was seen before")
    remember(state, opened().infos)  # another run that had begun before
    assert json.loads(Path(state).read_text())["lists"]["a"]["version"] == 10


def test_other_content_under_a_version_that_was_seen(
    tmp_path: Path, compiled: Compile, opened: Open, state: str
) -> None:
    compiled("a", 1, md5=md5(1))
    remember(state, opened().infos)
    remove(tmp_path, "a-1")
    compiled("a", 1, md5=md5(2))
    refused(state, opened, "list a version 1 is not the one that was seen before")


def test_a_list_that_is_gone(tmp_path: Path, compiled: Compile, opened: Open, state: str) -> None:
    compiled("a", 1, md5=md5(1))
    compiled("b", 1, md5=md5(1))
    remember(state, opened().infos)
    remove(tmp_path, "a-1")
    refused(state, opened, "list a was there before, and is gone")
    accept(state, "a", opened().infos)
    check_remembered(state, opened().infos, 0.5)


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (range(1, 11), range(1, 6), None),
        (range(1, 11), range(1, 5), "shrank from 10 values in version 1 to 4"),
        (range(1, 11), range(1, 16), None),
        (range(1, 11), range(1, 17), "grew from 10 values in version 1 to 16"),
    ],
)
def test_shrunk_or_grown_beyond_the_share(
    compiled: Compile, opened: Open, state: str, before: range, after: range, said: str | None
) -> None:
    compiled("a", 1, md5=md5(*before))
    remember(state, opened().infos)
    compiled("a", 2, md5=md5(*after))
    if said is None:
        check_remembered(state, opened().infos, 0.5)
        return
    refused(state, opened, said)
    check_remembered(state, opened().infos, 1.0)
    info = accept(state, "a", opened().infos)
    assert info
    assert info.version == 2
    check_remembered(state, opened().infos, 0.5)


def test_one_signal_type_that_shrank_is_not_hidden_by_others(
    compiled: Compile, opened: Open, state: str
) -> None:
    compiled("a", 1, md5=md5(*range(1, 101)), domain="a.example\nb.example\n")
    remember(state, opened().infos)
    compiled("a", 2, md5=md5(*range(1, 101)))
    refused(state, opened, "shrank from 2 domain in version 1 to 0")


def test_a_new_signal_type_is_measured_by_the_whole_list(
    compiled: Compile, opened: Open, state: str
) -> None:
    compiled("a", 1, md5=md5(*range(1, 11)))
    remember(state, opened().infos)
    compiled("a", 2, md5=md5(*range(1, 11)), domain="a.example\n")
    check_remembered(state, opened().infos, 0.5)
    # Others made room for it: the list as a whole is as long as it was.
    compiled("a", 3, md5=md5(*range(1, 6)), domain="".join(f"{n}.example\n" for n in range(6)))
    refused(state, opened, "grew from 0 domain in version 1 to 6")


def test_what_is_no_state_file_is_not_taken_for_an_empty_one(
    compiled: Compile, opened: Open, state: str
) -> None:
    compiled("a", 1, md5=md5(1))
    Path(state).parent.mkdir()
    for content in ("", "{", "[]", '{"format": 2}', '{"lists": {"a": {"version": 0}}}'):
        Path(state).write_text(content)
        refused(state, opened, "not a file of remembered lists")
        with pytest.raises(ListError, match="not a file of remembered lists"):
            remember(state, opened().infos)
        assert Path(state).read_text() == content


def test_accept_wants_a_list(compiled: Compile, opened: Open, state: str) -> None:
    compiled("a", 1, md5=md5(1))
    with pytest.raises(UsageError, match="no list 'b'"):
        accept(state, "b", opened().infos)
