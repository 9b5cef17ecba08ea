"""The vault: one age file per matched sample, sealed to public keys.

The format is age's (age-encryption.org/v1) around a tar, so that evidence can be opened without
this program: ``age -d -i key.txt OBJECT | tar x``. What is sealed here cannot be opened here:
only `opening`, for people with a secret key, does that.
"""

import hashlib
import io
import os
import re
import stat
import tarfile
from collections.abc import Sequence
from typing import NamedTuple

import pyrage

from ingestgate.assets import storage
from ingestgate.assets.errors import UsageError, VaultError
from ingestgate.quarantine.keys import parse_recipient

_OBJECT_ID = re.compile(r"[0-9a-f]{40}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class SealedObject(NamedTuple):
    """A sealed sample.

    Attributes:
        path: Below the quarantine's root.
        size: Bytes of the ciphertext.
        sha256: Hex digest of the ciphertext.
        plain_sha256: Hex digest of the package (the tar) inside.
        plain_size: Bytes of the package.
    """

    path: str
    size: int
    sha256: str
    plain_sha256: str
    plain_size: int


def object_id(
    shard: str, sample_key: str, position: int, plain_sha256: str, context: str = ""
) -> str:
    """Returns the name of a sample's object: 40 hex digits that reveal no digest of the content.

    Args:
        shard: The shard's name.
        sample_key: The sample's key.
        position: Position of its first member.
        plain_sha256: Hex digest of what is sealed, or of the member's bytes.
        context: As `manifest.ManifestWriter` is given: with it, a later judging seals a copy
            of its own, so that what an earlier manifest says of its object stays true.
    """
    locator = "\0".join((shard, sample_key, str(position), plain_sha256, context))
    return hashlib.sha256(locator.encode("utf-8", "surrogateescape")).hexdigest()[:40]


def package(files: Sequence[tuple[str, bytes]]) -> bytes:
    """Returns a tar of the files; the same files give the same bytes.

    USTAR, with extended headers only for names that do not fit. Names come from the landing
    zone, so they are made harmless for whoever unpacks them: relative, without ``..`` and
    control characters, each once.
    """
    sink = io.BytesIO()
    taken: set[str] = set()
    with tarfile.open(fileobj=sink, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for index, (given, content) in enumerate(files):
            name = harmless_name(given)
            while name in taken:
                name = f"{index}/{name}"
            taken.add(name)
            member = tarfile.TarInfo(name)
            member.size = len(content)
            member.mode = 0o400
            tar.addfile(member, io.BytesIO(content))
    return sink.getvalue()


def harmless_name(name: str) -> str:
    """Returns a relative name without ``..``, empty parts and control characters."""
    parts = [part for part in _CONTROL.sub("_", name).split("/") if part not in ("", ".")]
    return "/".join("_" if part == ".." else part for part in parts) or "_"


class Vault:
    """Seals samples below a quarantine's root. Holds public keys only.

    Args:
        root: The quarantine; made, for its owner only, if it is not there.
        recipients: Public keys, as `keys.read_recipients` returns them.

    Raises:
        UsageError: No recipient, one that nothing can be sealed to, or a root that is open to
            others.
        StorageError: The root cannot be made.
    """

    def __init__(self, root: str, recipients: Sequence[str]) -> None:
        self.root = root
        self.recipients = tuple(recipients)
        if not self.recipients:
            raise UsageError("no recipient: the quarantine must be sealed to at least one key")
        # A key that nothing can be sealed to has to show before the first byte is read.
        for recipient in self.recipients:
            _encrypt(b"probe", [recipient])
        _encrypt(b"probe", self.recipients)
        _make_private(root)

    def seal(self, object_id: str, files: Sequence[tuple[str, bytes]]) -> SealedObject:
        """Seals files as one object, durably; an object of that id is replaced.

        Args:
            object_id: See `object_id`.
            files: Name and bytes of each.

        Raises:
            StorageError: It could not be written; what was there under its name is still there.
            VaultError: It could not be encrypted.
        """
        if not _OBJECT_ID.fullmatch(object_id):
            raise VaultError("an object's id is 40 lower-case hex digits")
        plain = package(files)
        sealed = _encrypt(plain, self.recipients)
        path = f"objects/{object_id[:2]}/{object_id}.age"
        storage.write_bytes(storage.join(self.root, path), sealed, private=True)
        return SealedObject(
            path=path,
            size=len(sealed),
            sha256=hashlib.sha256(sealed).hexdigest(),
            plain_sha256=hashlib.sha256(plain).hexdigest(),
            plain_size=len(plain),
        )


def _encrypt(plain: bytes, recipients: Sequence[str]) -> bytes:
    keys = [parse_recipient(recipient, recipient) for recipient in recipients]
    try:
        return bytes(pyrage.encrypt(plain, keys))
    except pyrage.EncryptError as error:
        raise VaultError(f"cannot seal to {', '.join(recipients)}: {error}") from error


def _make_private(root: str) -> None:
    storage.make_directory(root, private=True)
    if storage.is_remote(root):
        return
    try:
        if not stat.S_IMODE(os.stat(root).st_mode) & 0o077:
            return
        # An empty directory was made for this; with other things in it, it may be anybody's.
        if not os.listdir(root):
            os.chmod(root, 0o700)
            return
    except OSError as error:
        raise VaultError(f"{root}: {error.strerror}") from error
    raise UsageError(
        f"{root}: the quarantine's directory is open to others; close it (chmod 700), or name "
        "one that does not exist yet"
    )
