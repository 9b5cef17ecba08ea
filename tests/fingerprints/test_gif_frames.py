"""A GIF's frames as readers show them that never take one away."""

import numpy as np
import pytest
from PIL import Image

from ingestgate.fingerprints.decoding import decode
from ingestgate.fingerprints.gif_frames import undisposed
from ingestgate.fingerprints.limits import DecodeLimits
from tests.fingerprints.conftest import Distance, Encode, Make, ToFingerprint


def halves(whole: Image.Image, encode: Encode, disposal: int) -> bytes:
    """Returns a GIF of the upper half, then the lower, each transparent elsewhere."""
    upper = np.dstack([np.asarray(whole), np.full(whole.size[::-1], 255, np.uint8)])
    lower = upper.copy()
    upper[whole.height // 2 :] = 0
    lower[: whole.height // 2] = 0
    frames = [Image.fromarray(frame) for frame in (upper, lower)]
    return encode(frames[0], "GIF", save_all=True, append_images=frames[1:], disposal=disposal)


@pytest.mark.parametrize("disposal", [2, 3])
def test_frames_that_show_a_picture_only_together(
    make: Make, encode: Encode, fingerprint: ToFingerprint, distance: Distance, disposal: int
) -> None:
    whole = make(50)
    expected = fingerprint(encode(whole, "PNG")).perceptual["pdq"][0].hashes[:32]
    views = fingerprint(halves(whole, encode, disposal)).perceptual["pdq"]
    far = {(view.frame, view.view): distance(view.hashes[:32], expected) for view in views}
    assert far.pop((1, "undisposed/full")) <= 24
    assert min(far.values()) > 31


def test_a_frame_lies_on_those_before_it_on_black(make: Make, encode: Encode) -> None:
    whole = make(51)
    first, second = (np.array(frame) for frame in _two(halves(whole, encode, 2)))
    assert not first[whole.height // 2 :].any()
    np.testing.assert_allclose(second, np.asarray(whole), atol=60)  # of 256 colours


def _two(content: bytes) -> list[Image.Image]:
    frames = undisposed(content)
    return [next(frames), next(frames)]


def test_what_is_the_same_is_not_shown_twice(make: Make, encode: Encode) -> None:
    frames = [make(seed).convert("L").point(lambda level: max(level, 9)) for seed in (52, 53, 54)]
    for disposal in (0, 1, 2):  # each covers those before, as none is of the ground's black
        content = encode(
            frames[0], "GIF", save_all=True, append_images=frames[1:], disposal=disposal
        )
        shown = list(decode(content, DecodeLimits()).pictures())
        assert {picture.frame for picture in shown} == {0, 1, 2}
        assert "undisposed" not in {picture.variant for picture in shown}
