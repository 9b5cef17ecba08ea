"""What an input says of its samples, as flat text: the provenance that the ledger carries."""

import json
import re
from collections.abc import Container, Iterator, Mapping, Sequence
from typing import cast

from ingestgate.assets.carrying import carries

#: Provenance key that says why what an input says of a sample could not be read.
SIDECAR_ERROR = "ingestgate.sidecar_error"

#: Provenance key of where the input says that bytes lie, or came from, other than in a column of a
#: name that the policy knows: it is a source by what it is.
LOCATION = "ingestgate.location"

#: What a record may hold: values (nulls, lists and objects among them), and characters of all
#: their names together. Boxes, polygons and embeddings beside a picture stay far below; a long
#: key over a long list, whose names would fill the memory, does not.
MOST_VALUES = 100_000
MOST_NAME_CHARACTERS = 8 << 20
#: Bytes of a JSON sidecar. Parsed, it takes up to fifty times as much memory, and it is parsed
#: before its values can be counted.
MOST_JSON_BYTES = 8 << 20

_LONGEST_URL = 64 << 10
_SHORTCUT = re.compile(r"^[ \t]*(?:BASE)?URL[ \t]*=[ \t]*(\S+)", re.IGNORECASE | re.MULTILINE)

_Path = tuple[str, object]


def readable(text: str) -> str:
    r"""Returns text that UTF-8 can hold: what it cannot becomes ``\xNN`` or ``\uNNNN``.

    Bytes that were decoded with ``surrogateescape`` show as the bytes they were.
    """
    try:
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace").decode("utf-8")


class Named:
    """Texts by name, of which none hides another.

    Where two come under the same name, the later one gets ``[#2]``, ``[#3]``..., unless the
    same text is there under that name.
    """

    def __init__(self, texts: Mapping[str, str] | None = None) -> None:
        self.texts = dict(texts or {})
        self._again: set[tuple[str, str]] = set()
        self._numbers: dict[str, int] = {}

    def put(self, name: str, text: str) -> None:
        """Adds a text under its name, or under that name with a number."""
        if self.texts.setdefault(name, text) == text or (name, text) in self._again:
            return
        self._again.add((name, text))
        self.texts[free_name(name, self.texts, self._numbers)] = text


def free_name(name: str, taken: Container[str], numbers: dict[str, int]) -> str:
    """Returns a name that is not taken: as it is, or with ``[#2]``, ``[#3]``...

    Args:
        name: The name.
        taken: The names that are.
        numbers: The last number of each name, kept from call to call: however many share a
            name, none is tried twice.
    """
    unique = name
    while unique in taken:
        numbers[name] = numbers.get(name, 1) + 1
        unique = f"{name}[#{numbers[name]}]"
    return unique


def flatten(value: Mapping[str, object]) -> dict[str, str]:
    """Flattens a record to one text per scalar, in the record's order.

    Nested mappings are joined with dots (``exif.model``), lists are numbered (``urls[0]``).
    Arrow's maps come as lists of pairs; those with text keys are named as mappings are.
    Text is kept; numbers and booleans become their JSON text, times their ISO 8601 text, other
    scalars their ``str``. Nulls and bytes are left out. Where two scalars come under the same
    name with different values (``{"a.b": 1, "a": {"b": 2}}``), the later one gets
    ``[#2]``, ``[#3]``... so that neither can hide the other. Of a record beyond `MOST_VALUES` or
    `MOST_NAME_CHARACTERS` there is a `SIDECAR_ERROR` and nothing else.
    """
    flat = Named()
    values = characters = 0
    # A stack and not recursion: how deep a record nests is the input's choice. Of iterators, so
    # that no name is made before it is counted.
    stack = [_parts("", value)]
    while stack:
        part = next(stack[-1], None)
        if part is None:
            stack.pop()
            continue
        name, item = part
        values += 1
        characters += len(name)
        if values > MOST_VALUES or characters > MOST_NAME_CHARACTERS:
            return {SIDECAR_ERROR: "more values, or longer names of them, than a record may have"}
        if isinstance(item, Mapping):
            stack.append(_parts(f"{name}.", item))
        elif isinstance(item, Sequence) and not isinstance(item, str | bytes | bytearray):
            stack.append(_items(name, item))
        elif item is not None and not isinstance(item, bytes | bytearray | memoryview):
            flat.put(readable(name), _text(item))
    return flat.texts


def of_record(record: Mapping[str, object]) -> dict[str, str]:
    """Returns what a record says, flattened; with a `SIDECAR_ERROR` if a picture is in it.

    Nobody judges that picture: it is no member of anything.
    """
    flat = flatten(record)
    if SIDECAR_ERROR not in flat and carries(record):
        flat[SIDECAR_ERROR] = "a picture in the shape of text"
    return flat


def of_sidecar(name: str, content: bytes) -> dict[str, str]:
    """Returns what a sidecar says of its asset, by its last suffix: ``.json`` and ``.url`` do."""
    suffix = name.lower().rpartition(".")[2]
    if suffix == "json":
        return of_json(name, content)
    return of_url(name, content) if suffix == "url" else {}


def of_url(name: str, content: bytes) -> dict[str, str]:
    """Returns the `LOCATION` that a ``.url`` file holds, bare or as Windows' shortcuts do.

    Args:
        name: The file's name, for the error.
        content: Its bytes.
    """
    if len(content) > _LONGEST_URL:
        return {SIDECAR_ERROR: f"{readable(name)}: longer than URLs are"}
    text = content.decode("utf-8-sig", "backslashreplace")
    found = " ".join(_SHORTCUT.findall(text)) or text.strip()
    return {LOCATION: found} if found else {}


def of_json(name: str, content: bytes) -> dict[str, str]:
    """Returns what a JSON sidecar says, flattened; `SIDECAR_ERROR` if it is no JSON object.

    And if it has more than `MOST_JSON_BYTES`.

    Args:
        name: The sidecar's name, for the error.
        content: Its bytes.
    """
    if len(content) > MOST_JSON_BYTES:
        return {SIDECAR_ERROR: f"{readable(name)}: more than {MOST_JSON_BYTES >> 20} MiB"}
    try:
        value = json.loads(content, object_pairs_hook=once)
    except (ValueError, RecursionError):
        return {SIDECAR_ERROR: f"{readable(name)}: not JSON, or a key twice"}
    if not isinstance(value, dict):
        return {SIDECAR_ERROR: f"{readable(name)}: not a JSON object"}
    return of_record(value)


def once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Makes a JSON object, as a hook of `json`'s, of which no key is there twice.

    Readers take the first or the last of two: something could hide behind the other.

    Raises:
        ValueError: A key is.
    """
    record = dict(pairs)
    if len(record) != len(pairs):
        raise ValueError("a key twice")
    return record


def _parts(prefix: str, value: Mapping[str, object]) -> Iterator[_Path]:
    return ((f"{prefix}{key}", item) for key, item in value.items())


def _items(name: str, value: Sequence[object]) -> Iterator[_Path]:
    if value and all(map(_is_entry, value)):
        return ((f"{name}.{key}", item) for key, item in cast(Sequence[_Path], value))
    return ((f"{name}[{number}]", item) for number, item in enumerate(value))


def _is_entry(item: object) -> bool:
    # Only Arrow's maps bring up tuples: JSON and Arrow's lists bring up lists.
    return isinstance(item, tuple) and len(item) == 2 and isinstance(item[0], str)


def _text(item: object) -> str:
    if isinstance(item, str):
        return readable(item)
    if isinstance(item, bool | int | float):
        return json.dumps(item)
    isoformat = getattr(item, "isoformat", None)
    return str(isoformat()) if callable(isoformat) else readable(str(item))
