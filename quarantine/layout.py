"""Where things lie in a quarantine.

``objects/<id[:2]>/<id>/<sha256>.age`` and ``keys/<id[:2]>/<id>/<sha256>.age``: the sample's
package, sealed to a key of its own, and that key, sealed to the recipients. Both are named for
the SHA-256 of the package's ciphertext, so that whoever seals a sample again writes beside
what is there and never over it: what a manifest says of an object stays true. The folder is
named for the sample, so that every copy of it is found, whether a manifest names it or not.
"""

import hashlib
import re
from typing import Final

from ingestgate.assets.errors import VaultError

OBJECTS: Final = "objects"
KEYS: Final = "keys"
_OBJECT_ID = re.compile(r"[0-9a-f]{40}")
_OBJECT_PATH = re.compile(r"objects/([0-9a-f]{2})/((?=\1)[0-9a-f]{40})/[0-9a-f]{64}\.age")


def object_id(shard: str, sample_key: str, position: int, content_sha256: str) -> str:
    """Returns a sample's id: 40 hex digits that reveal no digest of the content.

    Args:
        shard: The shard's name.
        sample_key: The sample's key.
        position: Position of its first member.
        content_sha256: Hex digest of what is sealed, or of the member's bytes.
    """
    locator = "\0".join((shard, sample_key, str(position), content_sha256))
    return hashlib.sha256(locator.encode("utf-8", "surrogateescape")).hexdigest()[:40]


def object_path(identifier: str, sha256: str) -> str:
    """Returns the path of one copy of a sample below the quarantine's root.

    Args:
        identifier: As `object_id` returns it.
        sha256: Hex digest of the copy's ciphertext.

    Raises:
        VaultError: The id is none.
    """
    if not _OBJECT_ID.fullmatch(identifier):
        raise VaultError("an object's id is 40 lower-case hex digits")
    return f"{OBJECTS}/{identifier[:2]}/{identifier}/{sha256}.age"


def key_path(path: str) -> str:
    """Returns the path of the key file of a copy, given the path of the copy.

    Raises:
        VaultError: It is no path of a copy. Paths come from manifests, which others can write:
            one that leads elsewhere is not followed.
    """
    checked(path)
    return f"{KEYS}/{path.removeprefix(f'{OBJECTS}/')}"


def object_of(key: str) -> str:
    """Returns the path of the copy that a key file, or a copy itself, lies under the name of."""
    return f"{OBJECTS}/{key.partition('/')[2]}"


def id_of(path: str) -> str:
    """Returns the id of the sample that a copy is of; raises as `key_path` does."""
    return checked(path).split("/")[2]


def sample_of(path: str) -> str:
    """Returns the id of the sample that a file below the root is a copy of, "" if of none."""
    try:
        return id_of(object_of(path))
    except VaultError:
        return ""


def checked(path: str) -> str:
    """Returns the path of a copy as it is; raises as `key_path` does."""
    if not _OBJECT_PATH.fullmatch(path):
        raise VaultError("a sealed object lies at objects/<2 digits>/<id>/<sha256>.age")
    return path
