"""Partners' files into the store of their entries."""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from ingestgate.assets import storage
from ingestgate.assets.errors import UsageError
from ingestgate.blocklists import store
from ingestgate.blocklists.formats.mapping import ColumnMapping
from ingestgate.blocklists.formats.reading import read_list
from ingestgate.blocklists.formats.registry import detect, list_format
from ingestgate.blocklists.public_suffixes import PublicSuffixes


class Imported(NamedTuple):
    """What an import read, and did.

    Attributes:
        formats: Names of the formats the files were of.
        changes: What became of the partner's entries.
        skipped: What was kept out, by what it is, and how many of it.
    """

    formats: tuple[str, ...]
    changes: store.Changes
    skipped: dict[str, int]


def import_files(
    to: str,
    partner: str,
    files: Sequence[str],
    *,
    format_name: str | None = None,
    mapping: ColumnMapping | None = None,
    signal_type: str = "",
    snapshot: bool = False,
    leave_out_never_match: bool = False,
    max_malformed: float = 0,
    suffixes: PublicSuffixes | None = None,
) -> Imported:
    """Applies a partner's files, in their order, to what is stored of the partner.

    Args:
        to: Folder of partners' entries.
        partner: Whose files they are.
        files: Paths, patterns, or folders of which every file is meant.
        format_name: Their format; without it, each file's is found by its content.
        mapping: Which column is what, for the formats that are any table.
        signal_type: Signal type of hashes whose format does not say.
        snapshot: The files are all there is: what they lack is removed.
        leave_out_never_match: See `reading.read_list`.
        max_malformed: Likewise.
        suffixes: Likewise.

    Raises:
        ListError: A file is refused, and nothing has changed.
        UsageError: There is no file, or its format is not known.
        StorageError: Reading or writing failed.
    """
    paths = [path for file in files for path in _found(file)]
    chosen = None if format_name is None else list_format(format_name, mapping)
    formats = [chosen or detect(path, mapping) for path in paths]
    skipped: Counter[str] = Counter()
    entries = (
        read_list(
            path,
            one,
            skipped,
            signal_type_name=signal_type if mapping is None else "",
            leave_out_never_match=leave_out_never_match,
            max_malformed=max_malformed,
            suffixes=suffixes,
        )
        for path, one in zip(paths, formats, strict=True)
    )
    changes = store.apply(to, partner, entries, snapshot=snapshot)
    names = tuple(sorted({one.name for one in formats}))
    return Imported(names, changes, dict(sorted(skipped.items())))


def _found(file: str) -> list[str]:
    found = storage.walk(file) if storage.is_directory(file) else storage.match(file)
    if not found:
        raise UsageError(f"{file}: no file there")
    return [entry.path for entry in found]
