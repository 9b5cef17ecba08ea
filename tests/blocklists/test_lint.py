import base64
import hashlib
from collections.abc import Callable

import pytest

from ingestgate.assets.errors import ListError
from ingestgate.blocklists.lint import Problem, lint
from ingestgate.blocklists.listset import ListSet
from ingestgate.blocklists.manifest import ListInfo
from ingestgate.blocklists.placeholders import HASHES
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
        ["pdq", " 1 hashes as near as the threshold to those of flat pictures or placeholders"],
    ]


@pytest.mark.parametrize(("ones", "count"), [(1, 1), (6, 1), (7, 0), (57, 0), (58, 1), (63, 1)])
def test_hashes_of_flat_pictures(compiled: Compile, opened: Open, ones: int, count: int) -> None:
    compiled(phash=f"{(1 << ones) - 1:016x}\n{VALUE[:16]}\n")
    found = problems(opened)
    assert [problem.check for problem in found] == ["never-match"] * count


def test_hashes_of_pictures_that_stand_in_for_others(
    compiled: Compile, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = sorted(HASHES["pdq"])
    near = int.from_bytes(values[-1]) ^ ((1 << 31) - 1)
    far = int.from_bytes(hashlib.sha256(b"a picture").digest())
    listed = [f"{value.hex()},flat" for value in values]
    assert sum(bin(int.from_bytes(value)).count("1") in range(32, 225) for value in values) > 100
    rows = "\n".join(["value,entry_id", *listed, f"{near:064x},near", f"{far:064x},fine"])
    with monkeypatch.context() as patched:  # black is all zeros
        patched.setattr(SignalType, "never_match", frozenset())
        compiled(pdq=rows)
    (problem,) = problems(opened)
    assert problem.check == "never-match"
    assert problem.message.startswith(f"pdq: {len(values) + 1} hashes as near")
    assert "fine" not in problem.message


def test_flat_is_judged_by_the_usual_threshold_at_least(compiled: Compile, opened: Open) -> None:
    compiled(phash=f"{(1 << 6) - 1:016x}\n{VALUE[:16]}\n", thresholds={"phash": 0})
    (problem,) = problems(opened)
    assert problem.check == "never-match"


@pytest.mark.parametrize("expression", [b"", b"/"])
def test_digests_of_no_expression(
    compiled: Compile, opened: Open, monkeypatch: pytest.MonkeyPatch, expression: bytes
) -> None:
    rows = f"{'1' * 64}\n{hashlib.sha256(expression).hexdigest()}\n"
    with pytest.raises(ListError, match=r"line 2, value: would match .*no host"):
        compiled(expression=rows)
    with monkeypatch.context() as patched:  # as another compiler might
        patched.setattr(SignalType, "never_match", frozenset())
        compiled(expression=rows)
    (problem,) = problems(opened)
    assert (problem.check, problem.message) == (
        "never-match",
        "expression: 1 digests of no host, which were made of nothing: partner:expression:2",
    )


@pytest.mark.parametrize(
    ("expression", "count"),
    [("co.uk/", 1), ("kobe.jp/", 1), ("a.co.uk/", 0), ("co.uk/x", 0), ("com/", 1)],
)
def test_hashed_public_suffixes(
    compiled: Compile, opened: Open, expression: str, count: int
) -> None:
    digest = hashlib.sha256(expression.encode()).hexdigest()
    compiled(expression=f"{digest}\n{'1' * 64}\n")
    found = problems(opened)
    assert [problem.check for problem in found] == ["public-suffix"] * count
    assert all(problem.message.endswith(": partner:expression:1") for problem in found)


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
    elsewhere = PublicSuffixes.of(["com"])  # compiling would refuse what it knows
    compiled(domain=f"{domain}\nfine.example\n", domain_scope=scope, suffixes=elsewhere)
    found = problems(opened)
    assert [problem.check for problem in found] == ["public-suffix"] * count
    assert all(problem.message.endswith("partner:domain:1") for problem in found)


def test_one_value_under_several_types(compiled: Compile, opened: Open) -> None:
    value = "0123456789abcdef" * 4
    compiled(sha256=f"{value}\n{'1' * 64}\n", pdq=f"{value}\n{'2' * 64}\n", md5=VALUE)
    (problem,) = problems(opened)
    assert problem.check == "several-types"
    assert problem.message.startswith("pdq: 1 values that are listed as sha256 as well")


def test_digests_among_hashed_expressions(compiled: Compile, opened: Open) -> None:
    value = "0123456789abcdef" * 4
    page = hashlib.sha256(b"a.example/x").hexdigest()
    compiled(
        sha256=f"{value}\n{'1' * 64}\n",
        expression=f"{value}\n{page}\n",
        url="http://a.example/x",  # listed both ways: no accident
    )
    (problem,) = problems(opened)
    assert problem.check == "several-types"
    assert problem.message.startswith("expression: 1 values that are listed as sha256 as well")


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
