import io
import tracemalloc
from collections.abc import Iterator

import pytest

from ingestgate.assets.errors import ListError
from ingestgate.blocklists.formats import xml_records
from ingestgate.blocklists.formats.xml_records import Found, elements

LAUGHS = (
    '<!DOCTYPE r [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;">]><r xmlns="urn:x"><l><e>&b;</e></l></r>'
)


def found(content: bytes | str, depth: int = 2) -> Iterator[Found]:
    raw = content.encode() if isinstance(content, str) else content
    return elements("f", io.BytesIO(raw), namespace="urn:x", root="r", depth=depth)


@pytest.mark.parametrize(
    "content",
    [
        LAUGHS,
        '<!DOCTYPE r SYSTEM "file:///etc/passwd"><r xmlns="urn:x"/>',
        '<!DOCTYPE r [<!ENTITY x SYSTEM "file:///etc/passwd">]><r xmlns="urn:x">&x;</r>',
        '<?xml version="1.0"?>\n<!DOCTYPE r><r xmlns="urn:x"/>',
    ],
)
def test_document_types_are_refused(content: str) -> None:
    with pytest.raises(ListError, match=r"f, line [12]: a document type"):
        list(found(content))


def test_undefined_entities_are_refused() -> None:
    with pytest.raises(ListError, match="not XML"):
        list(found('<r xmlns="urn:x"><l><e>&b;</e></l></r>'))


def test_other_namespaces_are_refused() -> None:
    with pytest.raises(ListError, match="line 1: an element that is not of urn:x"):
        list(found('<r xmlns="urn:x"><l xmlns="urn:y"/></r>'))


def test_parent_line_and_content() -> None:
    (one,) = found('<p:r xmlns:p="urn:x">\n<p:l>\n<p:e a="1"> <p:f>t&amp;u</p:f></p:e></p:l></p:r>')
    assert (one.parent, one.line, one.element.get("a")) == ("l", 3, "1")
    assert one.element.findtext("f") == "t&u"


def test_records_and_depths_without_end_are_refused() -> None:
    long = "x" * (xml_records.MAX_RECORD + 1)
    with pytest.raises(ListError, match="longer than any there is"):
        list(found(f'<r xmlns="urn:x"><l><e>{long}</e></l></r>'))
    with pytest.raises(ListError, match="too deep"):
        list(found('<r xmlns="urn:x">' + "<l>" * 40))


@pytest.mark.parametrize(
    "begun", ["<!-- ", "<l><?x ", "<l a='", "<l><", "<l/></", "<?x "], ids=ascii
)
def test_what_does_not_end_is_refused_before_it_does(begun: str) -> None:
    class Endless(io.BytesIO):
        count = 0

        def read(self, size: int | None = -1, /) -> bytes:
            self.count += 1
            assert self.count < 20
            return b'\n<r xmlns="urn:x">' + begun.encode() if self.count == 1 else b"x" * 65536

    with pytest.raises(ListError, match="f, line 2: a record longer than any there is"):
        list(elements("f", Endless(), namespace="urn:x", root="r", depth=2))


def test_names_of_attributes_count() -> None:
    many = "".join(f"<f {'x' * 70_000}{number}=''/>" for number in range(16))
    with pytest.raises(ListError, match="longer than any there is"):
        list(found(f'<r xmlns="urn:x"><l><e>{many}</e></l></r>'))


def test_memory_does_not_grow_with_the_file() -> None:
    class Long(io.BytesIO):
        chunks = iter((b'<r xmlns="urn:x"><l>', *(b"<e>0123456789</e>" * 4096,) * 20, b"</l></r>"))

        def read(self, size: int | None = -1, /) -> bytes:
            return next(self.chunks, b"")

    tracemalloc.start()
    count = sum(1 for _ in elements("f", Long(), namespace="urn:x", root="r", depth=2))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 20 * 4096
    assert peak < 6e6
