"""What a member is to the gate, by its name and its bytes."""

from ingestgate.assets.carrying import carried
from ingestgate.assets.media import PICTURE_SUFFIXES, sniff
from ingestgate.assets.shard import Kind


def kind_of(suffix: str, content: bytes, sidecars: frozenset[str]) -> Kind:
    """Returns what a member is to the gate.

    A picture under any name is a picture; so is whatever calls itself one: a ``.jpg`` that
    holds a web page is a picture that will not decode, and is not admitted. Text that carries a
    picture is no sidecar.

    Args:
        suffix: All that follows the first dot of the base name, in any case (``seg.json``).
        content: The member's bytes.
        sidecars: Suffixes of sidecars; the last part of a compound suffix counts.
    """
    last = suffix.lower().rpartition(".")[2]
    media_type = sniff(content)
    if last in PICTURE_SUFFIXES or media_type.startswith("image/"):
        return Kind.PICTURE
    if last in sidecars and not media_type and not carried(content.decode("latin-1")):
        return Kind.SIDECAR
    return Kind.OTHER
