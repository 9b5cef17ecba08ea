"""Ed25519 key pairs (RFC 8032) for all that is signed: lists, certificates, what people do.

The private half is a PEM file (PKCS #8, as OpenSSL writes it), for whoever signs; the public half
is one line, ``ed25519:`` and 32 bytes in base64, for whoever checks: a policy, the audit log.
"""

import base64
import binascii
import hashlib

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from ingestgate.assets import storage
from ingestgate.assets.errors import UsageError

PREFIX = "ed25519:"


def generate_signing_key(path: str) -> str:
    """Makes a private key, in a file for its owner only; returns the public key's line.

    Raises:
        UsageError: There is something under that name already, or the path is not local.
        StorageError: The file cannot be written.
    """
    if storage.is_remote(path):
        raise UsageError(f"{path}: a private key is written to a local file only")
    if storage.exists(path):
        raise UsageError(f"{path}: exists; a key is never overwritten, give another name")
    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    storage.write_bytes(path, pem, private=True)
    return public_line(key.public_key())


def read_signing_key(path: str) -> Ed25519PrivateKey:
    """Reads a private key.

    Raises:
        UsageError: The file holds no Ed25519 private key, or one under a passphrase.
        StorageError: It cannot be read.
    """
    try:
        key = load_pem_private_key(storage.read_bytes(path), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None  # what the library says could quote the file
    if not isinstance(key, Ed25519PrivateKey):
        raise UsageError(
            f"{path}: not an Ed25519 private key without a passphrase, in PEM; make one with "
            "'ingestgate keys signing'"
        )
    return key


def public_line(key: Ed25519PublicKey) -> str:
    """Returns the line that stands for a public key."""
    return PREFIX + base64.b64encode(key.public_bytes_raw()).decode()


def parse_public_line(text: str) -> Ed25519PublicKey:
    """Returns the public key of a line.

    Raises:
        ValueError: It is not one; says why.
    """
    line = text.strip()
    if "PRIVATE KEY" in text:
        raise ValueError("a private key, where a public one is wanted; keep it off these machines")
    try:
        raw = base64.b64decode(line.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if not line.startswith(PREFIX) or len(raw) != 32:
        raise ValueError(
            f"not a public key; wants the line '{PREFIX}...' that 'ingestgate keys signing' prints"
        )
    return Ed25519PublicKey.from_public_bytes(raw)


def read_public_lines(path: str) -> list[str]:
    """Returns the lines of a file of public keys, without blank ones and those that begin with #.

    Raises:
        UsageError: It holds none, or a private key.
        StorageError: It cannot be read.
    """
    content = storage.read_bytes(path).decode("utf-8", "replace")
    if "PRIVATE KEY" in content:
        raise UsageError(f"{path}: a private key; give the public line that belongs to it")
    rows = [row.strip() for row in content.splitlines()]
    rows = [row for row in rows if row and not row.startswith("#")]
    if not rows:
        raise UsageError(
            f"{path}: holds no public key; write the line '{PREFIX}...' into it that "
            "'ingestgate keys signing' printed"
        )
    return rows


def one_public_line(given: str) -> str:
    """Returns the line of a public key that somebody gave, or a file of that one key.

    Raises:
        UsageError: A file of that name holds none, several, or a private key.
        StorageError: It cannot be read.
    """
    if given.strip().startswith(PREFIX) or not storage.exists(given):
        return given
    rows = read_public_lines(given)
    if len(rows) > 1:
        raise UsageError(f"{given}: holds several public keys; give the line of the one meant")
    return rows[0]


def key_id(key: Ed25519PublicKey) -> str:
    """Returns the hex SHA-256 of a public key, a short name for it in envelopes."""
    return hashlib.sha256(key.public_bytes_raw()).hexdigest()
