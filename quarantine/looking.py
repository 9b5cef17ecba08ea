"""What a person looks at who decides about an asset: its bytes, and the entries that hold it.

An asset's id is a place in a shard. Other bytes may come to lie there, other partners may list the
same bytes, and two inputs may call their shards alike. So a decision names what was in the place,
as the manifests have it: content and entries, as digests over both and the id. The log thus holds
no digest of an asset, which may be a listed one, and no identifier of an entry.
"""

import hashlib
import json
from collections.abc import Collection, Mapping
from typing import Any

from ingestgate.assets.errors import UsageError
from ingestgate.assets.verdict import Finding
from ingestgate.blocklists.entries import is_line_number
from ingestgate.quarantine.layout import id_of
from ingestgate.quarantine.manifest_reading import read_manifest

_DECLARED = "declared:"

#: By asset id, of each content the entries that held it.
LookedAt = Mapping[str, Mapping[str, frozenset[str]]]


def entry_key(finding: Finding) -> tuple[str, str, int]:
    """Returns what tells the entry of a finding from others: list, entry, and version or 0.

    An entry that is known by its line only is another one in another version of its list.
    """
    version = finding.list_version if is_line_number(finding.entry_id) else 0
    return finding.list_id, finding.entry_id, version


def content_of(row: Mapping[str, Any]) -> str:
    """Returns a hex digest that stands for what lay in a row's place.

    Its bytes; of a row without bytes, the sources and declared values that matched.
    """
    if row["sha256"] is not None:
        return _digest(row["asset_id"], "bytes", row["sha256"])
    columns = {finding.view.removeprefix(_DECLARED) for finding in _holding(row)}
    said = [[column, row["provenance"].get(column)] for column in sorted(columns)]
    return _digest(row["asset_id"], "said", said)


def entries_of(row: Mapping[str, Any]) -> frozenset[str]:
    """Returns a hex digest of each entry that holds a row's asset, none if it fell with others."""
    return frozenset(
        _digest(row["asset_id"], "entry", *entry_key(finding)) for finding in _holding(row)
    )


def _holding(row: Mapping[str, Any]) -> list[Finding]:
    every = (Finding(**finding) for finding in row["findings"])
    return [finding for finding in every if finding.quarantines]


def _digest(*parts: object) -> str:
    return hashlib.sha256(json.dumps(parts).encode("ascii")).hexdigest()


def looked_at(
    root: str,
    assets: Collection[str],
    samples: Collection[str] = (),
    *,
    one_picture: bool = False,
) -> LookedAt:
    """Returns what some assets are, by all that is sealed of them now, in one pass.

    Args:
        root: The quarantine.
        assets: Whole asset ids.
        samples: Ids of the samples that are meant; empty for all.
        one_picture: Refuse an asset of which different bytes were sealed.

    Raises:
        UsageError: An asset was not sealed, not in these samples, or with different bytes.
        EvidenceError, VaultError, StorageError: As `read_manifest` does.
    """
    found: dict[str, dict[str, frozenset[str]]] = {asset: {} for asset in assets}
    pictures: dict[str, dict[str, str]] = {asset: {} for asset in assets}
    for row in read_manifest(root):
        asset, sample = row["asset_id"], id_of(row["sealed_object"])
        if asset not in found or (samples and sample not in samples):
            continue
        contents, content = found[asset], content_of(row)
        contents[content] = contents.get(content, frozenset()) | entries_of(row)
        if row["sha256"] is not None:
            pictures[asset][row["sha256"]] = sample
    for asset, contents in found.items():
        if not contents:
            raise UsageError(f"{asset}: nothing was sealed of it in the samples named")
        if one_picture and len(pictures[asset]) > 1:
            several = ", ".join(sorted(pictures[asset].values()))
            raise UsageError(
                f"{asset}: different bytes were sealed from its place, each in a sample of its "
                f"own: {several}; look at each, then say by --sample which you mean"
            )
    return found
