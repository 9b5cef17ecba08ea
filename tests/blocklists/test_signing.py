from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ingestgate.assets.envelope import Envelope
from ingestgate.assets.errors import ListError
from ingestgate.blocklists.manifest import ListInfo
from ingestgate.blocklists.signing import sign_list
from tests.blocklists.conftest import ISSUED

ALICE, BOB = (Ed25519PrivateKey.from_private_bytes(bytes([n]) * 32) for n in (1, 2))


def test_of_two_who_sign_at_once_one_is_refused(
    tmp_path: Path, compiled: Callable[..., ListInfo], monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled(md5="01" * 16, expires=ISSUED + timedelta(days=10))
    directory = str(tmp_path / "lists" / "partner-1")
    write = Envelope.write

    def beside_another(envelope: Envelope, path: str) -> None:
        monkeypatch.setattr(Envelope, "write", write)
        with pytest.raises(ListError, match="partner-1: another change is under way there; wait"):
            sign_list(directory, BOB, now=ISSUED)
        write(envelope, path)

    monkeypatch.setattr(Envelope, "write", beside_another)
    assert sign_list(directory, ALICE, now=ISSUED)[1] == 1
    assert sign_list(directory, BOB, now=ISSUED)[1] == 2
