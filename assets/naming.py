"""How people spell the names of columns, in one way."""

import re

_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_JOINT = re.compile(r"[\s\-]+")


def spelled(name: str) -> str:
    """Returns a name in lower case with underscores: of `` imageUrl`` and ``Image-URL`` one."""
    return _JOINT.sub("_", _CAMEL.sub("_", name.strip())).lower()
