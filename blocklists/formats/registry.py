"""The list formats by name and by content: those built in, and third parties'.

A package adds a format by registering a class without constructor arguments under the entry
point group ``ingestgate.list_formats``; the entry point's name is the format's.
"""

import importlib
from importlib.metadata import entry_points

from ingestgate.assets import storage
from ingestgate.assets.errors import UsageError
from ingestgate.blocklists.formats.mapping import ColumnMapping
from ingestgate.blocklists.formats.record import ListFormat

GROUP = "ingestgate.list_formats"
HEAD = 1 << 16  # bytes that detection looks at
_HERE = "ingestgate.blocklists.formats"
_BUILT_IN = {
    "adblock": ("adblock", "Adblock"),
    "domains": ("plain_sources", "Domains"),
    "hash-file": ("hash_files", "HashFile"),
    "hashed-expressions": ("hashed_expressions", "HashedExpressions"),
    "hosts": ("hosts", "Hosts"),
    "imagehash": ("imagehash_hex", "ImagehashHex"),
    "local-file": ("local_file", "LocalFile"),
    "ncmec": ("ncmec", "Ncmec"),
    "rpz": ("rpz", "Rpz"),
    "stix": ("stix", "Stix"),
    "stopncii": ("stopncii", "StopNcii"),
    "threatexchange": ("threatexchange", "ThreatExchange"),
    "urls": ("plain_sources", "Urls"),
    "vics": ("vics", "Vics"),
}
_TABLES = {
    "csv": ("csv_table", "CsvTable"),
    "jsonl": ("jsonl_table", "JsonLines"),
    "parquet": ("parquet_table", "ParquetTable"),
}


def names() -> list[str]:
    """Returns the names of all formats, sorted."""
    return sorted({*_BUILT_IN, *_TABLES, *entry_points(group=GROUP).names})


def list_format(name: str, mapping: ColumnMapping | None = None) -> ListFormat:
    """Returns a format by its name.

    Args:
        name: One of `names`.
        mapping: Which column is what; the formats ``csv``, ``jsonl`` and ``parquet`` need it,
            the others have no use for it.

    Raises:
        UsageError: There is none of that name, it cannot be loaded, or the mapping is missing
            or of no use.
    """
    if name in _TABLES and mapping is None:
        raise UsageError(f"format {name}: say which column is what with --map value=...,type=...")
    if name not in _TABLES and mapping is not None:
        raise UsageError(f"format {name}: its fields are fixed; leave --map out")
    if name in _TABLES:
        module, attribute = _TABLES[name]
        made = getattr(importlib.import_module(f"{_HERE}.{module}"), attribute)(mapping)
    elif name in _BUILT_IN:
        module, attribute = _BUILT_IN[name]
        made = getattr(importlib.import_module(f"{_HERE}.{module}"), attribute)()
    else:
        made = _third_party(name)
    if not isinstance(made, ListFormat):
        raise UsageError(f"format {name!r} is not a list format")
    return made


def _third_party(name: str) -> object:
    found = tuple(entry_points(group=GROUP, name=name))
    if len(found) != 1:
        problem = "is registered more than once" if found else "is not a list format"
        raise UsageError(f"{name!r} {problem}; known formats: {', '.join(names())}")
    try:
        return found[0].load()()
    except (ImportError, AttributeError, TypeError) as error:
        raise UsageError(f"list format {name!r} cannot be loaded: {error}") from error


def detect(path: str, mapping: ColumnMapping | None = None) -> ListFormat:
    """Returns the format of a file by what it begins with.

    Args:
        path: The file.
        mapping: If there is one, only the formats that need it are thought of.

    Raises:
        UsageError: It could be none of them, or several.
        StorageError: It cannot be read.
    """
    with storage.open_read(path) as source:
        head = source.read(HEAD)
    those = [name for name in names() if (name in _TABLES) == (mapping is not None)]
    formats = [list_format(name, mapping) for name in those]
    found = [one for one in formats if one.detect(head)]
    if len(found) != 1:
        could = f"could be {' or '.join(one.name for one in found)}" if found else "no format known"
        columns = "; a CSV, JSON Lines or Parquet file with columns of its own takes --map instead"
        raise UsageError(
            f"{path}: {could}; say which with --format ({', '.join(those)})"
            f"{'' if mapping else columns}"
        )
    return found[0]
