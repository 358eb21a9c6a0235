"""Opening a picture: which formats are read, and which way up it lies."""

import contextlib
from functools import cache
from typing import BinaryIO

from PIL import Image

# What photos come as; nothing that starts another program, as PostScript called .jpg would.
FORMATS = ("JPEG", "MPO", "PNG", "GIF", "BMP", "TIFF", "WEBP", "AVIF", "HEIF")


@cache
def readable_formats() -> tuple[str, ...]:
    """Those of `FORMATS` that can be read here: HEIF, as iPhones have it, needs the package pillow-heif."""
    with contextlib.suppress(ImportError):
        import pillow_heif

        pillow_heif.register_heif_opener()
    Image.init()
    return tuple(format for format in FORMATS if format in Image.OPEN)


def open_picture(content: BinaryIO) -> Image.Image:
    """A picture of which only the header is read; an error of any kind where it is none."""
    return Image.open(content, formats=readable_formats())


def read_orientation(picture: Image.Image) -> int | None:
    """How the camera was held, 1 (upright) to 8 as in EXIF; None where the metadata are broken."""
    with contextlib.suppress(Exception):  # Pillow raises many kinds for them; the pixels may be whole
        orientation = picture.getexif().get(0x0112)
        return orientation if orientation in range(1, 9) else 1
    return None
