"""The vault: each matched sample sealed under a key of its own, that key to the recipients.

Both are age files (age-encryption.org/v1), so that evidence can be opened without this program::

    age -d -i key.txt KEY.age > sample-key.txt
    age -d -i sample-key.txt OBJECT.age | tar x

Recipients change by sealing the small key files anew; a sample is destroyed, wherever copies of
its object lie, by destroying its key files. What is sealed here cannot be opened here: only
`opening`, for people with a secret key, does that.
"""

import hashlib
import io
import tarfile
from collections.abc import Sequence
from typing import NamedTuple

import pyrage

from ingestgate.assets import storage
from ingestgate.assets.errors import UsageError, VaultError
from ingestgate.quarantine.keys import parse_recipient
from ingestgate.quarantine.layout import key_path, object_path
from ingestgate.quarantine.packaging import packed
from ingestgate.quarantine.private import make_private
from ingestgate.quarantine.rewraps import refuse, retired


class SealedObject(NamedTuple):
    """A sealed sample.

    Attributes:
        path: Below the quarantine's root.
        key_path: Path of its key file, likewise.
        key_sha256: Hex digest of its key file.
        size: Bytes of the ciphertext.
        sha256: Hex digest of the ciphertext.
        plain_sha256: Hex digest of the package (the tar) inside.
    """

    path: str
    key_path: str
    key_sha256: str
    size: int
    sha256: str
    plain_sha256: str


def package(files: Sequence[tuple[str, bytes]]) -> bytes:
    """Returns a tar of the files; the same files give the same bytes.

    USTAR, with extended headers only for names that do not fit. Names come from the landing
    zone, so they are made harmless for whoever unpacks them, see `packed`.
    """
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, content in packed(files):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            member.mode = 0o400
            tar.addfile(member, io.BytesIO(content))
    return sink.getvalue()


class Vault:
    """Seals samples below a quarantine's root. Holds public keys only.

    Args:
        root: The quarantine; made, for its owner only, if it is not there.
        recipients: Public keys, as `keys.read_recipients` returns them.

    Raises:
        UsageError: No recipient, one that nothing can be sealed to, one that a rewrapping took
            access from, or a root that is open to others.
        StorageError: The root cannot be made.
    """

    def __init__(self, root: str, recipients: Sequence[str]) -> None:
        self.root = root
        self.recipients = tuple(recipients)
        if not self.recipients:
            raise UsageError("no recipient: the quarantine must be sealed to at least one key")
        refuse(self.recipients, retired(root))
        # A key that nothing can be sealed to has to show before the first byte is read.
        for recipient in self.recipients:
            encrypt(b"probe", [recipient])
        encrypt(b"probe", self.recipients)
        make_private(root, "the quarantine's directory")

    def seal(self, identifier: str, files: Sequence[tuple[str, bytes]]) -> SealedObject:
        """Seals files as one object, durably, beside what is there of that sample already.

        The key file first: an object that is under its name can be opened.

        Args:
            identifier: See `layout.object_id`.
            files: Name and bytes of each.

        Raises:
            StorageError: It could not be written; nothing that was there has changed.
            VaultError: It could not be encrypted.
        """
        plain = package(files)
        sample_key, key_file = _sample_key(self.recipients)
        sealed = encrypt(plain, [sample_key])
        digest = hashlib.sha256(sealed).hexdigest()
        path = object_path(identifier, digest)
        storage.write_bytes(storage.join(self.root, key_path(path)), key_file, private=True)
        storage.write_bytes(storage.join(self.root, path), sealed, private=True)
        return SealedObject(
            path=path,
            key_path=key_path(path),
            key_sha256=hashlib.sha256(key_file).hexdigest(),
            size=len(sealed),
            sha256=digest,
            plain_sha256=hashlib.sha256(plain).hexdigest(),
        )


def _sample_key(recipients: Sequence[str]) -> tuple[str, bytes]:
    """Returns a new public key, and the secret key to it sealed to the recipients.

    The secret key leaves this function only sealed: when it returns, nobody here has it.
    """
    identity = pyrage.x25519.Identity.generate()
    public = str(identity.to_public())
    return public, encrypt(f"# public key: {public}\n{identity}\n".encode("ascii"), recipients)


def encrypt(plain: bytes, recipients: Sequence[str]) -> bytes:
    """Returns bytes as an age file that each of the recipients opens.

    Raises:
        UsageError: One is no recipient.
        VaultError: Nothing can be sealed to one.
    """
    keys = [parse_recipient(recipient, recipient) for recipient in recipients]
    try:
        return bytes(pyrage.encrypt(plain, keys))
    except pyrage.EncryptError as error:
        raise VaultError(f"cannot seal to {', '.join(recipients)}: {error}") from error
