from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from ingestgate.assets.errors import UsageError
from ingestgate.assets.signing_keys import (
    generate_signing_key,
    parse_public_line,
    public_line,
    read_signing_key,
)


def test_a_pair(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    line = generate_signing_key(str(path))
    assert line.startswith("ed25519:")
    assert path.stat().st_mode & 0o777 == 0o600
    assert public_line(read_signing_key(str(path)).public_key()) == line
    assert public_line(parse_public_line(f" {line}\n")) == line
    with pytest.raises(UsageError, match="never overwritten"):
        generate_signing_key(str(path))
    with pytest.raises(UsageError, match="local file only"):
        generate_signing_key("gs://bucket/key.pem")


def test_what_is_no_private_key(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    rsa = generate_private_key(65537, 2048)
    pem = rsa.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    for content in (b"", b"secret", pem):
        path.write_bytes(content)
        with pytest.raises(UsageError, match="not an Ed25519 private key") as caught:
            read_signing_key(str(path))
        assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "not a public key"),
        ("ed25519:", "not a public key"),
        ("ed25519:AAAA", "not a public key"),
        ("ed25519:\u00e9", "not a public key"),
        ("A" * 43 + "=", "not a public key"),
        ("-----BEGIN PRIVATE KEY-----", "a private key, where a public one"),
    ],
)
def test_what_is_no_public_key(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_public_line(text)
