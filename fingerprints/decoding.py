"""Untrusted bytes to normalised pictures, or the reason why not.

Everything a format shows is decoded: every frame of an animation (composited as viewers show
it), every page, the second images of an MPO, the thumbnail in EXIF. What ends early, exceeds a
limit or makes a decoder raise is `Unscannable`; never part of a picture, never a guess.

Unless colours are asked for, the luma of a JPEG comes straight from its Y plane: the quick way, a
third of the time of a decode to RGB, with the same pixels but for clipped colours and rounding. By
how much that moves fingerprints is measured by ``python -m benchmarks.margins``.
"""

import io
import itertools
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from PIL import ExifTags, Image
from PIL.JpegImagePlugin import JpegImageFile
from PIL.MpoImagePlugin import MpoImageFile

from ingestgate.assets.verdict import Reason
from ingestgate.fingerprints.image_memory import levels
from ingestgate.fingerprints.limits import DecodeLimits
from ingestgate.fingerprints.normalising import pictures
from ingestgate.fingerprints.sniffing import sniff
from ingestgate.fingerprints.unscannable import Unscannable
from ingestgate.fingerprints.views import EXIF_THUMBNAIL, Picture

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
    """

    def __init__(
        self, content: bytes, media_type: str, format: str, limits: DecodeLimits, mode: str
    ) -> None:
        self._content = content
        self._limits = limits
        self._mode = mode
        self._stream = io.BytesIO(content)
        self.media_type = media_type
        self.frames = 0
        self.is_quick = False
        with _refusing(media_type):
            self._image = Image.open(self._stream, formats=(format,))
            self._frame: Image.Image = self._image
            self.width, self.height = self._image.size
            self._pixels_left = limits.max_total_pixels
            self._claimed = 0 if format in _UNCOUNTED else getattr(self._image, "n_frames", 1)
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
                    return
                self._check_frames(frame + 1)
                self._check_pixels()
                self._pixels_left -= self._frame.width * self._frame.height
                found = [_picture(frame, *each) for each in self._shown()]
            self.frames = frame + 1
            yield from found
            if frame == 0:
                yield from self._thumbnail()

    def _seek(self, frame: int) -> bool:
        """Goes to a frame; False if there is none because the file has ended as it should."""
        if self._claimed:
            if frame == self._claimed:
                return False
            if frame:
                self._image.seek(frame)  # EOFError: fewer frames than claimed, so truncated
            if frame and isinstance(self._image, MpoImageFile):
                # Loaded in place (Pillow 12.3), an image of another mode than the one before it
                # is written beyond the memory of that one.
                offset = self._image.offset
                self._frame = JpegImageFile(io.BytesIO(self._content[offset:]))
            return True
        try:
            self._image.seek(frame)
        except EOFError:
            if self._image.format == "GIF" and not self._at_gif_trailer():
                raise
            return False
        return True

    def _at_gif_trailer(self) -> bool:
        end = self._stream.tell()
        return self._content[end - 1 : end] == b";"

    def _shown(self) -> Iterator[tuple[str, Image.Image]]:
        """Yields what the current frame shows, in memory of its own."""
        frame = self._frame
        mode = "RGB"  # else luma would be rounded to levels before it is hashed
        if self._mode == "L" and frame.format in {"JPEG", "MPO"} and frame.mode in {"RGB", "L"}:
            mode = "L"
            frame.draft(mode, None)
            self.is_quick = True
        frame.load()
        for variant, shown in pictures(frame, mode):
            # The next frame may be decoded into the memory of this one.
            yield variant, shown.copy() if shown is self._image and self._claimed != 1 else shown

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

    def _thumbnail(self) -> Iterator[Picture]:
        """Yields the JPEG in EXIF's second directory.

        Nothing if it does not decode: unlike a frame, it then shows nothing to any reader.
        """
        content = b""
        # Not only Unscannable: Pillow's EXIF parser raises many kinds.
        with suppress(Exception), _refusing(self.media_type):
            directory = self._image.getexif().get_ifd(ExifTags.IFD.IFD1)
            start = directory[ExifTags.Base.JpegIFOffset]
            exif = self._image.info["exif"].removeprefix(b"Exif\0\0")
            content = exif[start : start + directory[ExifTags.Base.JpegIFByteCount]]
        if content.startswith(b"\xff\xd8\xff"):
            with suppress(Unscannable):
                opened = Decoded(content, "image/jpeg", "JPEG", self._limits, self._mode)
                with _refusing(opened.media_type):
                    found = [_picture(0, EXIF_THUMBNAIL, shown) for _, shown in opened._shown()]
                self.is_quick = self.is_quick or opened.is_quick
                yield from found


def _picture(frame: int, variant: str, shown: Image.Image) -> Picture:
    if shown.mode == "L":
        return Picture(frame, variant, levels(shown))
    return Picture(frame, variant, levels(shown.convert("L")), shown)


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
    return Decoded(content, media.media_type, media.format, limits, "RGB" if colour else "L")


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
