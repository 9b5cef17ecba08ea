"""An AVIF holds a sequence and a still, and a reader shows one of them."""

import io
import struct
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ingestgate.fingerprints.avif_still import has_unnamed_sequence, still_of
from ingestgate.fingerprints.fingerprinter import Fingerprinter
from ingestgate.fingerprints.limits import DecodeLimits
from ingestgate.fingerprints.unscannable import Unscannable
from tests.pictures import picture

FINGERPRINTER = Fingerprinter(["pdq", "phash"], DecodeLimits())


def avif(*seeds: int) -> bytes:
    first, *others = (picture(seed) for seed in seeds)
    sink = io.BytesIO()
    more = {"save_all": True, "append_images": others, "duration": 100} if others else {}
    first.save(sink, "AVIF", quality=90, **more)
    return sink.getvalue()


def with_still_of(sequence: bytes, still: bytes) -> bytes:
    """Returns a sequence whose still's data are another file's, behind the end."""
    _, start, size = extent(still)
    data = still[start : start + size]
    place, _, _ = extent(sequence)
    box = struct.pack(">I", 8 + len(data)) + b"mdat" + data
    moved = struct.pack(">II", len(sequence) + 8, len(data))
    return sequence[:place] + moved + sequence[place + 8 :] + box


def extent(content: bytes) -> tuple[int, int, int]:
    """Returns where the extent of the only item is said to lie, and what is said."""
    box = content.index(b"iloc")
    assert content[box + 4] == 0
    assert content[box + 8 : box + 12] == b"\x44\x00\x00\x01"
    place = box + 18
    return place, *struct.unpack_from(">II", content, place)


def test_a_still_that_shows_something_else_is_seen() -> None:
    plain, hidden = avif(1, 2), with_still_of(avif(1, 2), avif(9))
    assert hidden[8:12] == b"avis"
    before, after, alone = map(FINGERPRINTER.fingerprint, (plain, hidden, avif(9)))
    assert before.frames == after.frames == 2
    for name in ("pdq", "phash"):
        own = {view.hashes for view in before.perceptual[name]}
        assert own | {view.hashes for view in alone.perceptual[name]} == {
            view.hashes for view in after.perceptual[name]
        }
        assert any(view.view.startswith("still/") for view in after.perceptual[name])
        assert not any(view.view.startswith("still/") for view in before.perceptual[name])


def test_what_a_still_shows_on_gray_need_not_be_seen() -> None:
    """As of the sequence itself: where pictures are partly transparent, gray may show nothing."""

    def drawing(seed: int) -> Image.Image:
        alpha, gray = (smooth(seed + more, low, 255 - low) for more, low in ((0, 4), (50, 100)))
        return Image.fromarray(np.dstack([gray, gray, gray, alpha]), "RGBA")

    def smooth(seed: int, low: int, high: int) -> Any:
        coarse = np.random.default_rng(seed).integers(low, high, (16, 16), np.uint8)
        return np.asarray(Image.fromarray(coarse).resize((256, 256))).clip(low, high)

    sink = io.BytesIO()
    drawing(1).save(sink, "AVIF", quality=95, save_all=True, append_images=[drawing(2)])
    found = FINGERPRINTER.fingerprint(sink.getvalue())
    assert found.frames == 2
    assert found.low_quality == frozenset()


def test_a_sequence_that_the_brand_does_not_name_is_held() -> None:
    """A decoder goes by the brand and shows one image; players show the sequence."""
    content = avif(1, 2).replace(b"ftypavis", b"ftypavif", 1)
    with pytest.raises(Unscannable, match="a sequence beside it"):
        FINGERPRINTER.fingerprint(content)


@pytest.mark.parametrize("seeds", [(1,), (1, 2)])
def test_boxes_are_told_however_their_sizes_are_written(seeds: tuple[int, ...]) -> None:
    content = avif(*seeds)
    large = struct.pack(">I", 1) + b"moov" + struct.pack(">Q", 16)
    to_the_end = struct.pack(">I", 0) + b"moov"
    assert has_unnamed_sequence(avif(1) + large + b"\0\0\0\x08free")
    assert has_unnamed_sequence(avif(1) + to_the_end)
    assert not has_unnamed_sequence(avif(1) + struct.pack(">I", 16) + b"free" + to_the_end)
    assert (still_of(content) is None) == (len(seeds) == 1)
    assert not has_unnamed_sequence(content[:7])


def test_a_thumbnail_that_the_still_alone_has_came_the_quick_way() -> None:
    """So that what its hashes are near is looked at again."""
    thumbnail = io.BytesIO()
    picture(3).resize((160, 120)).save(thumbnail, "JPEG")
    content = thumbnail.getvalue()
    directory = struct.pack("<HHHII", 2, 0x201, 4, 1, 44) + struct.pack(
        "<HHIII", 0x202, 4, 1, len(content), 0
    )
    exif = (b"II*\0" + struct.pack("<IHI", 8, 0, 14) + directory).ljust(44, b"\0") + content
    sink = io.BytesIO()
    first, second = picture(1), picture(2)
    more = {"save_all": True, "append_images": [second], "duration": 100}
    first.save(sink, "AVIF", exif=exif, **more)
    both = sink.getvalue()
    *_, of_track, _ = (at for at in range(len(both)) if both.startswith(b"Exif", at))
    found = FINGERPRINTER.fingerprint(both[:of_track] + b"Exig" + both[of_track + 4 :])
    assert "still/exif-thumbnail/full" in {view.view for view in found.perceptual["pdq"]}
    assert found.is_quick
