"""StopNCII: JSON pages of hash records, of which a later one replaces an earlier one.

A record has no identifier but its hash, so a withdrawal carries the hash it withdraws.
"""

from collections.abc import Iterator
from typing import BinaryIO

from ingestgate.assets.errors import ListError
from ingestgate.blocklists.formats.fields import Fields
from ingestgate.blocklists.formats.json_records import ITEM, objects
from ingestgate.blocklists.formats.record import Record, Value

RECORDS = "hashRecords"
_REMOVED = frozenset({"withdrawn", "deleted"})
_KNOWN = frozenset({"active", "received", "unknown", ""}) | _REMOVED


class StopNcii:
    """The format ``stopncii``."""

    name = "stopncii"
    may_be_empty = True

    def detect(self, head: bytes) -> bool:
        return head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{") and b'"hashRecords"' in head

    def read(self, path: str, source: BinaryIO) -> Iterator[Record]:
        page = None
        for found in objects(path, source, [(RECORDS,)]):
            if found.path == (RECORDS, ITEM):
                yield _record(Fields(path, found.place, found.value))
            elif found.path == ():
                page = found
            else:
                raise ListError(f"{path}, {RECORDS}: not an array")
        if page is None or "hasMoreRecords" not in page.value or RECORDS not in page.counts:
            raise ListError(
                f"{path}: not a page of StopNCII's hashes; hasMoreRecords is missing, or "
                f"{RECORDS} is no array"
            )
        # It counts the page's own records, whatever comes after: fewer are a page cut short.
        if page.value.get("count") not in (None, page.counts[RECORDS]):
            raise ListError(
                f"{path}, count: is not {page.counts[RECORDS]:,}, the number of {RECORDS} there are"
            )


def _record(fields: Fields) -> Record:
    status = fields.text("hashStatus").lower()
    if status not in _KNOWN:  # it could mean that the hash is withdrawn, or the contrary
        raise fields.refuse("hashStatus", "a status nobody knows here")
    return Record(
        fields.place,
        values=(
            Value(
                fields.text("signalType", required=True),
                fields.text("hashValue", required=True),
                "hashValue",
            ),
        ),
        feedback=_feedback(fields),
        modified=fields.modified("lastModtimestamp"),
        tombstone=status in _REMOVED,
    )


def _feedback(fields: Fields) -> str:
    """Returns how many providers gave which feedback."""
    counts: dict[str, int] = {}
    for feedback in fields.objects("CSPFeedbacks"):
        said = Fields(fields.path, fields.place, feedback).text("feedbackValue")
        if said and said != "None":
            counts[said] = counts.get(said, 0) + 1
    return ", ".join(f"{said} {count}" for said, count in sorted(counts.items()))
