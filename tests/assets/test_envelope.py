import base64
import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ingestgate.assets.envelope import (
    MAX_SIGNATURES,
    Envelope,
    Signature,
    pre_authentication_encoding,
)
from ingestgate.assets.errors import EvidenceError

KIND = "application/vnd.example+json"
ALICE, BOB = (Ed25519PrivateKey.from_private_bytes(bytes([n]) * 32) for n in (1, 2))
TRUSTED = {"alice": ALICE.public_key(), "bob": BOB.public_key()}


def test_pae_is_that_of_the_specification() -> None:
    encoded = pre_authentication_encoding("http://example.com/HelloWorld", b"hello world")
    assert encoded == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    assert pre_authentication_encoding("\u00e9", b"") == b"DSSEv1 2 \xc3\xa9 0 "


def test_signers_are_the_trusted_keys_that_signed() -> None:
    unsigned = Envelope(KIND, b"statement")
    assert unsigned.signers(TRUSTED) == ()
    both = unsigned.signed(BOB).signed(ALICE)
    assert both.signers(TRUSTED) == ("alice", "bob")
    assert both == unsigned.signed(ALICE).signed(BOB)
    assert both.signed(ALICE) == both
    assert both.signers({"bob": BOB.public_key()}) == ("bob",)


def test_signature_is_bound_to_payload_and_type() -> None:
    (signature,) = Envelope(KIND, b"statement").signed(ALICE).signatures
    assert Envelope(KIND, b"Statement", (signature,)).signers(TRUSTED) == ()
    assert Envelope(KIND + "x", b"statement", (signature,)).signers(TRUSTED) == ()


def test_hint_decides_nothing() -> None:
    (made,) = Envelope(KIND, b"statement").signed(ALICE).signatures
    (bobs,) = Envelope(KIND, b"statement").signed(BOB).signatures
    assert Envelope(KIND, b"statement", (Signature("", made.sig),)).signers(TRUSTED) == ("alice",)
    claimed = Signature(bobs.keyid, b"\0" * 64)
    assert Envelope(KIND, b"statement", (claimed, made)).signers(TRUSTED) == ("alice",)


def test_round_trip_is_a_dsse_envelope(tmp_path: Path) -> None:
    path = str(tmp_path / "e.json")
    envelope = Envelope(KIND, b"\xff statement").signed(ALICE)
    envelope.write(path)
    assert Envelope.read(path, KIND, EvidenceError) == envelope
    fields = json.loads(Path(path).read_text())
    assert sorted(fields) == ["payload", "payloadType", "signatures"]
    assert base64.b64decode(fields["payload"]) == b"\xff statement"
    url_safe = fields["payload"].replace("+", "-").replace("/", "_")
    Path(path).write_text(json.dumps({**fields, "payload": url_safe}))
    assert Envelope.read(path, KIND, EvidenceError) == envelope
    assert Envelope.read(str(tmp_path / "none"), KIND, EvidenceError) is None


@pytest.mark.parametrize(
    "changed",
    [
        {"payload": "%%"},
        {"payload": None},
        {"signatures": None},
        {"signatures": [{}]},
        {"signatures": ["x"]},
        {"signatures": [{"sig": "\u00e9"}]},
    ],
)
def test_anything_else_is_refused(tmp_path: Path, changed: dict[str, Any]) -> None:
    path = tmp_path / "e.json"
    Envelope(KIND, b"statement").signed(ALICE).write(str(path))
    path.write_text(json.dumps({**json.loads(path.read_text()), **changed}))
    with pytest.raises(EvidenceError, match="not a DSSE envelope"):
        Envelope.read(str(path), KIND, EvidenceError)


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b"\xff", b"[" * 100000])
def test_not_an_envelope(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "e.json").write_bytes(content)
    with pytest.raises(EvidenceError, match="not a DSSE envelope"):
        Envelope.read(str(tmp_path / "e.json"), KIND, EvidenceError)


def test_of_another_type_or_beyond_reason(tmp_path: Path) -> None:
    path = str(tmp_path / "e.json")
    Envelope(KIND, b"statement").write(path)
    with pytest.raises(EvidenceError, match="not a signed statement of type other"):
        Envelope.read(path, "other", EvidenceError)
    many = (Signature("", b""),) * (MAX_SIGNATURES + 1)
    Envelope(KIND, b"statement", many).write(path)
    with pytest.raises(EvidenceError, match="more than 64 signatures"):
        Envelope.read(path, KIND, EvidenceError)
