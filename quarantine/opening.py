"""Opening what the vault holds: for people who have a secret key, never for a job.

No code that a worker runs imports this module; a test keeps it so.
"""

import hashlib
import io
import tarfile
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pyrage

from ingestgate.assets import storage
from ingestgate.assets.errors import EvidenceError, StorageError, UsageError, VaultError
from ingestgate.quarantine.layout import key_path
from ingestgate.quarantine.packaging import packed

#: Identity files are a few lines.
MAX_FILE_BYTES = 1 << 20
_STRANGE = (
    ": it is sealed to others than this identity; it takes the secret key of a recipient that the "
    "run was given, or the last `ingestgate quarantine rewrap`: let one of them open it, or rewrap "
    "it to you"
)


class NotARecipientError(VaultError, UsageError):
    """Something is sealed to others than who wants to open it."""


def read_identities(path: str) -> list[Any]:
    """Returns the secret keys of an age identity file or of an unencrypted SSH key file.

    Raises:
        UsageError: It cannot be read, holds none, or something else; names the line, never
            what it says.
    """
    try:
        with storage.open_read(path) as source:
            raw = source.read(MAX_FILE_BYTES)
    except (OSError, StorageError):
        raise _unreadable(path) from None
    return _identities(raw, path)


def _identities(raw: bytes, path: str) -> list[Any]:
    try:
        text = raw.decode("utf-8")
        if "PRIVATE KEY-----" in text:
            return [pyrage.ssh.Identity.from_buffer(raw)]
    except (UnicodeDecodeError, pyrage.IdentityError):
        raise _unreadable(path) from None
    identities = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        try:
            identities.append(pyrage.x25519.Identity.from_str(line.strip()))
        except pyrage.IdentityError:
            raise UsageError(f"{path}:{number}: not an age secret key") from None
    if not identities:
        raise UsageError(f"{path}: holds no secret key")
    return identities


def _unreadable(path: str) -> UsageError:
    return UsageError(
        f"{path}: not a readable identity file; it takes an age secret key, as 'ingestgate keys "
        "recipient' makes, or an SSH key without a passphrase: a signing key opens nothing"
    )


def open_key(root: str, path: str, identities: Sequence[Any]) -> bytes:
    """Returns the secret key that one object is sealed to, as an age identity file.

    Args:
        root: The quarantine.
        path: The object's path below it.
        identities: As `read_identities` returns them.

    Raises:
        NotARecipientError: None of the keys opens the key file.
        VaultError: It is damaged.
        StorageError: It cannot be read.
    """
    return _decrypt(storage.join(root, key_path(path)), identities, _STRANGE)


def open_package(root: str, path: str, identities: Sequence[Any]) -> bytes:
    """Returns the package (a tar) inside an object; arguments and errors as of `open_key`."""
    key = open_key(root, path, identities)
    try:
        sample_key = _identities(key, storage.join(root, key_path(path)))
    except UsageError as error:
        raise VaultError(str(error)) from None
    return _decrypt(storage.join(root, path), sample_key)


def open_object(root: str, path: str, identities: Sequence[Any]) -> list[tuple[str, bytes]]:
    """Returns the files that an object holds, as (name, bytes).

    Anybody can seal to a public key, so the names are made harmless here as well. Arguments and
    errors are those of `open_key`.
    """
    return unpacked(path, open_package(root, path, identities))


def open_as_sealed(
    root: str, row: Mapping[str, Any], identities: Sequence[Any]
) -> list[tuple[str, bytes]]:
    """Returns the files of the sample that a manifest row's asset lies in, as `open_object` does.

    Raises:
        EvidenceError: What is inside is not what the row says: not that package, or not the
            asset's bytes.
        VaultError, StorageError: As `open_key` does.
    """
    path = row["sealed_object"]
    plain = open_package(root, path, identities)
    files = unpacked(path, plain)
    inside = {hashlib.sha256(content).hexdigest() for _, content in files}
    if hashlib.sha256(plain).hexdigest() != row["package_sha256"] or (
        row["sha256"] is not None and row["sha256"] not in inside
    ):
        raise EvidenceError(
            f"{path}: what is inside is not what was sealed there, by its manifest; nothing was "
            "opened. Restore it and its key file, see `ingestgate quarantine check --identity`"
        )
    return files


def unpacked(path: str, plain: bytes) -> list[tuple[str, bytes]]:
    """Returns the files of a package, under harmless names.

    Args:
        path: What to call it in an error.
        plain: The package.

    Raises:
        VaultError: It is none.
    """
    try:
        with tarfile.open(fileobj=io.BytesIO(plain), mode="r:") as tar:
            return packed(
                (member.name, content.read())
                for member in tar
                if (content := tar.extractfile(member)) is not None
            )
    except tarfile.TarError as error:
        raise VaultError(f"{path}: what it holds is not a package of this program's") from error


def _decrypt(path: str, identities: Sequence[Any], strange: str = "") -> bytes:
    sealed = storage.read_bytes(path)
    try:
        return bytes(pyrage.decrypt(sealed, list(identities)))
    except pyrage.DecryptError as error:
        unknown = "matching keys" in str(error)  # pyrage has one class for all that can be wrong
        if unknown and strange:
            said = f"{path}: cannot be opened ({error}{strange})"
            raise NotARecipientError(said) from error
        raise VaultError(f"{path}: cannot be opened ({error})") from error


def opener(
    identities: Sequence[Any],
) -> Callable[[str, str], tuple[bytes, list[tuple[str, bytes]]]]:
    """Returns what `checking` opens objects with."""

    def open_both(root: str, path: str) -> tuple[bytes, list[tuple[str, bytes]]]:
        plain = open_package(root, path, identities)
        return plain, unpacked(path, plain)

    return open_both
