import pytest
from PIL import Image

from ingestgate.fingerprints.views import FULL, SQUARE, THUMBNAIL, scaled_size, scalings


@pytest.mark.parametrize(
    ("width", "height"),
    [
        (513, 1),
        (1, 700),
        (1024, 768),
        (768, 1024),
        (513, 512),
        (2000, 1999),
        (65535, 2),
        (997, 331),
    ],
)
def test_a_thumbnail_has_the_size_that_pillow_gives_it(width: int, height: int) -> None:
    image = Image.new("L", (width, height))
    image.thumbnail((512, 512))
    assert scaled_size(height, width, THUMBNAIL) == (image.height, image.width)


def test_only_large_pictures_have_more_than_one_scaling() -> None:
    assert scalings(512, 512) == (FULL,)
    assert scalings(513, 20) == (FULL, THUMBNAIL, SQUARE)
    assert scaled_size(513, 20, SQUARE) == (512, 512)
    assert scaled_size(513, 20, FULL) == (513, 20)
