"""Opening what the vault holds: for people who have a secret key, never for a job.

No code that a worker runs imports this module; a test keeps it so.
"""

import io
import tarfile
from collections.abc import Sequence
from typing import Any

import pyrage

from ingestgate.assets import storage
from ingestgate.assets.errors import StorageError, UsageError, VaultError
from ingestgate.quarantine.vault import harmless_name

#: Identity files are a few lines.
MAX_FILE_BYTES = 1 << 20


def read_identities(path: str) -> list[Any]:
    """Returns the secret keys of an age identity file or of an unencrypted SSH key file.

    Raises:
        UsageError: It cannot be read, holds none, or something else; names the line, never
            what it says.
    """
    try:
        with storage.open_read(path) as source:
            raw = source.read(MAX_FILE_BYTES)
        text = raw.decode("utf-8")
        if "PRIVATE KEY-----" in text:
            return [pyrage.ssh.Identity.from_buffer(raw)]
    except (OSError, StorageError, UnicodeDecodeError, pyrage.IdentityError):
        raise UsageError(f"{path}: not a readable identity file") from None
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


def open_object(path: str, identities: Sequence[Any]) -> list[tuple[str, bytes]]:
    """Returns the files that an object holds, as (name, bytes).

    Anybody can seal to a public key, so the names are made harmless here as well.

    Args:
        path: The object's file.
        identities: As `read_identities` returns them.

    Raises:
        VaultError: None of the keys opens it, or it is damaged.
        StorageError: It cannot be read.
    """
    sealed = storage.read_bytes(path)
    try:
        plain = pyrage.decrypt(sealed, list(identities))
    except pyrage.DecryptError as error:
        raise VaultError(f"{path}: cannot be opened ({error})") from error
    try:
        with tarfile.open(fileobj=io.BytesIO(plain), mode="r:") as tar:
            return [
                (harmless_name(member.name), content.read())
                for member in tar
                if (content := tar.extractfile(member)) is not None
            ]
    except tarfile.TarError as error:
        raise VaultError(f"{path}: what it holds is not a package of this program's") from error
