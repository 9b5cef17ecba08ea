"""An asset as other people's pipelines hand it to the gate, one at a time."""

from collections.abc import Mapping
from typing import NamedTuple


class Asset(NamedTuple):
    """A candidate asset.

    Attributes:
        asset_id: Whatever identifies it to the caller; comes back unchanged.
        content: The original bytes; None where there are none yet (a URL to be fetched only
            if it is admitted).
        provenance: What is known of it, by column name: ``url``, ``page_url``, ``md5``...
    """

    asset_id: str
    content: bytes | None
    provenance: Mapping[str, str]
