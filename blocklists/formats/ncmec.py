"""NCMEC hash sharing v2: XML pages of images and videos, and what was deleted of them.

Follows the published documentation (https://report.cybertip.org/hashsharing/v2/documentation.pdf).
An entry is known by the member who shared it and the identifier that member gave it: a deletion
carries both and no fingerprint. The order of children varies, so they are read by name. Pages
are not in the order of time, so every record carries its own.
"""

from collections.abc import Iterator
from typing import BinaryIO
from xml.etree.ElementTree import Element

from ingestgate.assets.errors import ListError
from ingestgate.blocklists.entries import FieldError
from ingestgate.blocklists.formats.record import Record, Value, microseconds
from ingestgate.blocklists.formats.xml_records import elements

NAMESPACE = "https://hashsharing.ncmec.org/hashsharing/v2"
ROOT = "queryResult"
_DELETED = "deleted"
_SENTIMENTS = {"affirmativeFeedback": "affirmative", "negativeFeedback": "negative"}


class Ncmec:
    """The format ``ncmec``."""

    name = "ncmec"
    may_be_empty = True

    def detect(self, head: bytes) -> bool:
        return NAMESPACE.encode() in head and ROOT.encode() in head

    def read(self, path: str, source: BinaryIO) -> Iterator[Record]:
        for parent, element, line in elements(
            path, source, namespace=NAMESPACE, root=ROOT, depth=2
        ):
            if parent == "paging":
                continue
            place = f"line {line}, {element.tag}"
            member = _only(path, place, element, "member")
            id_ = _only(path, place, element, "id")
            number, name = member.get("id", "").strip(), (id_.text or "").strip()
            if not number or not name:
                field = "id" if number else "member"
                raise ListError(f"{path}, {place}, {field}: empty; an entry needs both of them")
            tombstone = element.tag.startswith(_DELETED)
            yield Record(
                place,
                values=() if tombstone else tuple(_fingerprints(path, place, element)),
                entry_id=f"{number}/{name}",
                category=element.findtext("classification", "").strip(),
                feedback=_feedback(element),
                modified=_modified(path, place, element),
                tombstone=tombstone,
            )


def _only(path: str, place: str, element: Element, name: str) -> Element:
    found = element.findall(name)
    if len(found) != 1:
        raise ListError(f"{path}, {place}, {name}: there {len(found)} times, must be once")
    return found[0]


def _modified(path: str, place: str, element: Element) -> int | None:
    text = element.findtext("timestamp", "").strip()
    try:
        return microseconds(text) if text else None
    except FieldError as error:
        raise ListError(f"{path}, {place}, timestamp: {error}") from None


def _fingerprints(path: str, place: str, element: Element) -> Iterator[Value]:
    for fingerprint in _only(path, place, element, "fingerprints"):
        # Large fingerprints are links to be fetched one by one: kept out by their type.
        yield Value(fingerprint.tag, (fingerprint.text or "").strip(), fingerprint.tag)


def _feedback(element: Element) -> str:
    """Returns how many members gave which feedback on which fingerprint."""
    counts: dict[str, int] = {}
    for one in element.iterfind("feedback/*"):
        said = _SENTIMENTS.get(one.tag, one.tag)
        members = sum(1 for member in one.iter("member") if member.get("id"))
        key = f"{one.get('type', '').lower()} {said}".strip()
        counts[key] = counts.get(key, 0) + members
    return ", ".join(f"{key} {count}" for key, count in sorted(counts.items()))


def next_page(path: str, source: BinaryIO) -> str | None:
    """Returns where a page says the next one is, and reads it to its end for that.

    Raises:
        ListError: It is not a page.
    """
    for parent, element, _ in elements(path, source, namespace=NAMESPACE, root=ROOT, depth=2):
        if parent == "paging" and element.tag == "next" and (element.text or "").strip():
            return (element.text or "").strip()
    return None
