"""Names under which a sample's files are sealed, and opened: safe to unpack, and unique."""

import re
from collections.abc import Iterable

_UNSAFE = re.compile(r"[\x00-\x1f\x7f\\:]")


def packed(files: Iterable[tuple[str, bytes]]) -> list[tuple[str, bytes]]:
    """Returns the files under safe relative names, each name once.

    Names stay as they are where they can: no leading ``/``, no ``.`` or ``..`` component, no
    control characters; the second of a name becomes ``stem~2.suffix``.
    """
    taken: set[str] = set()
    result = []
    for name, content in files:
        unique = safe = _safe(name)
        number = 1
        while unique in taken:
            number += 1
            folder, slash, base = safe.rpartition("/")
            stem, dot, suffix = base.partition(".")
            unique = f"{folder}{slash}{stem}~{number}{dot}{suffix}"
        taken.add(unique)
        result.append((unique, content))
    return result


def _safe(name: str) -> str:
    parts = [part for part in _UNSAFE.sub("_", name).split("/") if part not in ("", ".", "..")]
    return "/".join(parts) or "unnamed"
