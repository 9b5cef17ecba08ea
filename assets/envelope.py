"""Signed statements: DSSE envelopes with Ed25519 signatures.

An envelope carries the signed bytes and any number of signatures over them, so that several
people can sign one after another (https://github.com/secure-systems-lab/dsse, protocol and
envelope 1.0.0). What is signed includes the payload's type: a signature under a statement of one
kind is none under another.
"""

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from ingestgate.assets import storage
from ingestgate.assets.errors import GateError, StorageError
from ingestgate.assets.signing_keys import key_id

MAX_SIGNATURES = 64  # each is tried with each trusted key


def pre_authentication_encoding(payload_type: str, payload: bytes) -> bytes:
    """Returns the bytes that a signature is over: DSSE's PAE of a payload and its type."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


class Signature(NamedTuple):
    """One signature; ``keyid`` is a hint of whose it is, which nothing relies on."""

    keyid: str
    sig: bytes


@dataclass(frozen=True, slots=True)
class Envelope:
    """A statement and the signatures over it.

    Attributes:
        payload_type: What the payload is.
        payload: The signed bytes.
        signatures: Whosever; they count only for keys that `signers` is asked about.
    """

    payload_type: str
    payload: bytes
    signatures: tuple[Signature, ...] = ()

    @classmethod
    def read(cls, path: str, payload_type: str, refusal: type[GateError]) -> Self | None:
        """Returns the envelope in a file; None if there is no such file.

        Args:
            path: The file.
            payload_type: What the payload has to be.
            refusal: The error of whoever relies on it.

        Raises:
            refusal: It is no envelope, or of another payload type.
            StorageError: It cannot be read.
        """
        try:
            content = storage.read_bytes(path)
        except StorageError:
            if storage.exists(path):
                raise
            return None
        try:
            fields = json.loads(content)
            kind = fields["payloadType"]
            payload = _decoded(fields["payload"])
            signatures = tuple(
                Signature(str(one.get("keyid", "")), _decoded(one["sig"]))
                for one in fields["signatures"]
            )
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise refusal(f"{path}: not a DSSE envelope; have it signed again") from None
        if kind != payload_type:
            raise refusal(
                f"{path}: not a signed statement of type {payload_type}; have it signed again"
            )
        if len(signatures) > MAX_SIGNATURES:
            raise refusal(f"{path}: more than {MAX_SIGNATURES} signatures; have it signed again")
        return cls(payload_type, payload, signatures)

    def signed(self, key: Ed25519PrivateKey) -> "Envelope":
        """Returns the envelope with a key's signature, in place of an earlier one of it."""
        own = key_id(key.public_key())
        others = [one for one in self.signatures if one.keyid != own]
        made = key.sign(pre_authentication_encoding(self.payload_type, self.payload))
        signatures = tuple(sorted([*others, Signature(own, made)]))
        return Envelope(self.payload_type, self.payload, signatures)

    def signers(self, trusted: Mapping[str, Ed25519PublicKey]) -> tuple[str, ...]:
        """Returns the names of the trusted keys that a signature here verifies under, sorted.

        A signature of anybody else changes nothing, valid or not.
        """
        signed = pre_authentication_encoding(self.payload_type, self.payload)
        return tuple(
            name
            for name, key in sorted(trusted.items())
            if any(_verifies(key, one.sig, signed) for one in self.signatures)
        )

    def write(self, path: str, *, private: bool = True) -> None:
        """Writes the envelope, a function of its fields alone.

        Args:
            path: The file.
            private: Whether it and folders made for it are for their owner only.

        Raises:
            StorageError: It cannot be written.
        """
        fields = {
            "payloadType": self.payload_type,
            "payload": base64.b64encode(self.payload).decode(),
            "signatures": [
                {"keyid": one.keyid, "sig": base64.b64encode(one.sig).decode()}
                for one in self.signatures
            ],
        }
        storage.write_bytes(path, (json.dumps(fields, indent=1) + "\n").encode(), private=private)


def _verifies(key: Ed25519PublicKey, signature: bytes, signed: bytes) -> bool:
    try:
        key.verify(signature, signed)
    except InvalidSignature:
        return False
    return True


def _decoded(text: str) -> bytes:
    """Decodes base64; the standard has readers take both alphabets."""
    try:
        return base64.b64decode(text.encode("ascii").translate(_STANDARD), validate=True)
    except binascii.Error:
        raise ValueError("not base64") from None


_STANDARD = bytes.maketrans(b"-_", b"+/")
