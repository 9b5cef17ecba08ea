"""Which of several sealed copies ``quarantine open`` opens, and what it says of it."""

import hashlib
from pathlib import Path

import pytest
from click.testing import CliRunner

from ingestgate.pipeline.cli import cli
from ingestgate.quarantine.audit import read_log
from ingestgate.quarantine.layout import id_of
from ingestgate.quarantine.vault import SealedObject, Vault
from tests.quarantine.test_manifest import row, write
from tests.quarantine.vaults import Sample, asset, fill, log_manifests, reader, seal


def test_the_latest_is_opened_or_the_sample_that_is_named(tmp_path: Path) -> None:
    root, person = tmp_path / "vault", reader()
    vault = Vault(str(root), [person.recipient])
    (tmp_path / "identity.txt").write_text(str(person.identity))

    def sealed(day: int, context: str) -> SealedObject:
        content = b"%d" % day
        made = seal(vault, Sample("one", (content,)))
        named = {
            "sealed_object": made.path,
            "sealed_key": made.key_path,
            "package_sha256": made.plain_sha256,
            "sha256": hashlib.sha256(content).hexdigest(),
        }
        write(root, [row(1, sealed_at=f"2026-01-0{day}T00:00:00Z", **named)], context * 32)
        return made

    first = sealed(1, "aa")
    latest = sealed(3, "55")
    sealed(2, "ee")
    log_manifests(root)
    where = ("--quarantine", str(root), "--identity", str(tmp_path / "identity.txt"))
    wanted = f"{1:032x}"
    opened = CliRunner().invoke(
        cli, ["quarantine", "open", *where, "--to", str(tmp_path / "opened"), wanted]
    )
    path = tmp_path / "opened" / wanted / "one.0.jpg"
    assert (opened.exit_code, opened.stdout) == (0, f"{path}\n")
    assert path.read_bytes() == b"3"
    assert list(read_log(str(root)))[-1].fields == {"asset": wanted, "object": latest.path}

    by_sample = ("--to", str(tmp_path / "first"), "--sample")
    wrong = CliRunner().invoke(cli, ["quarantine", "open", *where, *by_sample, "ab" * 20, wanted])
    assert (wrong.exit_code, "sealed of it in that sample" in wrong.stderr) == (2, True)
    command = ["quarantine", "open", *where, *by_sample, id_of(first.path), wanted]
    assert CliRunner().invoke(cli, command).exit_code == 0
    assert (tmp_path / "first" / wanted / "one.0.jpg").read_bytes() == b"1"

    stranger = tmp_path / "stranger.txt"
    stranger.write_text(str(reader().identity))
    again = ("--quarantine", str(root), "--identity", str(stranger), "--to", str(tmp_path / "none"))
    refused = CliRunner().invoke(cli, ["quarantine", "open", *again, wanted])
    assert (refused.exit_code, "sealed to others than this identity" in refused.stderr) == (2, True)


def test_what_was_opened_is_named_as_a_terminal_may_show_it(tmp_path: Path) -> None:
    """Its package holds what its manifest says, also if it was sealed with names as they were."""
    root, person, key = tmp_path / "vault", reader(), "ü\x9b2J\u202e\u200b"
    (tmp_path / "identity.txt").write_text(str(person.identity))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ingestgate.quarantine.vault.packed", lambda files: files)
        fill(root, [person.recipient], Sample(key))
    where = ("--quarantine", str(root), "--identity", str(tmp_path / "identity.txt"))
    assert CliRunner().invoke(cli, ["quarantine", "check", *where]).exit_code == 0
    to = ("--to", str(tmp_path / "to"))
    opened = CliRunner().invoke(cli, ["quarantine", "open", *where, *to, asset(key)])
    folder = tmp_path / "to" / asset(key)
    assert (opened.exit_code, opened.stdout) == (0, f"{folder}/ü_2J_\\u200b.0.jpg\n")
    assert [path.name for path in folder.iterdir()] == ["ü_2J_\u200b.0.jpg"]
