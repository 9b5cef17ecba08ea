"""The keys a vault is sealed to: age recipients, which are public.

A job needs nothing else. What holds or reads a secret key for opening is in `opening`, which
no code that a worker runs imports.
"""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pyrage

from ingestgate.assets import storage
from ingestgate.assets.errors import StorageError, UsageError

#: Recipient files are a few lines; whoever names an archive by mistake is told so at once.
MAX_FILE_BYTES = 1 << 20
_SECRET = re.compile(r"AGE-SECRET-KEY-|AGE-PLUGIN-|PRIVATE KEY", re.IGNORECASE)


def generate_identity(path: str) -> str:
    """Makes an X25519 age identity file, as ``age-keygen`` writes it, for its owner only.

    Returns:
        The public recipient.

    Raises:
        UsageError: There is something under that name already, or the path is not local.
        StorageError: The file cannot be written.
    """
    if storage.is_remote(path):
        raise UsageError(f"{path}: a secret key is written to a local file only")
    if storage.exists(path):
        raise UsageError(f"{path}: exists; a key is never overwritten, what it opens would be lost")
    identity = pyrage.x25519.Identity.generate()
    recipient = str(identity.to_public())
    created = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    text = f"# created: {created}\n# public key: {recipient}\n{identity}\n"
    storage.write_bytes(path, text.encode("ascii"), private=True)
    return recipient


def read_recipients(values: Sequence[str]) -> tuple[str, ...]:
    """Returns the recipients that command-line values name, each once, in order.

    Args:
        values: Each an age recipient (``age1...``), an SSH public key, or the path of a file
            with one recipient per line and ``#`` comments.

    Raises:
        UsageError: A value is no recipient, or holds a secret key; or there is none at all.
    """
    found: dict[str, None] = {}
    for value in (value.strip() for value in values):
        _refuse_secret(value, "a recipient on the command line")
        if value.startswith(("age1", "AGE1", "ssh-")):
            found[_canonical(value, value)] = None
        else:
            found |= dict.fromkeys(_read_file(value))
    if not found:
        raise UsageError("no recipient: the quarantine must be sealed to at least one public key")
    return tuple(found)


def _read_file(path: str) -> list[str]:
    try:
        with storage.open_read(path) as source:
            raw = source.read(MAX_FILE_BYTES + 1)
    except (OSError, StorageError) as error:
        raise UsageError(f"recipient {path!r} is neither age1... nor a readable file") from error
    if len(raw) > MAX_FILE_BYTES:
        raise UsageError(f"{path}: too large for a file of recipients")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise UsageError(f"{path}: not a text file of recipients") from None
    _refuse_secret(text, path)
    lines = ((number, line.strip()) for number, line in enumerate(text.splitlines(), 1))
    found = [
        _canonical(line, f"{path}:{number}")
        for number, line in lines
        if line and not line.startswith("#")
    ]
    if not found:
        raise UsageError(
            f"{path}: holds no recipient; write the public key into it, which stands in the second "
            "line of the secret key's file ('# public key: age1...')"
        )
    return found


def _refuse_secret(text: str, where: str) -> None:
    if _SECRET.search(text):
        raise UsageError(
            f"{where}: holds a secret key; give the public one (age1...), and keep the secret "
            "key off the machines that run the gate"
        )


def _canonical(value: str, where: str) -> str:
    """Returns the one spelling of a recipient, so that it is not listed twice."""
    recipient = parse_recipient(value, where)
    # pyrage cannot print SSH keys; their third word is a comment.
    return " ".join(value.split()[:2]) if value.startswith("ssh-") else str(recipient)


def parse_recipient(value: str, where: str) -> Any:
    """Returns pyrage's recipient for a public key.

    Args:
        value: The public key.
        where: What to call it in an error.

    Raises:
        UsageError: It is not one.
    """
    kind = pyrage.ssh if value.startswith("ssh-") else pyrage.x25519
    try:
        return kind.Recipient.from_str(value)
    except pyrage.RecipientError as error:
        raise UsageError(f"{where}: not an age recipient ({error})") from error
