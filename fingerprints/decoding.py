"""Untrusted bytes to normalised pictures, or the reason why not.

Everything a format shows is decoded: every frame of an animation (composited as viewers show
it), every page, the further images of an MPO, and each image's thumbnail in EXIF. What ends early,
exceeds a limit or makes a decoder raise is `Unscannable`; never part of a picture, never a guess.

Unless colours are asked for, the luma of a JPEG comes straight from its Y plane: the quick way, a
third of the time of a decode to RGB, with the same pixels but for clipped colours and rounding. By
how much that moves fingerprints is measured by ``python -m benchmarks.margins``. It must not move
where borders end, by which a picture's views are made, so the luma of the quick way tells that on
either way.
"""

import io
import itertools
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.GifImagePlugin import GifImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.TiffImagePlugin import TiffImageFile

from ingestgate.assets.verdict import Reason
from ingestgate.fingerprints.avif_still import has_unnamed_sequence, still_of
from ingestgate.fingerprints.disagreements import CheckedAvif, disagreement
from ingestgate.fingerprints.exif_thumbnail import thumbnail
from ingestgate.fingerprints.gif_frames import undisposed
from ingestgate.fingerprints.image_memory import levels, levels_of_colours
from ingestgate.fingerprints.limits import DecodeLimits
from ingestgate.fingerprints.multi_picture import image_offsets, names_gain_map
from ingestgate.fingerprints.normalising import pictures
from ingestgate.fingerprints.sniffing import sniff
from ingestgate.fingerprints.tiff_pages import disagreement_on_page, loaded
from ingestgate.fingerprints.unscannable import Unscannable
from ingestgate.fingerprints.views import EXIF_THUMBNAIL, GAIN_MAP, STILL, UNDISPOSED, Picture

# Pillow logs what it reads: tags and their values, at level DEBUG.
logging.getLogger("PIL").setLevel(logging.CRITICAL + 1)

# Formats that say how many frames they have only when read to the end.
_UNCOUNTED = frozenset({"GIF", "TIFF"})


class Decoded:
    """An opened asset, whose pictures are decoded while they are taken.

    Attributes:
        media_type: MIME type, by signature.
        width: Of the first frame as stored, in pixels.
        height: Likewise.
        frames: Frames taken so far; all of them once `pictures` is exhausted.
        is_quick: Whether any luma came the quick way so far.
        has_icc_profile: Whether the first frame has an ICC profile, which is not applied.
    """

    def __init__(
        self, content: bytes, media_type: str, format: str, limits: DecodeLimits, mode: str
    ) -> None:
        self._content = content
        self._limits = limits
        self._mode = mode
        self._stream = io.BytesIO(content)
        self._undisposed: Iterator[Image.Image] | None = None  # once it is otherwise
        self.media_type = media_type
        self.frames = 0
        self.is_quick = False
        with _refusing(media_type):
            self._image = _opened(self._stream, format)
            self._frame: Image.Image = self._image
            self.has_icc_profile = bool(self._image.info.get("icc_profile"))
            self._starts = self._image_starts()
            self.width, self.height = self._image.size
            self._pixels_left = limits.max_total_pixels
            self._claimed = (
                0
                if format in _UNCOUNTED
                else max(len(self._starts), getattr(self._image, "n_frames", 1))
            )
            self._check_frames(self._claimed)
            self._check_pixels()

    def pictures(self) -> Iterator[Picture]:
        """Yields the pictures of all frames, in order; can be exhausted once.

        Raises:
            Unscannable: As soon as a frame cannot be had.
        """
        for frame in itertools.count():
            with _refusing(self.media_type):
                if not self._seek(frame):
                    break
                self._check_frames(frame + 1)
                self._check_pixels()
                if isinstance(self._frame, TiffImageFile):
                    _agreed(self.media_type, disagreement_on_page(self._content, self._frame))
                self._pixels_left -= self._frame.width * self._frame.height
                found = list(self._shown(frame))
                exif = self._frame.info.get("exif", b"") if frame == 0 or self._starts else b""
            self.frames = frame + 1
            yield from found
            yield from self._thumbnail(exif)
        yield from self._still()

    def _image_starts(self) -> list[int]:
        """Returns where the images of an MPO begin; nothing if this is none."""
        image = self._image
        if not isinstance(image, JpegImageFile):
            return []
        starts = image_offsets(image.applist, image.info.get("mpoffset", 0))
        if len(starts) == 1:
            return []
        if "MPO" not in self._limits.formats:
            raise Unscannable(
                Reason.UNSUPPORTED_FORMAT,
                "image/jpeg of several images (MPO), which is not among the formats decoded",
            )
        return starts

    def _seek(self, frame: int) -> bool:
        """Goes to a frame; False if there is none because the file has ended as it should."""
        if self._claimed:
            if frame == self._claimed:
                return False
            if frame and self._starts:
                self._frame = self._jpeg(frame)
            elif frame:
                self._image.seek(frame)  # EOFError: fewer frames than claimed, so truncated
            return True
        try:
            self._image.seek(frame)
        except EOFError:
            if self._image.format == "GIF" and not self._at_gif_trailer():
                raise
            return False
        return True

    def _jpeg(self, number: int) -> Image.Image:
        """Opens an image of a JPEG, from where it begins in the file."""
        content = self._content[self._starts[number] if self._starts else 0 :]
        if not content:
            raise EOFError
        return _opened(io.BytesIO(content), "JPEG")

    def _at_gif_trailer(self) -> bool:
        end = self._stream.tell()
        return self._content[end - 1 : end] == b";"

    def _shown(self, number: int) -> Iterator[Picture]:
        """Yields what the current frame, of this number, shows, in memory of its own."""
        frame = self._frame
        mode = "RGB"  # else luma would be rounded to levels before it is hashed
        outline = None
        if frame.format == "JPEG" and frame.mode in {"RGB", "L"}:
            if self._mode == "L":
                mode = "L"
                frame.draft(mode, None)
                self.is_quick = True
            elif frame.mode == "RGB":  # of a gray one, luma is the Y plane either way
                outline = self._outline(number)
        if isinstance(frame, TiffImageFile):
            frame = loaded(frame)
        else:
            frame.load()
        for variant, shown in pictures(frame, mode):
            # The next frame may be decoded into the memory of this one.
            image = shown.copy() if shown is self._image and self._claimed != 1 else shown
            yield _picture(number, GAIN_MAP if self._is_gain_map() else variant, image, outline)
        if isinstance(frame, GifImageFile):
            yield from self._over_all_before(number, frame)

    def _over_all_before(self, number: int, frame: GifImageFile) -> Iterator[Picture]:
        """Yields what a GIF's frame shows where none is taken away, if that is something else."""
        if self._undisposed is not None:
            image = next(self._undisposed)
            if image.tobytes() != frame.convert("RGB").tobytes():
                yield _picture(number, UNDISPOSED, image, None)
        elif frame.dispose is not None:
            self._undisposed = itertools.islice(undisposed(self._content), number + 1, None)

    def _outline(self, number: int) -> NDArray[np.uint8]:
        """Returns the luma that the quick way has for a JPEG's frame."""
        frame = self._jpeg(number)
        frame.draft("L", None)
        frame.load()
        ((_, shown),) = pictures(frame, "L")
        return levels(shown)

    def _still(self) -> Iterator[Picture]:
        """Yields what an AVIF of a sequence shows to readers that show none."""
        still = still_of(self._content) if self._image.format == "AVIF" else None
        if still is not None:
            opened = Decoded(still, self.media_type, "AVIF", self._limits, self._mode)
            for picture in opened.pictures():
                self.is_quick = self.is_quick or opened.is_quick  # a thumbnail's
                names = filter(None, (STILL, picture.variant))
                yield replace(picture, variant="/".join(names))

    def _is_gain_map(self) -> bool:
        """Whether readers that know no gain maps are right to leave the current frame out."""
        first, frame = self._image, self._frame
        return (
            frame is not first
            and isinstance(first, JpegImageFile)
            and isinstance(frame, JpegImageFile)
            and names_gain_map(first.applist)
            and names_gain_map(frame.applist)
            and frame.width * frame.height <= first.width * first.height
        )

    def _check_frames(self, frames: int) -> None:
        if frames > self._limits.max_frames:
            raise Unscannable(
                Reason.TOO_MANY_FRAMES, f"more frames or pages than {self._limits.max_frames}"
            )

    def _check_pixels(self) -> None:
        """Refuses the current frame, before it is decoded, if it or all together are too large."""
        pixels = self._frame.width * self._frame.height
        if pixels > self._limits.max_pixels:
            raise Unscannable(
                Reason.TOO_MANY_PIXELS, f"a frame has more pixels than {self._limits.max_pixels}"
            )
        if pixels * max(1, self._claimed - self.frames) > self._pixels_left:
            raise Unscannable(
                Reason.TOO_MANY_PIXELS,
                f"all frames together have more pixels than {self._limits.max_total_pixels}",
            )

    def _thumbnail(self, exif: bytes) -> Iterator[Picture]:
        """Yields the thumbnail in the EXIF data of the current frame.

        Nothing if it does not decode: unlike a frame, it then shows nothing to any reader.
        """
        found = thumbnail(exif)
        if found is None:
            return
        if found.format not in self._limits.formats:
            raise Unscannable(
                Reason.UNSUPPORTED_FORMAT,
                f"a thumbnail in EXIF that is {found.format}, not among the formats decoded",
            )
        try:
            opened = Decoded(*found, self._limits, self._mode)
            with _refusing(opened.media_type):
                shown = [
                    replace(picture, frame=self.frames - 1, variant=EXIF_THUMBNAIL)
                    for picture in opened._shown(0)
                ]
        except Unscannable as error:
            if error.reason is Reason.UNDECODABLE:
                return
            raise
        self.is_quick = self.is_quick or opened.is_quick
        yield from shown


def _opened(stream: io.BytesIO, format: str) -> Image.Image:
    if format == "JPEG":
        # By itself, not by `Image.open`, which may make an MPO of it: see `multi_picture`.
        return JpegImageFile(stream)
    if format == "AVIF":
        return CheckedAvif(stream)
    return Image.open(stream, formats=(format,))


def _picture(
    frame: int, variant: str, shown: Image.Image, outline: NDArray[np.uint8] | None
) -> Picture:
    if shown.mode == "L":
        return Picture(frame, variant, levels(shown))
    return Picture(frame, variant, levels_of_colours(shown), shown, outline)


def decode(content: bytes, limits: DecodeLimits, *, colour: bool = False) -> Decoded:
    """Opens an asset; no pixel is decoded yet.

    Args:
        content: The whole file.
        limits: What may be decoded, and how much of it.
        colour: Whether pictures have their colours, and no shortcut is taken to their luma.

    Raises:
        Unscannable: It is empty, too large, of a kind that is not decoded, or damaged.
    """
    if not content:
        raise Unscannable(Reason.EMPTY, "no bytes")
    if len(content) > limits.max_bytes:
        raise Unscannable(Reason.TOO_MANY_BYTES, f"more bytes than {limits.max_bytes}")
    media = sniff(content)
    if media is None:
        raise Unscannable(Reason.UNSUPPORTED_MEDIA, "no signature of any kind of picture")
    if media.format not in limits.formats:
        raise Unscannable(
            Reason.UNSUPPORTED_FORMAT, f"{media.media_type} is not among the formats decoded"
        )
    if media.format == "AVIF" and has_unnamed_sequence(content):
        raise Unscannable(
            Reason.UNSUPPORTED_FORMAT,
            "image/avif of an image with a sequence beside it that its brand does not name",
        )
    _agreed(media.media_type, disagreement(content, media.format))
    return Decoded(content, media.media_type, media.format, limits, "RGB" if colour else "L")


def _agreed(media_type: str, disagreement: str) -> None:
    if disagreement:
        raise Unscannable(Reason.UNDECODABLE, f"{media_type} {disagreement}: readers differ")


@contextmanager
def quiet() -> Iterator[None]:
    """Keeps the decoders' warnings quiet, which may quote an asset.

    Restoring the filters of `warnings` races when several threads decode; what may then stay
    behind is this filter.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")
        yield


@contextmanager
def _refusing(media_type: str) -> Iterator[None]:
    """Turns whatever a decoder raises into Unscannable.

    The decoder's own message is dropped: it may quote bytes of the asset.
    """
    try:
        yield
    except Unscannable:
        raise
    except Image.DecompressionBombError:
        raise Unscannable(
            Reason.TOO_MANY_PIXELS, "more pixels than Pillow decodes at most"
        ) from None
    except MemoryError:
        raise Unscannable(
            Reason.OUT_OF_MEMORY, f"{media_type} that takes more memory than there is"
        ) from None
    except Exception as error:  # noqa: BLE001  (a decoder may raise anything)
        if isinstance(error, EOFError) or "truncated" in str(error).lower():
            raise Unscannable(Reason.TRUNCATED, f"{media_type} that ends too early") from None
        raise Unscannable(
            Reason.UNDECODABLE, f"{media_type} that its decoder refuses ({type(error).__name__})"
        ) from None
