"""From files to pixels: upright RGB, whatever the camera or the web made of the file."""

import io
import os
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from multiprocessing.pool import AsyncResult, ThreadPool
from pathlib import Path
from typing import TypeVar

import cv2
import joblib
import numpy as np
from PIL import Image, ImageOps
from tqdm import tqdm

from wastebook.data import pictures
from wastebook.errors import WastebookError

LARGEST = 178_956_970  # pixels of a picture that is still decoded, 0.5 GB as RGB: what Pillow allows at most
Given = TypeVar("Given")
Result = TypeVar("Result")


class PhotoError(WastebookError):
    """A photo that cannot be read. `problem` is its kind in a word or two, `detail` says more."""

    def __init__(self, file: Path, problem: str, detail: str):
        super().__init__(f"{file}: {problem}: {detail}.")
        self.problem, self.detail = problem, detail


def read_photo(file: Path, largest: int = LARGEST, content: bytes | None = None) -> np.ndarray:
    """Read a photo as pixels, upright, whatever the camera or the web made of the file.

    Transparent parts become white, 16-bit values lose their lower byte, CMYK is converted without a colour
    profile, an animation gives its first frame. PhotoError where the file is no whole picture.

    Parameters
    ----------
    file : a picture in any format that Pillow knows
    largest : pixels above which a picture is refused before it is decoded
    content : the bytes of a picture that is on no disk of ours, as of one from the web

    Returns
    -------
    (H, W, 3) uint8 array, RGB, 0-255

    Examples
    --------
    >>> read_photo(Path("gone.jpg"))  # doctest: +IGNORE_EXCEPTION_DETAIL
    Traceback (most recent call last):
    PhotoError: gone.jpg: unreadable: the file cannot be opened (No such file or directory).
    """
    content, picture = _open(file, largest, content)
    if picture.format == "JPEG" and picture.mode in ("RGB", "L") and content.endswith(b"\xff\xd9"):
        # The same pixels as Pillow's in half the time, upright too; but cut-off files it fills with grey.
        photo = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR_RGB)
        if photo is not None:
            return photo
    try:
        return np.array(_as_rgb(ImageOps.exif_transpose(picture)))
    except Exception as error:  # Pillow's plugins raise many kinds of error for broken pixels
        text = str(error) or type(error).__name__
        cut = any(word in text.lower() for word in ("truncated", "not enough", "broken data", "incomplete"))
        raise PhotoError(file, "truncated" if cut else "unreadable", text) from None


def open_picture(file: Path) -> Image.Image:
    """The photo's header by Pillow (format, mode, size), nothing decoded. PhotoError as `read_photo`'s."""
    return _open(file, LARGEST)[1]


def is_animated(file: Path, content: bytes | None = None) -> bool:
    """Whether a photo that `read_photo` reads is the first of several pictures (not a phone's previews)."""
    try:
        picture = _open(file, LARGEST, content)[1]
        return bool(getattr(picture, "is_animated", False)) and picture.format != "MPO"
    except Exception:  # Pillow looks for further pictures, and raises many kinds where they are cut short
        return False


def decode_photos(files: Iterable[Path], size: tuple[int, int]) -> Iterator[np.ndarray]:
    """Each file's pixels in order as (H, W, 3) uint8 RGB, resized to `size` (height, width); decoded a few
    photos ahead on all cores. PhotoError at the first file that cannot be read."""
    return parallel_map(lambda file: resize_antialiased(read_photo(file), size), files)


def resize_antialiased(photo: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The photo, (H, W, 3) uint8, at `size` (height, width), bilinear: the one resize of the book."""
    if photo.shape[:2] == tuple(size):
        return photo
    return np.array(Image.fromarray(photo).resize(size[::-1], Image.Resampling.BILINEAR))


def parallel_map(function: Callable[[Given], Result], items: Iterable[Given]) -> Iterator[Result]:
    """`map` on `thread_count()` threads that runs only a few items ahead of whoever takes the results, and
    leaves at once where they are no longer taken, as after Ctrl+C."""
    threads, waiting = thread_count(), deque[AsyncResult[Result]]()
    with ThreadPool(threads) as pool:
        for item in items:
            waiting.append(pool.apply_async(function, [item]))
            if len(waiting) > 4 * threads:
                yield waiting.popleft().get()
        while waiting:
            yield waiting.popleft().get()


def thread_count() -> int:
    """How many threads to use: `OMP_NUM_THREADS` where set, else every core this process may use."""
    named = os.environ.get("OMP_NUM_THREADS", "")
    return int(named) if named.isdecimal() and int(named) else joblib.cpu_count()


def progress(description: str, total: int, photos: Iterable | None = None) -> tqdm:
    """A progress bar, silent where notebooks are executed for the book; it gives the `photos` one by one, or
    is told of them by `update`."""
    watched = sys.stderr.isatty() or "JPY_SESSION_NAME" in os.environ
    return tqdm(photos, desc=description, total=total, unit="photo", disable=not watched)


def _open(file: Path, largest: int, content: bytes | None = None) -> tuple[bytes, Image.Image]:
    """A file's bytes, and Pillow's picture of them, of which only the header is read."""
    try:
        content = file.read_bytes() if content is None else content
    except OSError as error:
        raise PhotoError(file, "unreadable", f"the file cannot be opened ({error.strerror})") from None
    if not content:
        raise PhotoError(file, "empty", "the file has no bytes")
    try:
        picture = pictures.open_picture(io.BytesIO(content))
        if picture.width * picture.height > largest:
            raise Image.DecompressionBombError
        return content, picture
    except Image.DecompressionBombError:
        raise PhotoError(file, "huge", f"it has more than {largest // 1_000_000} million pixels") from None
    except Exception as error:  # Pillow's plugins raise many kinds of error for broken headers
        detail = str(error) or type(error).__name__
        if not content[:64].strip(b"\0"):
            detail = "it begins with zero bytes: copied or downloaded incompletely; get it anew"
        elif isinstance(error, Image.UnidentifiedImageError):
            detail = "no picture in a format that Pillow knows"
        raise PhotoError(file, "unreadable", detail) from None


def _as_rgb(picture: Image.Image) -> Image.Image:
    if picture.mode == "F":
        raise ValueError("floating-point pixels have no known range")
    if picture.mode.startswith("I"):  # 16 bits a pixel: Pillow's own conversion would clip at 255
        values = np.asarray(picture)
        picture = Image.fromarray(np.clip(values >> 8, 0, 255).astype(np.uint8))
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert("RGB")
    return picture.convert("RGB")
