"""The placeholders' constants are what the fingerprints of this program give for such pictures."""

import io
from collections.abc import Iterator

from PIL import Image, ImageDraw

from ingestgate.blocklists.placeholders import FILES, HASHES
from ingestgate.blocklists.signals import BUILT_IN
from ingestgate.fingerprints.fingerprinter import Fingerprinter
from ingestgate.fingerprints.limits import DecodeLimits

COLOURS = ("#ff0000", "#00ff00", "#0000ff", "#ffff00", "#00ffff", "#ff00ff", "#ffa500", "#800080")
SIZE = (256, 256)


def flat(step: int = 1) -> Iterator[Image.Image]:
    """Yields pictures of one grey, of every so many-th level."""
    for level in range(0, 256, step):
        yield Image.new("RGB", (64, 64), (level, level, level))


def coloured() -> Iterator[Image.Image]:
    """Yields pictures of one colour."""
    for colour in COLOURS:
        yield Image.new("RGB", (64, 64), colour)


def drawn() -> Iterator[Image.Image]:
    """Yields gradients, and what is shown where a picture is missing."""
    gradient = Image.linear_gradient("L")
    for turn in (0, 90, 180, 270):
        yield gradient.rotate(turn)
    yield Image.radial_gradient("L")
    for cells in (2, 4, 8, 16):
        yield Image.frombytes(
            "L", (cells, cells), bytes(255 * ((n // cells + n) % 2) for n in range(cells * cells))
        ).resize(SIZE, Image.Resampling.NEAREST)
    for ground, line in ((224, 128), (255, 0), (0, 255)):
        crossed = Image.new("L", SIZE, ground)
        pen = ImageDraw.Draw(crossed)
        pen.rectangle((4, 4, 251, 251), outline=line, width=4)
        pen.line((4, 4, 251, 251), fill=line, width=4)
        pen.line((4, 251, 251, 4), fill=line, width=4)
        yield crossed
        missing = Image.new("L", SIZE, ground)  # a frame, a sun and two hills
        pen = ImageDraw.Draw(missing)
        pen.rectangle((48, 64, 207, 191), outline=line, width=8)
        pen.ellipse((72, 84, 100, 112), fill=line)
        pen.polygon([(60, 180), (110, 120), (150, 180)], fill=line)
        pen.polygon([(120, 180), (160, 105), (198, 180)], fill=line)
        yield missing
        person = Image.new("L", SIZE, ground)
        pen = ImageDraw.Draw(person)
        pen.ellipse((88, 48, 167, 127), fill=line)
        pen.pieslice((40, 144, 215, 319), 180, 360, fill=line)
        yield person
        play = Image.new("L", SIZE, ground)
        pen = ImageDraw.Draw(play)
        pen.ellipse((64, 64, 191, 191), outline=line, width=8)
        pen.polygon([(108, 92), (108, 164), (164, 128)], fill=line)
        yield play


def hashed(pictures: Iterator[Image.Image], names: tuple[str, ...]) -> dict[str, set[bytes]]:
    """Returns the upright hashes of whole pictures, by type."""
    fingerprinter = Fingerprinter(names, DecodeLimits())
    found: dict[str, set[bytes]] = {name: set() for name in names}
    for picture in pictures:
        file = io.BytesIO()
        picture.save(file, "PNG")
        for name, views in fingerprinter.fingerprint(file.getvalue()).perceptual.items():
            width = next(one.width for one in BUILT_IN if one.name == name)
            found[name].add(bytes(views[0].hashes)[:width])
    return found


def test_hashes_of_placeholders_are_those_of_such_pictures() -> None:
    every = hashed(flat(step=15), tuple(HASHES))
    every["pdq"] |= hashed(flat(), ("pdq",))["pdq"]  # no two levels need be alike
    every["pdq"] |= hashed(coloured(), ("pdq",))["pdq"]
    for name, values in hashed(drawn(), ("pdq", "phash", "phash16")).items():
        every[name] |= values
    for name, values in every.items():
        assert HASHES[name] == values, name
        # ... from one size of such a picture to the next
    larger = hashed((Image.new("RGB", (500, 300), (n, n, n)) for n in (1, 77, 255)), tuple(HASHES))
    for name, values in larger.items():
        assert values <= HASHES[name]


def test_files_of_placeholders_are_pictures_of_one_colour() -> None:
    assert len(set(FILES)) == len(FILES)
    for file in FILES:
        with Image.open(io.BytesIO(file)) as opened:
            assert len(set(opened.convert("RGBA").get_flattened_data())) == 1
