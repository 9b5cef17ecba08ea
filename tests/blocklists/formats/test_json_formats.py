"""StopNCII, Project VIC and STIX: what the samples do not show."""

import json
from typing import Any

import pytest

from tests.blocklists.formats.conftest import Reader

MD5 = "0123456789abcdef0123456789abcdef"
PDQ = MD5 * 2


def stopncii(*records: Any, **fields: Any) -> str:
    return json.dumps({"hasMoreRecords": False, "hashRecords": list(records), **fields})


def record(**fields: Any) -> dict[str, Any]:
    known = {"signalType": "ImagePDQ", "hashValue": PDQ, "hashStatus": "Active"}
    return {**known, "lastModtimestamp": 1767225600, **fields}


def test_stopncii_entry_is_named_by_its_hash_without_showing_it(read: Reader) -> None:
    listed, removed = read("stopncii", stopncii(record(), record(hashStatus="Deleted")))
    assert listed.entry_id == removed.entry_id
    assert listed.entry_id.startswith("pdq-")
    assert PDQ[:32] not in listed.entry_id
    assert (listed.tombstone, removed.tombstone) == (False, True)
    assert removed.values == ()


def test_stopncii_page_without_records_is_no_accident(read: Reader) -> None:
    assert read("stopncii", stopncii()) == []
    assert read("stopncii", stopncii(count=0)) == []
    assert len(read("stopncii", stopncii(record(), count=None))) == 1


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (stopncii(record(hashStatus="Gone")), "element 1 of hashRecords, hashStatus: a status no"),
        (stopncii(record(), record(hashValue="")), "element 2 of hashRecords, hashValue: empty"),
        (stopncii(record(hashValue=PDQ[1:])), "element 1 of hashRecords, hashValue: no pdq"),
        (stopncii(record(hashValue="0" * 64)), "element 1 of hashRecords, hashValue: would match"),
        (stopncii(record(hashValue=[PDQ])), "element 1 of hashRecords, hashValue: not text"),
        (stopncii(record(signalType=None)), "element 1 of hashRecords, signalType: empty"),
        (stopncii(record(signalType=MD5)), "element 1 of hashRecords, signal type: not the name"),
        (stopncii(record(lastModtimestamp="x")), "element 1 of hashRecords, lastModtimestamp: n"),
        (stopncii(record(CSPFeedbacks=[1])), "element 1 of hashRecords, CSPFeedbacks: not an"),
        (json.dumps({"hasMoreRecords": False, "hashRecords": {}}), "hashRecords: not an array"),
        (json.dumps({"hasMoreRecords": False, "hashRecords": PDQ}), ": not a page of StopNCII"),
        (json.dumps({"hashRecords": []}), ": not a page of StopNCII"),
        (json.dumps({"hasMoreRecords": False}), ": not a page of StopNCII"),
        (
            json.dumps({"hasMoreRecords": False, "HashRecords": [record()]}),
            ": not a page of StopNCII",
        ),
        (stopncii(record(), count=2), "count: is not 1, the number of hashRecords there are"),
        (stopncii(record(), count=0), "count: is not 1, the number of hashRecords there are"),
        (stopncii(count=3), "count: is not 0, the number of hashRecords there are"),
        (stopncii(record(), count=PDQ), "count: is not 1, the number of hashRecords there are"),
    ],
)
def test_malformed_stopncii(read: Reader, content: str, problem: str) -> None:
    assert read.refused("stopncii", content, secret=MD5[:-1]).startswith(problem)


def vics(*media: Any) -> str:
    return json.dumps({"value": [{"CaseID": "c", "Media": list(media)}]})


def test_vics_hash_that_is_listed_twice_is_one_entry(read: Reader) -> None:
    media = {"MediaID": 5, "MD5": MD5, "AlternativeHashes": [{"HashName": "md5", "HashValue": MD5}]}
    (one,) = read("vics", vics(media))
    assert (one.entry_id, set(one.values)) == ("5", {("md5", bytes.fromhex(MD5))})


def test_vics_case_without_media_is_one(read: Reader) -> None:
    cases = [{"CaseID": "c", "Media": []}, {"Media": [{"MediaID": 5, "MD5": MD5}]}]
    assert [one.entry_id for one in read("vics", json.dumps({"value": cases}))] == ["5"]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (vics({"MD5": MD5}), "element 1 of value.Media, MediaID: empty"),
        (vics({"MediaID": 1, "MD5": MD5[1:]}), "element 1 of value.Media, MD5: no md5"),
        (
            vics({"MediaID": 1, "AlternativeHashes": [{"HashName": "MD5", "HashValue": "x"}]}),
            "element 1 of value.Media, AlternativeHashes element 1, HashValue: no md5",
        ),
        (
            vics({"MediaID": 1, "AlternativeHashes": [{"HashValue": MD5}]}),
            "element 1 of value.Media, AlternativeHashes element 1, HashName: empty",
        ),
        (vics({"MediaID": 1, "AlternativeHashes": MD5}), "element 1 of value.Media, Alternative"),
        (json.dumps({"value": MD5}), "value: not an array"),
        (json.dumps({"value": [{"Media": {"MD5": MD5}}]}), "Media: not an array"),
        (json.dumps({"value": [{"MD5": MD5}]}), "element 1 of value, MediaID: not there"),
        (json.dumps({"value": []}), ": holds no entry"),
        (json.dumps({"value": [{"CaseID": "c", "Media": None}]}), "element 1 of value, MediaID"),
        (json.dumps({"value": [{"CaseID": "c"}]}), "element 1 of value, MediaID: not there, or no"),
        (
            json.dumps({"value": [{"AlternativeHashes": [{"HashName": "MD5", "HashValue": MD5}]}]}),
            "element 1 of value, MediaID: not there, or no array of Media",
        ),
        (
            json.dumps({"value": [{"AlternativeHashes": [], "Media": []}]}),
            "element 1 of value, MediaID: not there, or no array of Media",
        ),
        (
            json.dumps({"value": [{"MediaID": 1, "MD5": MD5}, {"mediaId": 2, "md5": MD5}]}),
            "element 2 of value, MediaID: its name is in other letters",
        ),
        (
            json.dumps({"value": [{"CaseID": "c", "media": [{"MediaID": 1, "MD5": MD5}]}]}),
            "element 1 of value, Media: its name is in other letters",
        ),
        (vics({"MediaID": 1, "Md5": MD5}), "element 1 of value.Media, MD5: its name is in other"),
        (
            vics({"MediaID": 1, "MD5": MD5, "alternativehashes": []}),
            "element 1 of value.Media, AlternativeHashes: its name is in other letters",
        ),
        (
            json.dumps({"value": [{"MediaID": 1, "MD5": MD5}], "Value": []}),
            "the file, value: its name is in other letters",
        ),
    ],
)
def test_malformed_vics(read: Reader, content: str, problem: str) -> None:
    assert read.refused("vics", content, secret=MD5[:-1]).startswith(problem)


def bundle(pattern: str, **fields: Any) -> str:
    indicator = {"type": "indicator", "id": "indicator--1", "pattern": pattern, **fields}
    return json.dumps({"type": "bundle", "objects": [indicator]})


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        (f"[file:hashes.MD5 = '{MD5}']", ["md5"]),
        (f"[file:hashes.'SHA-256'='{PDQ}']", ["sha256"]),
        (f"[ artifact:hashes.'MD5' = '{MD5}' ]", ["md5"]),
        (
            "[domain-name:value='a.example' OR url:value='http://b.example/it\\'s']",
            ["domain", "url"],
        ),
        ("[ipv4-addr:value = '192.0.2.1'] OR [ipv6-addr:value = '2001:db8::1']", ["domain"] * 2),
        ("[domain-name:value='a.example'or(url:value='http://b.example/')]", ["domain", "url"]),
        ("([domain-name:value = 'a.example'])", ["domain"]),
        (
            (
                "( [(domain-name:value = 'a.example' OR (domain-name:value = 'b.example'))] or "
                f"([file:hashes.MD5 IN ('{MD5}')]))"
            ),
            ["domain", "domain", "md5"],
        ),
        ("[domain-name:value IN ('a.example' , 'b.example')]", ["domain"] * 2),
        ("[url:value in('http://a.example/it\\'s,','http://b.example/')]", ["url"] * 2),
    ],
)
def test_stix_patterns(read: Reader, pattern: str, names: list[str]) -> None:
    (one,) = read("stix", bundle(pattern))
    assert [name for name, _ in one.values] == names
    assert not read.skipped


@pytest.mark.parametrize(
    "pattern",
    [
        "[domain-name:value = 'a.example' AND url:value = 'http://a.example/']",
        "[domain-name:value = 'a.example'] AND [url:value = 'http://a.example/']",
        "[domain-name:value LIKE '%.example']",
        "[domain-name:value != 'a.example']",
        "[domain-name:value IN ('a.example' AND 'b.example')]",
        "[domain-name:value IN ()]",
        "[domain-name:value NOT IN ('a.example')]",
        "[domain-name:value = 'a.example'] WITHIN 5 SECONDS",
        "([domain-name:value = 'a.example']",
        "[domain-name:value = 'a.example'])",
        "[(domain-name:value = 'a.example'])",
        "[[domain-name:value = 'a.example']]",
        "(domain-name:value = 'a.example')",
        "[domain-name:value = 'a.example' domain-name:value = 'b.example']",
        "[domain-name:value = 'a.example' OR ]",
        "[domain-name:value = 'a.example'] OR OR [domain-name:value = 'b.example']",
        "[domain-name:value = 'a.example'] OR",
        "OR [domain-name:value = 'a.example']",
        "[domain-name:value = 'a.example'] [domain-name:value = 'b.example']",
        "[domain-name:value = 'a.example' OR url:value LIKE 'http://b.example/%']",
        "()",
        "[NOT domain-name:value = 'a.example']",
        "domain-name:value = 'a.example'",
        "[domain-name:value = 'a.example'",
        "[]",
        r"[url:value = 'http://a.example/x\ty']",  # no escape that patterns know
        r"[url:value = 'http://a.example/x\']",
    ],
)
def test_stix_patterns_that_are_counted(read: Reader, pattern: str) -> None:
    assert read("stix", bundle(pattern)) == []
    assert read.skipped == {"pattern of more than values joined by OR": 1}


def test_stix_patterns_without_end_take_linear_time(read: Reader) -> None:
    for pattern in ("(" * 400_000, "[x:" + "[" * 400_000, "[x:y=" + " " * 400_000):
        assert read("stix", bundle(pattern)) == []
    depth = 100_000
    (one,) = read("stix", bundle("(" * depth + "[domain-name:value='a.example']" + ")" * depth))
    assert one.values == (("domain", b"a.example"),)


def test_stix_objects_that_no_list_can_hold(read: Reader) -> None:
    assert read("stix", bundle("[x]", pattern_type="yara")) == []
    assert read.skipped == {"pattern in another language": 1}
    assert len(read("stix", bundle("[domain-name:value = 'a.example']", pattern_type="STIX"))) == 1
    (one,) = read("stix", bundle("[email-addr:value = 'a@b.example']"))
    assert one.values == ()
    assert read.skipped == {"email-addr value (no such hash here)": 1}


@pytest.mark.parametrize(
    ("comparison", "name"),
    [
        ("windows-registry-key:values[*].name = 'x'", "windows-registry-key values"),
        ("email-message:body_multipart[0].body = 'x'", "email-message body_multipart"),
        ("x-a-long-name-of-an-object-of-an-extension:value = 'x'", "object of another kind"),
        (f"file:hashes.'{MD5}' = 'x'", "object of another kind"),
        ("ipv4-addr:value = '192.0.2.0/24'", "ipv4-addr range"),
        ("ipv6-addr:value = '2001:db8::/32'", "ipv6-addr range"),
    ],
)
def test_stix_objects_of_other_kinds_hold_up_no_bundle(
    read: Reader, comparison: str, name: str
) -> None:
    (one,) = read("stix", bundle(f"[{comparison} OR domain-name:value = 'a.example']"))
    assert [name for name, _ in one.values] == ["domain"]
    assert read.skipped == {f"{name} (no such hash here)": 1}


@pytest.mark.parametrize(
    "address", ["ipv4-addr:value = '192.0.2.1{}'", "ipv6-addr:value = '::1{}'"]
)
def test_a_range_of_one_address_is_one(read: Reader, address: str) -> None:
    whole = {"4": "/32", "6": "/128"}[address[3]]
    (alone,) = read("stix", bundle(f"[{address.format('')}]"))
    (ranged,) = read("stix", bundle(f"[{address.format(whole)}]"))
    assert ranged.values == alone.values
    assert alone.values


def test_stix_revocation_removes(read: Reader) -> None:
    (one,) = read("stix", bundle("", revoked=True))
    assert (one.entry_id, one.tombstone) == ("indicator--1", True)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (bundle(f"[file:hashes.MD5 = '{MD5[1:]}']"), "element 1 of objects, pattern: no md5"),
        (bundle("[domain-name:value = 'com']"), "element 1 of objects, pattern: a single label"),
        (bundle("[domain-name:value = 'b.example,c']"), "element 1 of objects, pattern: holds a c"),
        (
            bundle("[url:value = 'http://a.example/x\ty']"),
            "element 1 of objects, pattern: holds a c",
        ),
        (bundle(""), "element 1 of objects, pattern: empty"),
        (bundle("[url:value = 'x']", revoked="maybe"), "element 1 of objects, revoked: neither"),
        (bundle("[url:value = 'http://a.example/']", id=""), "element 1 of objects, id: empty"),
        (json.dumps({"type": "report", "objects": []}), ": not a STIX bundle"),
        (json.dumps({"type": "bundle", "objects": 1}), ": not a STIX bundle"),
    ],
)
def test_malformed_stix(read: Reader, content: str, problem: str) -> None:
    assert read.refused("stix", content, secret=MD5[1:]).startswith(problem)
