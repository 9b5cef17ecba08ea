"""What lies in the vault is held against its log as that is by the time."""

from functools import partial
from pathlib import Path

from ingestgate.pipeline.census.evidence import Vault
from ingestgate.quarantine.audit_writing import append_machine
from ingestgate.quarantine.inventory import named_objects
from ingestgate.quarantine.rewrapping import rewrap
from tests.quarantine.vaults import Sample, fill, reader


def test_what_was_rewrapped_since_the_log_was_read_is_accounted_for(tmp_path: Path) -> None:
    root, person, other = tmp_path / "vault", reader(), reader()
    fill(root, [person.recipient], Sample("one"), Sample("two"))
    one, two = named_objects(str(root)).values()
    key = root / two.key_path
    sealed = key.read_bytes()
    vault = Vault(str(root))
    assert vault.accounts_for(one)
    rewrap(str(root), [person.identity], [other.recipient], partial(append_machine, str(root)))
    assert vault.accounts_for(two)
    key.write_bytes(sealed)
    assert not vault.accounts_for(two), "put back: by the log, it is not that one any more"
    assert not Vault(str(root)).accounts_for(two)
