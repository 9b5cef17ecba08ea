"""Vouching for a compiled list: its signatures, made."""

import hashlib
from datetime import datetime

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ingestgate.assets import storage
from ingestgate.assets.envelope import Envelope
from ingestgate.assets.errors import ListError, UsageError
from ingestgate.blocklists.listset import ListSet
from ingestgate.blocklists.locking import CHANGE, alone
from ingestgate.blocklists.manifest import MANIFEST, UNEXPIRING, ListInfo
from ingestgate.blocklists.trust import LIST_TYPE, SIGNATURES


def sign_list(directory: str, key: Ed25519PrivateKey, *, now: datetime) -> tuple[ListInfo, int]:
    """Adds a key's signature to a list, which is verified first.

    Signatures over an earlier ``list.json`` are dropped, for they are worth nothing.

    Args:
        directory: The compiled list's own directory.
        key: The private key.
        now: The time at which the list must be issued and not expired.

    Returns:
        What the list says of itself, and how many signatures it has now.

    Raises:
        ListError: A run would refuse the list, or it states no expiry, or somebody else is at it.
        UsageError: It is not the directory of a list.
        StorageError: Reading or writing failed.
    """
    manifest = storage.join(directory, MANIFEST)
    if not storage.exists(manifest):
        raise UsageError(f"{directory}: wants the directory of one list, where its {MANIFEST} lies")
    (info,) = ListSet.open(directory, now=now).infos
    if info.expires is None:
        raise ListError(f"{directory}: {info.name} {UNEXPIRING}")
    path = storage.join(directory, SIGNATURES)
    with alone(directory, CHANGE):  # else of two at once one signature would be lost
        statement = storage.read_bytes(manifest)
        if hashlib.sha256(statement).hexdigest() != info.digest:
            raise ListError(f"{manifest}: changed while it was verified; find out by what")
        envelope = Envelope.read(path, LIST_TYPE, ListError)
        if envelope is None or envelope.payload != statement:
            envelope = Envelope(LIST_TYPE, statement)
        envelope = envelope.signed(key)
        envelope.write(path)
    return info, len(envelope.signatures)
