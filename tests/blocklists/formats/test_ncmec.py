import pytest

from ingestgate.blocklists.formats.ncmec import NAMESPACE
from tests.blocklists.formats.conftest import Reader

MD5 = "0123456789abcdef0123456789abcdef"


def page(*entries: str, kind: str = "images") -> str:
    return f'<queryResult xmlns="{NAMESPACE}"><{kind}>{"".join(entries)}</{kind}></queryResult>'


def image(
    inner: str = "", member: str = '<member id="42">M</member>', id: str = "<id>i</id>"
) -> str:
    return f"<image>{member}{id}{inner}</image>"


PRINTS = f"<fingerprints><md5>{MD5}</md5></fingerprints>"


def test_page_without_entries_is_no_accident(read: Reader) -> None:
    empty = f'<queryResult xmlns="{NAMESPACE}"><images count="0"/><videos count="0"/></queryResult>'
    assert read("ncmec", empty) == []


def test_deletion_is_known_by_member_and_id(read: Reader) -> None:
    deleted = (
        '<deletedImage><timestamp>2026-01-01T00:00:00Z</timestamp><member id="7">M</member>'
        "<id>x</id></deletedImage>"
    )
    (one,) = read("ncmec", page(deleted))
    assert (one.entry_id, one.tombstone, one.values) == ("7/x", True, ())
    assert one.modified == 1_767_225_600_000_000


def test_other_media_than_images_are_read_alike(read: Reader) -> None:
    audio = f'<audio><member id="1">M</member><id>a</id>{PRINTS}</audio>'
    (one,) = read("ncmec", page(audio, kind="audios"))
    assert one.values == (("md5", bytes.fromhex(MD5)),)


def test_feedback_counts_members(read: Reader) -> None:
    feedback = (
        '<feedback><negativeFeedback type="Sha1"><reasons><reason guid="g" name="n" type="Sha1"/>'
        '<members><member id="1">M</member><member id="2">N</member></members></reasons>'
        "</negativeFeedback></feedback>"
    )
    (one,) = read("ncmec", page(image(PRINTS + feedback)))
    assert one.feedback == "sha1 negative 2"


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("", "line 1: not XML (no element found)"),
        ("{}", "line 1: not XML"),
        ("<queryResult/>", f"line 1: not a queryResult of {NAMESPACE}"),
        (f'<status xmlns="{NAMESPACE}"/>', "line 1: not a queryResult"),
        (page(image(PRINTS))[:-9], "line 1: not XML"),
        (page(image(PRINTS)) + "<x/>", "line 1: not XML (junk after document element)"),
        (page("\n" + image(PRINTS, member="")), "line 2, image, member: there 0 times"),
        (page(image(PRINTS, id="<id>a</id><id>b</id>")), "line 1, image, id: there 2 times"),
        (page(image(PRINTS, id="<id> </id>")), "line 1, image, id: empty"),
        (page(image(PRINTS, member="<member/>")), "line 1, image, member: empty"),
        (page(image()), "line 1, image, fingerprints: there 0 times"),
        (page(image(PRINTS.replace("f<", "<"))), "line 1, image, md5: no md5 of 32 hex digits"),
        (page(image(PRINTS + "<timestamp>x</timestamp>")), "line 1, image, timestamp: not a time"),
        (page(image(PRINTS, id=f"<id>{'x' * 300}</id>")), "line 1, image, entry_id: longer than"),
    ],
)
def test_malformed_pages(read: Reader, content: str, problem: str) -> None:
    assert read.refused("ncmec", content, secret=MD5[:-1]).startswith(problem)


def test_fingerprint_that_would_match_anything(read: Reader) -> None:
    zeros = page(image(f"<fingerprints><pdq>{'0' * 64}</pdq><md5>{MD5}</md5></fingerprints>"))
    assert "line 1, image, pdq: would match" in read.refused("ncmec", zeros)
    (one,) = read("ncmec", zeros, leave_out_never_match=True)
    assert one.values == (("md5", bytes.fromhex(MD5)),)
    assert read.skipped == {"pdq that would match what nobody meant": 1}
