import io
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from typing import Any, Protocol

import imagehash
import numpy as np
import pytest
from PIL import Image

from ingestgate.assets.errors import UsageError
from ingestgate.assets.perceptual_view import PerceptualView
from ingestgate.assets.verdict import Reason
from ingestgate.fingerprints import perceptual
from ingestgate.fingerprints.fingerprinter import Fingerprint, Fingerprinter
from ingestgate.fingerprints.limits import DecodeLimits
from ingestgate.fingerprints.pdq import pdq
from ingestgate.fingerprints.perceptual import perceptual_hashes
from ingestgate.fingerprints.unscannable import Unscannable
from ingestgate.fingerprints.views import ORIENTATIONS, Picture
from tests.fingerprints.conftest import Distance, Encode, Make, ToFingerprint
from tests.fingerprints.test_decoding import HDR, with_segment, with_thumbnail

BOTH = frozenset({"pdq", "phash"})


class MeanLevel:
    """A toy hash: the picture's mean level, in one orientation."""

    name = "mean"
    bits = 8
    default_threshold = 0
    min_quality: int | None = None
    orientations = 1
    colour = False
    margin = 0

    def compute(self, picture: Picture) -> list[PerceptualView]:
        level = round(float(picture.luma.mean()))
        return [PerceptualView(picture.frame, picture.view("full"), -1, bytes([level]))]


class Impostor(MeanLevel):
    name = "pdq"


class Install(Protocol):
    def __call__(self, **classes: str) -> None: ...


@pytest.fixture
def plugins(monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Makes entry points of this module's classes, as an installed package would."""

    def install(**classes: str) -> None:
        found = [
            EntryPoint(n, f"{__name__}:{c}", perceptual.ENTRY_POINTS) for n, c in classes.items()
        ]
        monkeypatch.setattr(EntryPoint, "load", lambda entry: globals()[entry.attr])
        monkeypatch.setattr(perceptual, "entry_points", lambda group: found)
        perceptual_hashes.cache_clear()

    yield install
    perceptual_hashes.cache_clear()


def test_what_a_fingerprint_holds(make: Make, encode: Encode, fingerprint: ToFingerprint) -> None:
    found = fingerprint(encode(make(30, 640, 480), "PNG"))
    assert (found.media_type, found.width, found.height, found.frames) == ("image/png", 640, 480, 1)
    assert set(found.perceptual) == BOTH
    assert found.perceptual["pdq"][0][:2] == (0, "full")
    assert {v.view for v in found.perceptual["pdq"]} <= {"full", "thumbnail-512", "square-512"}
    assert not found.low_quality
    for name in BOTH:
        scheme = perceptual_hashes()[name]
        for view in found.perceptual[name]:
            assert len(view.hashes) == scheme.bits // 8 * len(ORIENTATIONS)


def test_only_the_named_hashes_are_computed(make: Make, encode: Encode) -> None:
    found = Fingerprinter(["phash"], DecodeLimits()).fingerprint(encode(make(31), "PNG"))
    assert set(found.perceptual) == {"phash"}
    assert Fingerprinter([], DecodeLimits()).fingerprint(encode(make(31), "PNG")).perceptual == {}


def test_an_unknown_hash_is_named() -> None:
    with pytest.raises(UsageError, match="no perceptual hash photo-xyz; there are ahash, "):
        Fingerprinter(["photo-xyz"], DecodeLimits())


def test_colours_are_decoded_for_a_hash_that_needs_them(make: Make, encode: Encode) -> None:
    found = Fingerprinter(["colorhash"], DecodeLimits()).fingerprint(encode(make(37), "JPEG"))
    assert [len(view.hashes) for view in found.perceptual["colorhash"]] == [8]


def test_exact_goes_through_rgb(
    make: Make, encode: Encode, fingerprint: ToFingerprint, distance: Distance
) -> None:
    content = encode(make(38, 600, 400), "JPEG", quality=60)
    image = Image.open(io.BytesIO(content))
    both = Fingerprinter(BOTH, DecodeLimits())
    quick, exact = both.fingerprint(content), both.fingerprint(content, exact=True)
    assert exact.perceptual["phash"][0].hashes[:8].hex() == str(imagehash.phash(image))
    luma = np.asarray(image).astype(np.float64) @ [0.299, 0.587, 0.114]
    expected, quality = pdq(luma.astype(np.float32))
    assert exact.perceptual["pdq"][0].quality == quality
    assert distance(exact.perceptual["pdq"][0].hashes, expected.tobytes()) <= 2
    for name in BOTH:
        views = zip(quick.perceptual[name], exact.perceptual[name], strict=True)
        assert all(distance(one.hashes, other.hashes) <= 8 * 8 for one, other in views)


def test_levels_of_gray_are_no_shortcut(encode: Encode) -> None:
    """A ramp's coefficients tie; how they round must not depend on the way."""
    ramp = Image.linear_gradient("L").resize((32, 32))
    both = Fingerprinter(BOTH, DecodeLimits())
    for format in ("PNG", "BMP", "TIFF", "PPM"):
        content = encode(ramp, format)
        assert both.fingerprint(content) == both.fingerprint(content, exact=True)


def framed(make: Make, seed: int) -> Image.Image:
    """A picture in a frame of a colour that JPEGs clip."""
    image = Image.new("RGB", (440, 330), [(255, 0, 0), (0, 0, 255), (255, 255, 0)][seed % 3])
    image.paste(make(seed, 401, 301), (20, 15))
    return image


def check_differ_by_rounding(quick: Fingerprint, exact: Fingerprint, distance: Distance) -> None:
    for name in BOTH:
        scheme = perceptual_hashes()[name]
        size = scheme.bits // 8
        views = list(zip(quick.perceptual[name], exact.perceptual[name], strict=True))
        assert all(one.view == other.view for one, other in views)
        for one, other in views:
            for at in range(0, 8 * size, size):
                pair = one.hashes[at : at + size], other.hashes[at : at + size]
                assert distance(*pair) <= scheme.margin // 2


@pytest.mark.parametrize("seed", range(53, 61))
def test_the_borders_of_a_jpeg_end_where_they_end_the_exact_way(
    make: Make, encode: Encode, distance: Distance, seed: int
) -> None:
    both = Fingerprinter(BOTH, DecodeLimits())
    content = encode(framed(make, seed), "JPEG", quality=15)
    quick, exact = both.fingerprint(content), both.fingerprint(content, exact=True)
    check_differ_by_rounding(quick, exact, distance)
    assert quick != exact
    assert "trimmed/full" in [view.view for view in quick.perceptual["pdq"]]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_borders_are_told_by_what_is_turned_as_the_picture_is(
    make: Make, encode: Encode, distance: Distance, orientation: int
) -> None:
    both = Fingerprinter(BOTH, DecodeLimits())
    exif = Image.Exif()
    exif[0x0112] = orientation
    uneven = Image.new("RGB", (440, 330), (0, 0, 255))
    uneven.paste(make(58, 401, 301), (30, 12))
    content = encode(uneven, "JPEG", quality=15, exif=exif)
    quick, exact = both.fingerprint(content), both.fingerprint(content, exact=True)
    check_differ_by_rounding(quick, exact, distance)
    assert "trimmed/full" in [view.view for view in exact.perceptual["pdq"]]


def test_the_border_of_a_thumbnail_ends_where_it_ends_the_exact_way(
    make: Make, encode: Encode, distance: Distance
) -> None:
    both = Fingerprinter(BOTH, DecodeLimits())
    for seed in range(40, 44):
        small = framed(make, seed).resize((160, 120))
        other = Image.open(
            io.BytesIO(with_thumbnail(make, encode, encode(small, "JPEG", quality=30)))
        )
        content = encode(make(26), "PNG", exif=other.info["exif"])  # itself not had the quick way
        quick, exact = both.fingerprint(content), both.fingerprint(content, exact=True)
        assert "exif-thumbnail/trimmed/full" in [view.view for view in quick.perceptual["pdq"]]
        check_differ_by_rounding(quick, exact, distance)


def test_the_borders_of_each_image_of_several_are_its_own(
    make: Make, encode: Encode, distance: Distance
) -> None:
    both = Fingerprinter(BOTH, DecodeLimits())
    images = [framed(make, seed).rotate(90 * seed, expand=True) for seed in (59, 60, 61)]
    sink = io.BytesIO()
    images[0].save(sink, "MPO", save_all=True, append_images=images[1:], quality=15)
    quick, exact = both.fingerprint(sink.getvalue()), both.fingerprint(sink.getvalue(), exact=True)
    check_differ_by_rounding(quick, exact, distance)
    assert {view.frame for view in exact.perceptual["pdq"] if "trimmed" in view.view} == {0, 1, 2}


def test_borders_are_hashed_with_and_without(
    make: Make, encode: Encode, fingerprint: ToFingerprint, distance: Distance
) -> None:
    image = make(39, 400, 300)
    bordered = Image.new("RGB", (440, 330), (12, 200, 30))
    bordered.paste(image, (20, 15))
    plain = fingerprint(encode(image, "JPEG", quality=90))
    found = fingerprint(encode(bordered, "JPEG", quality=60))
    for name, bits in (("pdq", 12), ("phash", 4)):
        assert [view.view for view in plain.perceptual[name]] == ["full"]
        views = {view.view: view.hashes for view in found.perceptual[name]}
        assert list(views) == ["full", "inset-2/full", "inset-4/full", "trimmed/full"]
        width = len(plain.perceptual[name][0].hashes) // 8
        trimmed = views["trimmed/full"][:width]
        assert distance(trimmed, plain.perceptual[name][0].hashes[:width]) <= bits


def test_unscannable_passes_through(fingerprint: ToFingerprint) -> None:
    with pytest.raises(Unscannable) as caught:
        fingerprint(b"")
    assert caught.value.reason is Reason.EMPTY


def test_repeated_frames_are_kept_once(
    make: Make, encode: Encode, fingerprint: ToFingerprint
) -> None:
    first, second = make(32, 90, 60), make(33, 90, 60)
    order = [first, second, first, second]
    content = encode(order[0], "TIFF", save_all=True, append_images=order[1:])
    found = fingerprint(content)
    assert found.frames == 4
    assert [view.frame for view in found.perceptual["pdq"]] == [0, 1]


def test_what_is_doubtful_is_near_the_quality_that_is_needed(
    make: Make, encode: Encode, fingerprint: ToFingerprint
) -> None:
    """Of a JPEG: of what has no quick way, nothing is."""
    doubtful = {}
    for spread in range(40, 256, 4):  # of less, nothing can be seen
        levels = make(34).convert("L").point(lambda v, s=spread: 128 + (v - 128) * s // 256)
        found = fingerprint(encode(levels, "JPEG", quality=95))
        best = max(view.quality for view in found.perceptual["pdq"])
        doubtful[best] = found.doubtful
        assert found.is_quick
        assert ("pdq" in found.low_quality) == (best < 50)
        still = fingerprint(encode(levels, "PNG"))
        assert (still.is_quick, still.doubtful) == (False, frozenset())
    # Of next to none, the hashes are unsure.
    assert {best for best, names in doubtful.items() if names and best >= 20} == {
        best for best in doubtful if 45 <= best < 55
    }
    assert len({best < 50 for best, names in doubtful.items() if names}) == 2


def test_a_frame_of_far_too_little_quality_leaves_no_doubt(
    make: Make, encode: Encode, fingerprint: ToFingerprint
) -> None:
    """Whatever another frame is near."""
    near = next(
        levels
        for spread in range(40, 256, 2)
        if fingerprint(
            encode(
                levels := make(34)
                .convert("L")
                .point(lambda v, s=spread: 128 + (v - 128) * s // 256),
                "JPEG",
                quality=95,
            )
        ).doubtful
    )
    flat = faint(make(35)).point(lambda level: 100 + (level - 100) // 2)
    both = encode(near.convert("RGB"), "MPO", save_all=True, append_images=[flat.convert("RGB")])
    found = fingerprint(both)
    assert found.low_quality == {"pdq"}
    assert not found.doubtful


def test_one_hash_of_two_qualities_is_kept_twice(
    make: Make, encode: Encode, plugins: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the lower one a rescan tells that the picture may have to be judged again."""

    def compute(self: MeanLevel, picture: Picture) -> list[PerceptualView]:
        quality = 90 - 40 * picture.frame
        return [PerceptualView(picture.frame, picture.view("full"), quality, b"1")]

    plugins(mean="MeanLevel")
    monkeypatch.setattr(MeanLevel, "compute", compute)
    content = encode(make(32), "TIFF", save_all=True, append_images=[make(33)])
    found = Fingerprinter(["mean"], DecodeLimits()).fingerprint(content)
    assert [(view.frame, view.quality) for view in found.perceptual["mean"]] == [(0, 90), (1, 50)]


@pytest.mark.parametrize("level", [0, 128, 255])
def test_a_flat_picture_is_unreliable_under_every_hash(
    encode: Encode, fingerprint: ToFingerprint, level: int
) -> None:
    assert fingerprint(encode(Image.new("L", (200, 100), level), "PNG")).low_quality == BOTH


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1), (4, 4)])
def test_a_picture_of_a_few_pixels_is_unreliable_under_pdq(
    encode: Encode, fingerprint: ToFingerprint, size: tuple[int, int]
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, size, np.uint8)
    found = fingerprint(encode(Image.fromarray(noise), "PNG"))
    assert "pdq" in found.low_quality


@pytest.mark.parametrize("size", [(2, 65535), (65535, 2)])
def test_extreme_shapes(encode: Encode, fingerprint: ToFingerprint, size: tuple[int, int]) -> None:
    assert fingerprint(encode(Image.effect_noise(size, 90), "PNG")).frames == 1


def faint(image: Image.Image) -> Image.Image:
    """Returns the picture with a span of 40 levels: visible, but of low quality."""
    return image.convert("L").point(lambda level: 100 + level * 40 // 255)


@pytest.mark.parametrize(
    ("names", "low"),
    [
        (("good", "blank"), set()),
        (("blank", "good", "blank"), set()),
        (("blank", "blank"), {"pdq", "phash"}),
        (("good", "faint"), {"pdq"}),
        (("faint",), {"pdq"}),
    ],
)
def test_every_frame_that_shows_something_must_be_reliable(
    make: Make, encode: Encode, fingerprint: ToFingerprint, names: tuple[str, ...], low: set[str]
) -> None:
    kinds = {
        "good": make(34).convert("L"),
        "blank": Image.new("L", (320, 240), 3),
        "faint": faint(make(35)),
    }
    frames = [kinds[name] for name in names]
    content = encode(frames[0], "TIFF", save_all=True, append_images=frames[1:])
    assert fingerprint(content).low_quality == low


def test_every_way_that_alpha_shows_a_picture_must_be_reliable(
    make: Make, encode: Encode, fingerprint: ToFingerprint
) -> None:
    decoy = make(34).convert("RGBA")  # that shows only where alpha is dropped
    decoy.putalpha(make(36).convert("L").point(lambda level: 20 + level // 10))
    found = fingerprint(encode(decoy, "PNG"))
    best = {view.view: view.quality for view in found.perceptual["pdq"]}
    assert best["opaque/full"] >= 50 > best["full"]
    assert found.low_quality == {"pdq"}


def test_a_drawing_on_nothing_need_not_show_on_its_own_level(
    make: Make, encode: Encode, fingerprint: ToFingerprint
) -> None:
    drawing = Image.new("L", (320, 240), 0).convert("RGBA")  # black on black shows nothing
    drawing.putalpha(make(36).convert("L"))
    assert not fingerprint(encode(drawing, "PNG")).low_quality


@pytest.mark.parametrize("format", ["TIFF", "MPO", "PNG"])
def test_what_shows_by_its_colours_alone_is_not_blank(
    make: Make, encode: Encode, fingerprint: ToFingerprint, format: str
) -> None:
    red = make(35).convert("L").point(lambda level: 46 + level * 120 // 255)
    rest = red.point(lambda level: round((100 - 0.299 * level) / 0.701))
    coloured = Image.merge("RGB", (red, rest, rest))
    assert np.ptp(np.asarray(coloured.convert("L"))) < 16
    options = {"save_all": True, "append_images": [coloured]}
    if format == "MPO":
        options["quality"] = 95
    assert fingerprint(encode(make(34), format, **options)).low_quality >= {"pdq"}
    assert "pdq" in fingerprint(encode(coloured, "JPEG", quality=95)).low_quality


def test_a_photograph_of_16_bits_need_not_be_seen_clipped(
    make: Make, encode: Encode, fingerprint: ToFingerprint
) -> None:
    levels = np.asarray(make(34).convert("L")).astype(np.uint16) * 257
    levels[100:110, 200:210] = 0
    found = fingerprint(encode(Image.fromarray(levels), "PNG"))
    assert "clipped/full" in {view.view for view in found.perceptual["pdq"]}
    assert not found.low_quality
    levels[:, :160] = np.asarray(faint(make(35)))[:, :160]  # so that half is not white
    found = fingerprint(encode(Image.fromarray(levels), "PNG"))
    assert max(v.quality for v in found.perceptual["pdq"] if v.view.startswith("full")) >= 50
    assert found.low_quality == {"pdq"}


def test_a_gain_map_need_not_be_seen(
    make: Make, encode: Encode, fingerprint: ToFingerprint
) -> None:
    content = encode(make(34), "MPO", save_all=True, append_images=[faint(make(35))])
    assert fingerprint(with_segment(content, HDR)).low_quality == {"pdq"}
    both = with_segment(with_segment(content, HDR), HDR, image=1)
    found = fingerprint(both)
    assert "gain-map/full" in {view.view for view in found.perceptual["pdq"]}
    assert not found.low_quality


def test_plugins_are_found_and_used(make: Make, encode: Encode, plugins: Install) -> None:
    plugins(mean="MeanLevel")
    found = Fingerprinter(["mean", "pdq"], DecodeLimits()).fingerprint(encode(make(36), "PNG"))
    assert [len(view.hashes) for view in found.perceptual["mean"]] == [1]
    assert not found.low_quality


WRONG: dict[str, list[object]] = {
    "name": ["", "Mean", "mean\n", "mean/x", "m" * 33, None, 5],
    "bits": [0, -8, 12, 8.0, "8", None, True, 1 << 20],
    "default_threshold": [-1, 5, None, 0.5],
    "margin": [-1, 9, None],
    "min_quality": [-1, 101, "50"],
    "orientations": [0, 2, 9, None],
    "colour": [None, 1],
    "compute": [None],
}


@pytest.mark.parametrize(("field", "value"), [(f, v) for f in WRONG for v in WRONG[f]])
def test_a_plugin_that_is_no_hash_is_refused_by_name(
    plugins: Install, monkeypatch: pytest.MonkeyPatch, field: str, value: object
) -> None:
    monkeypatch.setattr(MeanLevel, field, value)
    plugins(other="MeanLevel")
    with pytest.raises(UsageError, match=r"'other' of '.*:MeanLevel' is refused: its |whether"):
        perceptual_hashes()


def view(
    frame: Any = 0, name: Any = "full", quality: Any = -1, hashes: Any = b"x"
) -> PerceptualView:
    return PerceptualView(frame, name, quality, hashes)


@pytest.mark.parametrize(
    "views",
    [
        [],
        None,
        [None],
        [view(), view(hashes=b"")],
        [view(hashes=b"xx")],
        [view(hashes="x")],
        [view(frame=1)],
        [view(quality=101)],
        [view(quality=None)],
        [view(name="")],
        [view(name="a b")],
        [view(name="x" * 65)],
        [view(name=b"full")],
    ],
)
def test_a_plugin_whose_views_are_none_holds_the_asset(
    make: Make, encode: Encode, plugins: Install, monkeypatch: pytest.MonkeyPatch, views: object
) -> None:
    plugins(mean="MeanLevel")
    fingerprinter = Fingerprinter(["mean"], DecodeLimits())
    monkeypatch.setattr(MeanLevel, "compute", lambda self, picture: views)
    (found,) = fingerprinter.fingerprint_many([encode(make(36), "PNG")])
    assert isinstance(found, Unscannable)
    assert found.reason is Reason.INTERNAL_ERROR


def test_what_a_plugin_raises_stays_inside(
    make: Make, encode: Encode, plugins: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugins(mean="MeanLevel")
    fingerprinter = Fingerprinter(["mean"], DecodeLimits())

    def compute(self: object, picture: Picture) -> None:
        raise ValueError("secret")

    monkeypatch.setattr(MeanLevel, "compute", compute)
    with pytest.raises(Unscannable, match=r"^internal_error: a hash raised ValueError$"):
        fingerprinter.fingerprint(encode(make(36), "PNG"))


@pytest.mark.parametrize("plugin", ["Impostor", "Missing"])
def test_bad_plugins_are_refused(plugins: Install, plugin: str) -> None:
    plugins(other=plugin)
    with pytest.raises(UsageError, match=plugin):
        perceptual_hashes()
