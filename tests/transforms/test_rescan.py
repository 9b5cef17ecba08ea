from datetime import UTC, datetime
from pathlib import Path

import pytest

from ingestgate.assets.errors import ListError
from ingestgate.blocklists.compiling import compile_list
from ingestgate.blocklists.listset import ListSet
from ingestgate.transforms.policy import Policy
from ingestgate.transforms.rescan import RescanSettings, open_rescan

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def test_a_worker_holds_a_ledger_against_the_lists_that_were_verified_alone(
    tmp_path: Path,
) -> None:
    lists, source = str(tmp_path / "lists"), tmp_path / "md5"
    for version in (1, 2):
        source.write_text(f"{version}" * 32 + "\n")
        compile_list(id="p", version=version, sources=[("md5", str(source))], to=lists, issued=NOW)
        if version == 1:
            verified = ListSet.open(lists, now=NOW).digest
            open_rescan(RescanSettings(Policy(), lists, verified, str(tmp_path)))
    with pytest.raises(ListError, match="not those the run began with; start the run again"):
        open_rescan(RescanSettings(Policy(), lists, verified, str(tmp_path)))
