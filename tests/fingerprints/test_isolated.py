import io
import itertools
import os
import shutil
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from ingestgate.assets.errors import GateError, UsageError
from ingestgate.assets.verdict import Reason
from ingestgate.fingerprints import isolated as module
from ingestgate.fingerprints.fingerprinter import Fingerprint, Fingerprinter
from ingestgate.fingerprints.isolated import IsolatedFingerprinter
from ingestgate.fingerprints.limits import DecodeLimits
from ingestgate.fingerprints.perceptual import perceptual_hashes
from ingestgate.fingerprints.unscannable import Unscannable
from tests.fingerprints import hostile_hash
from tests.fingerprints.conftest import Encode, Make

BOTH = ("pdq", "phash")
SMALL = DecodeLimits(max_pixels=1_000_000, max_bytes=1 << 20)

IN_FORCE_BY = {
    "read": "opening a file",
    "write": "opening a file",
    "environment": "opening a file",
    "duplicate": "descriptors",
    "socket": "opening a socket",
    "fork": "starting a process",
    "execute": "seccomp",
    "thread": "seccomp",
    "signal": "seccomp",
    "limit": "seccomp",
}


def png(size: tuple[int, int]) -> bytes:
    sink = io.BytesIO()
    Image.effect_noise(size, 90).save(sink, "PNG")
    return sink.getvalue()


def asks(action: str) -> bytes:
    return png((hostile_hash.WIDTH, hostile_hash.height(action)))


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Installs the hostile hash as a package of its own, for this process and its children."""
    root = tmp_path_factory.mktemp("site")
    shutil.copy(hostile_hash.__file__, root / "hostile_package.py")
    info = root / "hostile-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: hostile\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[ingestgate.fingerprints]\n"
        "hostile = hostile_package:Hostile\nmisshapen = hostile_package:Misshapen\n"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(root)
        patch.setenv("A_SECRET", "x")
        perceptual_hashes.cache_clear()
        yield
    perceptual_hashes.cache_clear()


@pytest.fixture(scope="module")
def attacked(plugin: None) -> Iterator[IsolatedFingerprinter]:
    fingerprinter = IsolatedFingerprinter(["hostile", "misshapen"], SMALL, timeout_s=3)
    yield fingerprinter
    fingerprinter.close()


@pytest.fixture(scope="module")
def hostile(plugin: None) -> Iterator[IsolatedFingerprinter]:
    fingerprinter = IsolatedFingerprinter(["hostile"], SMALL, timeout_s=3)
    yield fingerprinter
    fingerprinter.close()


@pytest.fixture(scope="module")
def confined() -> Iterator[IsolatedFingerprinter]:
    fingerprinter = IsolatedFingerprinter(BOTH, DecodeLimits())
    yield fingerprinter
    fingerprinter.close()


def works(fingerprinter: IsolatedFingerprinter) -> bool:
    return fingerprinter.fingerprint(png((60, 50))).width == 60


@pytest.mark.parametrize(
    ("action", "reason"),
    [
        ("exit", Reason.DECODER_DIED),
        ("crash", Reason.DECODER_DIED),
        ("abort", Reason.DECODER_DIED),
        ("babble", Reason.DECODER_DIED),
        ("forge", Reason.DECODER_DIED),
        ("hang", Reason.TIMED_OUT),
        ("allocate", Reason.OUT_OF_MEMORY),
        ("raise", Reason.INTERNAL_ERROR),
    ],
)
def test_what_a_picture_does_to_its_decoder_costs_that_picture(
    hostile: IsolatedFingerprinter, action: str, reason: Reason
) -> None:
    with pytest.raises(Unscannable) as caught:
        hostile.fingerprint(asks(action))
    assert caught.value.reason is reason
    assert "secret" not in caught.value.detail
    assert works(hostile)


@pytest.mark.parametrize("action", list(IN_FORCE_BY))
def test_what_the_decoder_cannot_do(hostile: IsolatedFingerprinter, action: str) -> None:
    measure = hostile.measures[IN_FORCE_BY[action]]
    if not measure.startswith(("in force", "refused")):
        pytest.skip(f"{IN_FORCE_BY[action]}: {measure}")
    with pytest.raises(Unscannable) as caught:
        hostile.fingerprint(asks(action))
    assert caught.value.reason is Reason.INTERNAL_ERROR
    assert caught.value.detail in {
        "a hash raised PermissionError",
        "a hash raised RuntimeError",  # how Python says that no thread can be started,
        "a hash raised ValueError",  # and that a limit cannot be raised
    }
    assert works(hostile)


def test_nothing_of_the_environment_is_handed_on(hostile: IsolatedFingerprinter) -> None:
    (view,) = hostile.fingerprint(png((60, 50))).perceptual["hostile"]
    assert "A_SECRET" in os.environ
    assert view.hashes == bytes([False, True])


def test_what_is_printed_goes_nowhere(
    hostile: IsolatedFingerprinter, capfd: pytest.CaptureFixture[str]
) -> None:
    assert hostile.fingerprint(asks("print")).width == hostile_hash.WIDTH
    assert capfd.readouterr() == ("", "")


def test_a_plugin_that_breaks_its_word_is_an_internal_error(
    attacked: IsolatedFingerprinter,
) -> None:
    with pytest.raises(Unscannable) as caught:
        attacked.fingerprint(png((60, 50)))
    assert caught.value.reason is Reason.INTERNAL_ERROR


def test_in_a_batch_only_the_guilty_pay(hostile: IsolatedFingerprinter) -> None:
    good = png((60, 50))
    outcomes = hostile.fingerprint_many(
        [good, asks("crash"), b"", good, asks("babble"), b"x" * (2 << 20), good]
    )
    reasons = [o.reason if isinstance(o, Unscannable) else None for o in outcomes]
    died, large = Reason.DECODER_DIED, Reason.TOO_MANY_BYTES
    assert reasons == [None, died, Reason.EMPTY, None, died, large, None]


def modes(make: Make) -> Iterator[tuple[str, Image.Image, dict[str, object]]]:
    picture = make(70, 700, 520)
    turned = Image.Exif()
    turned[0x0112] = 6
    for mode in ("L", "CMYK", "RGB"):
        yield "JPEG", picture.convert(mode), {"exif": turned}
    yield "JPEG", picture, {"progressive": True}
    yield "MPO", picture, {"save_all": True, "append_images": [make(71)]}
    for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"):
        narrow = picture.convert("L") if ";" in mode else picture
        yield "PNG", narrow.convert(mode), {}
    yield "PNG", picture, {"save_all": True, "append_images": [make(72, 700, 520)]}
    for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16", "I", "F", "CMYK", "LAB"):
        narrow = picture.convert("L") if mode[0] in "IF" else picture
        yield "TIFF", narrow.convert(mode), {}
    for compression in ("tiff_lzw", "tiff_adobe_deflate", "group4", "jpeg"):
        page = picture.convert("1" if compression == "group4" else "RGB")
        yield "TIFF", page, {"compression": compression}
    for format in ("GIF", "WEBP", "AVIF"):
        yield format, picture, {"save_all": True, "append_images": [make(73, 700, 520)]}
    yield "WEBP", picture.convert("RGBA"), {"lossless": True}
    for size in ((1101, 1030), (2300, 2101)):  # what is halved, once and more
        yield "JPEG", make(74, *size), {}
    yield "BMP", picture, {}
    yield "PPM", picture, {}
    for size in ((1, 1), (1, 300), (300, 1), (4, 900), (2, 40_000)):
        yield "PNG", Image.effect_noise(size, 90), {}


def outcome(
    fingerprinter: Fingerprinter | IsolatedFingerprinter, content: bytes, exact: bool = False
) -> object:
    (found,) = fingerprinter.fingerprint_many([content], exact=exact)
    return (found.reason, found.detail) if isinstance(found, Unscannable) else found


def test_fingerprints_are_those_of_the_same_process(
    make: Make, confined: IsolatedFingerprinter
) -> None:
    plain = Fingerprinter(BOTH, DecodeLimits())
    for format, image, options in modes(make):
        sink = io.BytesIO()
        image.save(sink, format, **options)
        content = sink.getvalue()
        expected = outcome(plain, content)
        assert isinstance(expected, Fingerprint), (format, image.mode, expected)
        assert outcome(confined, content) == expected, (format, image.mode, options)
        expected = outcome(plain, content, exact=True)
        assert outcome(confined, content, exact=True) == expected, (format, image.mode, options)
        for damaged in (content[: len(content) // 2], content[:40]):
            assert outcome(confined, damaged) == outcome(plain, damaged), (format, image.mode)


def test_all_hashes_are_those_of_the_same_process(make: Make, encode: Encode) -> None:
    names = sorted(set(perceptual_hashes()) - {"hostile", "misshapen"})
    sizes = ((700, 520), (2301, 2100))
    contents = [encode(make(75, *size), "JPEG") for size in sizes]
    for hashes in (names, sorted(set(names) - {"colorhash"})):
        confined = IsolatedFingerprinter(hashes, DecodeLimits())
        plain = Fingerprinter(hashes, DecodeLimits())
        for content, exact in itertools.product(contents, (False, True)):
            expected = outcome(plain, content, exact)
            assert isinstance(expected, Fingerprint)
            assert outcome(confined, content, exact) == expected
        confined.close()


def test_an_unknown_hash_is_named() -> None:
    with pytest.raises(UsageError, match="no perceptual hash photo-xyz; there are "):
        IsolatedFingerprinter(["photo-xyz"], DecodeLimits())


def test_every_measure_is_said(confined: IsolatedFingerprinter) -> None:
    names = {"memory", "processor", "seccomp", "landlock", "opening a file"}
    assert names <= set(confined.measures)
    said = tuple(confined.measures.values())
    assert all(s.startswith(("in force", "not in force: ", "refused", "possible")) for s in said)


@pytest.mark.skipif(sys.platform != "linux", reason="no prlimit")
def test_limits_of_memory_and_processor_time_are_the_policys(
    plugin: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_SPARE_SECONDS", -59)  # before the clock
    limits = DecodeLimits(max_pixels=1_000_000, max_memory=256 << 20)
    fingerprinter = IsolatedFingerprinter(["hostile"], limits, timeout_s=60)
    assert fingerprinter.measures["memory"].startswith("in force: 256 MiB beyond ")
    assert fingerprinter.measures["processor"] == "in force: 1 s a turn"
    with pytest.raises(Unscannable, match="not done in the processor time it may take") as caught:
        fingerprinter.fingerprint(asks("hang"))
    assert caught.value.reason is Reason.TIMED_OUT
    fingerprinter.close()


def test_a_child_outlives_the_thread_that_asked_for_it(make: Make, encode: Encode) -> None:
    made: list[IsolatedFingerprinter] = []
    content = encode(make(75), "PNG")

    def work() -> None:
        made.append(IsolatedFingerprinter(BOTH, SMALL))
        made[0].fingerprint(content)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    child = made[0]._starter.child()
    made[0].fingerprint(content)
    assert made[0]._starter.child() is child
    made[0].close()


def test_several_threads_take_turns(
    make: Make, encode: Encode, confined: IsolatedFingerprinter
) -> None:
    contents = [encode(make(seed), "PNG") for seed in range(76, 80)]
    expected = confined.fingerprint_many(contents)
    found: dict[int, list[object]] = {}

    def work(number: int) -> None:
        found[number] = [confined.fingerprint(contents[number]) for _ in range(10)]

    threads = [threading.Thread(target=work, args=(number,)) for number in range(len(contents))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {number: [each] * 10 for number, each in enumerate(expected)}


def test_children_are_replaced_in_time(
    make: Make, encode: Encode, monkeypatch: pytest.MonkeyPatch, confined: IsolatedFingerprinter
) -> None:
    content = encode(make(80), "PNG")
    before = confined._starter.child()
    monkeypatch.setattr(module, "_ASSETS_PER_CHILD", 1)
    expected = confined.fingerprint(content)
    monkeypatch.undo()
    after = confined._starter.child()
    assert after is not before
    monkeypatch.setattr(module, "_GROWTH", -(1 << 40))
    assert confined.fingerprint(content) == expected
    monkeypatch.undo()
    assert confined._starter.child() is not after


def test_what_earlier_assets_left_behind_decides_nothing(
    make: Make, encode: Encode, monkeypatch: pytest.MonkeyPatch, confined: IsolatedFingerprinter
) -> None:
    contents = [encode(make(size), "PNG") for size in (80, 90, 100)]
    expected = confined.fingerprint_many(contents)
    real, exhausted = module._Child.ask, Unscannable(Reason.OUT_OF_MEMORY, "")

    def ask(child: module._Child, *arguments: Any) -> list[Fingerprint | Unscannable]:
        outcomes = real(child, *arguments)
        # Only a child's very first asset finds memory enough.
        return outcomes if child.assets == 1 else [exhausted] * len(outcomes)

    monkeypatch.setattr(module._Child, "ask", ask)
    assert confined.fingerprint_many(contents) == expected


def test_a_child_that_died_between_two_assets_costs_none(
    make: Make, encode: Encode, confined: IsolatedFingerprinter
) -> None:
    process = confined._starter.child()._process
    process.kill()
    process.wait()
    assert confined.fingerprint(encode(make(81), "PNG")).frames == 1


@pytest.mark.parametrize("executable", ["/nowhere/python", "/bin/false", "/bin/cat"])
def test_no_child_is_an_error_of_the_gate(
    executable: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    if executable != "/nowhere/python" and not Path(executable).exists():
        pytest.skip(f"no {executable} here")
    monkeypatch.setattr(sys, "executable", executable)
    fingerprinter = IsolatedFingerprinter(BOTH, SMALL)
    for _ in range(2):
        with pytest.raises(GateError, match=r"cannot be started.*decoder: in_process"):
            fingerprinter.fingerprint(b"x")
    with pytest.raises(GateError, match="cannot be started"):
        _ = fingerprinter.measures
    fingerprinter.close()
