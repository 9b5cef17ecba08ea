import base64
import hashlib
from collections.abc import Callable

import pytest

from ingestgate.blocklists.lint import Problem, lint
from ingestgate.blocklists.listset import ListSet
from ingestgate.blocklists.manifest import ListInfo
from ingestgate.blocklists.public_suffixes import PublicSuffixes
from ingestgate.blocklists.signals import SignalType

Open = Callable[..., ListSet]
Compile = Callable[..., ListInfo]
VALUE = "0123456789abcdef" * 2
PIXEL = base64.b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")
SUFFIXES = PublicSuffixes.of(["com", "co.uk", "*.ck", "*.kobe.jp"])


def problems(opened: Open, *, refused: bool = True) -> list[Problem]:
    (one,) = opened().lists
    found = [p for p in lint(one, SUFFIXES) if p.refused is refused]
    assert all(p.list == "list partner version 1" for p in found)
    return found


def test_a_list_as_it_should_be(compiled: Compile, opened: Open) -> None:
    compiled(md5=VALUE, pdq=VALUE * 2, phash=VALUE[:16], domain="a.co.uk", url="http://co.uk/x")
    assert problems(opened) == []


@pytest.mark.parametrize("content", [PIXEL, b"\n"])
def test_digests_of_placeholders(compiled: Compile, opened: Open, content: bytes) -> None:
    digest = hashlib.md5(content, usedforsecurity=False).hexdigest()
    compiled(md5=f"value,entry_id\n{VALUE},fine\n{digest},A-17\n")
    (problem,) = problems(opened)
    assert problem.check == "never-match"
    assert problem.message.startswith("md5: 1 digests of empty or placeholder files")
    assert problem.message.endswith(": A-17")
    assert digest not in problem.message


def test_the_digest_of_the_empty_file_and_all_zeros(
    compiled: Compile, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty = hashlib.md5(b"", usedforsecurity=False).hexdigest()
    with monkeypatch.context() as patched:  # as another compiler might
        patched.setattr(SignalType, "never_match", frozenset())
        compiled(md5=f"{VALUE}\n{empty}\n{'0' * 32}\n{'f' * 32}\n", pdq="0" * 64)
    found = problems(opened)
    assert [problem.message.split(":")[0:2] for problem in found] == [
        ["md5", " 3 digests of empty or placeholder files, all zeros or all ones"],
        ["pdq", " 1 hashes as near to all zeros or all ones as the list's threshold"],
    ]


@pytest.mark.parametrize(("ones", "count"), [(1, 1), (6, 1), (7, 0), (57, 0), (58, 1), (63, 1)])
def test_hashes_of_flat_pictures(compiled: Compile, opened: Open, ones: int, count: int) -> None:
    compiled(phash=f"{(1 << ones) - 1:016x}\n{VALUE[:16]}\n")
    found = problems(opened)
    assert [problem.check for problem in found] == ["never-match"] * count


@pytest.mark.parametrize(
    ("domain", "scope", "count"),
    [
        ("co.uk", "subdomains", 1),
        ("*.co.uk", "exact", 1),
        ("co.uk", "exact", 0),
        ("CO.uk.", "subdomains", 1),
        ("kobe.jp", "subdomains", 1),
        ("*.kobe.jp", "subdomains", 1),
        ("a.co.uk", "subdomains", 0),
    ],
)
def test_public_suffixes(
    compiled: Compile, opened: Open, domain: str, scope: str, count: int
) -> None:
    compiled(domain=f"{domain}\nfine.example\n", domain_scope=scope)
    found = problems(opened)
    assert [problem.check for problem in found] == ["public-suffix"] * count
    assert all(problem.message.endswith("partner:domain:1") for problem in found)


def test_one_value_under_several_types(compiled: Compile, opened: Open) -> None:
    value = "0123456789abcdef" * 4
    compiled(sha256=f"{value}\n{'1' * 64}\n", pdq=f"{value}\n{'2' * 64}\n", md5=VALUE)
    (problem,) = problems(opened)
    assert problem.check == "several-types"
    assert problem.message.startswith("pdq: 1 values that are listed as sha256 as well")


def test_many_entries_are_counted_not_listed(compiled: Compile, opened: Open) -> None:
    compiled(phash="".join(f"{1 << n:016x}\n" for n in range(20)))
    (problem,) = problems(opened)
    assert problem.message.startswith("phash: 20 hashes")
    assert problem.message.endswith("and others")


def test_remarks(compiled: Compile, opened: Open) -> None:
    compiled(phash=VALUE[:16], thresholds={"phash": 9})
    found = {problem.check: problem.message for problem in problems(opened, refused=False)}
    assert set(found) == {"expiry", "threshold"}
    assert found["threshold"] == "phash: threshold 9, wider than the usual 6"
