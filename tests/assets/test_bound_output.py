from pathlib import Path

import pytest

from ingestgate.assets.bound_output import bind_output, bound_output, bound_path, require_output
from ingestgate.assets.errors import EvidenceError, UsageError


def test_evidence_is_of_one_output_as_long_as_that_is_there(tmp_path: Path) -> None:
    evidence = str(tmp_path / "evidence")
    first, second = tmp_path / "first", tmp_path / "second"
    assert bound_output(evidence) is None
    require_output(evidence, str(first))
    bind_output(evidence, str(first))
    assert bound_output(evidence) == str(first)
    require_output(evidence, str(second))  # nothing was let into the first
    first.mkdir()
    require_output(evidence, str(first))
    with pytest.raises(UsageError, match=f"is the evidence of {first}, .* its own for {second}"):
        require_output(evidence, str(second))
    first.rename(second)
    require_output(evidence, str(second))
    bind_output(evidence, str(second))
    assert bound_output(evidence) == str(second)


def test_another_name_of_the_same_folder_is_none_of_another(tmp_path: Path) -> None:
    evidence = str(tmp_path / "evidence")
    (tmp_path / "first").mkdir()
    (tmp_path / "linked").symlink_to(tmp_path / "first")
    bind_output(evidence, str(tmp_path / "first"))
    require_output(evidence, str(tmp_path / "linked"))


@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b'{"output": 1}', b"[" * 100_000])
def test_a_damaged_record_is_told(tmp_path: Path, content: bytes) -> None:
    evidence = str(tmp_path / "evidence")
    bind_output(evidence, "first")
    Path(bound_path(evidence)).write_bytes(content)
    with pytest.raises(EvidenceError, match=r"output\.json: damaged"):
        bound_output(evidence)
