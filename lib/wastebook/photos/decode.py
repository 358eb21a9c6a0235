"""From files to pixels: upright RGB, whatever the camera or the web made of the file."""

import contextlib
import io
import os
import stat
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from multiprocessing.pool import AsyncResult, ThreadPool
from pathlib import Path
from typing import TypeVar

import cv2
import joblib
import numpy as np
from PIL import Image
from tqdm import tqdm

from wastebook.data.pictures import open_picture, read_orientation, readable_formats
from wastebook.errors import WastebookError

LARGEST = 178_956_970  # pixels of a picture that is still decoded, 0.5 GB as RGB: what Pillow allows at most
MOST_BYTES = 4 * LARGEST  # of a file
MANY = 25_000_000  # pixels of a picture beside which no other as large is decoded
STRIP = 512  # rows
END = b"\xff\xd9"  # of a JPEG
HEIC = (b"ftyphei", b"ftyphev", b"ftypmif", b"ftypmsf")  # how one begins, behind four bytes
AS_IT_LIES = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
_ONE_AT_A_TIME = threading.Lock()
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
    profile, an animation gives its first frame. PhotoError where the file is no whole picture; where only its
    metadata are broken it is taken as it lies. MemoryError, which names the file, where there is too little.

    Parameters
    ----------
    file : a picture: JPEG, PNG, GIF, BMP, TIFF, WebP, AVIF and, with pillow-heif, HEIC
    largest : pixels above which a picture is refused before it is decoded
    content : its bytes, where they are at hand and `file` is only what it is called

    Returns
    -------
    (H, W, 3) uint8 array, RGB, 0-255

    Examples
    --------
    >>> read_photo(Path("gone.jpg"))  # doctest: +IGNORE_EXCEPTION_DETAIL
    Traceback (most recent call last):
    PhotoError: gone.jpg: unreadable: the file cannot be opened (No such file or directory).
    """
    content, picture = open_photo(file, largest, content)
    many = picture.width * picture.height > MANY
    try:
        with _ONE_AT_A_TIME if many else contextlib.nullcontext():
            return _upright(_decode(content, picture), read_orientation(picture) or 1)
    except Exception as error:  # Pillow's plugins raise many kinds of error for broken pixels
        if isinstance(error, MemoryError) or getattr(error, "code", 0) == cv2.Error.StsNoMem:
            raise MemoryError(f"Not enough memory for {file}: end other programs, or leave it out.") from None
        text = str(error) or type(error).__name__
        cut = any(word in text.lower() for word in ("truncated", "not enough", "broken data", "incomplete"))
        raise PhotoError(file, "truncated" if cut else "unreadable", text) from None


def is_animated(file: Path, content: bytes | None = None) -> bool:
    """Whether a photo that `read_photo` reads is the first of several pictures."""
    with contextlib.suppress(Exception):  # Pillow looks for further pictures, which may be cut short
        _, picture = open_photo(file, content=content)
        return picture.format != "MPO" and bool(getattr(picture, "is_animated", False))
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


def progress(description: str, total: int, photos: Iterable) -> tqdm:
    """The photos one by one, with a progress bar, silent where notebooks are executed for the book."""
    watched = sys.stderr.isatty() or "JPY_SESSION_NAME" in os.environ
    return tqdm(photos, desc=description, total=total, unit="photo", disable=not watched)


def open_photo(file: Path, largest: int = LARGEST, content: bytes | None = None) -> tuple[bytes, Image.Image]:
    """A photo's bytes, and Pillow's picture of them, nothing decoded. PhotoError as `read_photo`'s."""
    try:
        if content is None:
            status = file.stat()
            if not stat.S_ISREG(status.st_mode):  # a pipe would be waited for, a device never ends
                raise PhotoError(file, "unreadable", "it is no ordinary file")
            if status.st_size > MOST_BYTES:
                raise PhotoError(file, "huge", f"it has more than {MOST_BYTES >> 20} MB")
            content = file.read_bytes()
    except OSError as error:
        raise PhotoError(file, "unreadable", f"the file cannot be opened ({error.strerror})") from None
    if not content:
        raise PhotoError(file, "empty", "the file has no bytes")
    try:
        Image.MAX_IMAGE_PIXELS = None  # `largest` is the limit; Pillow would warn at half of its own
        picture = open_picture(io.BytesIO(content))
        if picture.width * picture.height > largest:
            raise Image.DecompressionBombError
        return content, picture
    except Image.DecompressionBombError:
        raise PhotoError(file, "huge", f"it has more than {largest // 1_000_000} million pixels") from None
    except Exception as error:  # Pillow's plugins raise many kinds of error for broken headers
        detail = str(error) or type(error).__name__
        if not content[:64].strip(b"\0"):
            detail = "it begins with zero bytes: copied or downloaded incompletely; get it anew"
        elif content[4:11] in HEIC and "HEIF" not in readable_formats():
            detail = "a HEIC photo, as iPhones keep them: pip install pillow-heif"
        elif isinstance(error, Image.UnidentifiedImageError):
            detail = "no picture in a format that is read here"
        raise PhotoError(file, "unreadable", detail) from None


def _decode(content: bytes, picture: Image.Image) -> np.ndarray:
    """The pixels as they lie in the file."""
    plain = picture.format == "JPEG" and picture.mode in ("RGB", "L")
    if plain and content.endswith(END):
        # The same pixels as Pillow's in half the time; but what is cut off it fills with grey.
        photo = cv2.imdecode(np.frombuffer(content, np.uint8), AS_IT_LIES)
        doubtful = photo is not None and (picture.info.get("progressive") or np.ptp(photo[-1, -4:]) == 0)
        if doubtful and not _is_whole(content):
            raise ValueError("truncated: pixels are missing before its end")
        if photo is not None:
            return photo
    try:
        picture.load()
    except OSError:
        if plain and _is_whole(content + END):  # all is there but its end mark
            return np.asarray(cv2.imdecode(np.frombuffer(content + END, np.uint8), AS_IT_LIES))
        raise
    pixels = np.empty((picture.height, picture.width, 3), np.uint8)
    for top in range(0, picture.height, STRIP):  # a copy in another mode is as large as the picture
        strip = picture.crop((0, top, picture.width, min(top + STRIP, picture.height)))
        pixels[top : top + STRIP] = np.asarray(_as_rgb(strip))
    return pixels


def _is_whole(content: bytes) -> bool:
    """Whether a JPEG's data reach to its end mark: then what is written before it changes nothing."""
    seen = []
    for each in (content, content[: -len(END)] + bytes(range(1, 251)) + END):
        picture = open_picture(io.BytesIO(each))
        if not picture.info.get("progressive"):
            picture.draft("L", (1, 1))  # an eighth of the size, which is quick
        seen.append(np.asarray(picture))
    return np.array_equal(seen[0], seen[1])


def _upright(photo: np.ndarray, orientation: int) -> np.ndarray:
    """The photo turned and mirrored as its EXIF orientation says."""
    turned = photo.transpose(1, 0, 2) if orientation in (5, 6, 7, 8) else photo
    turned = turned[:, ::-1] if orientation in (2, 3, 6, 7) else turned
    turned = turned[::-1] if orientation in (3, 4, 7, 8) else turned
    return np.ascontiguousarray(turned)


def _as_rgb(picture: Image.Image) -> Image.Image:
    if picture.mode in ("F", "I"):
        raise ValueError("32 bits a value have no known range: save it with 8 or 16")
    if picture.mode.startswith("I;16"):  # 16 bits a pixel: Pillow's own conversion would clip at 255
        values = np.asarray(picture)
        picture = Image.fromarray(np.clip(values >> 8, 0, 255).astype(np.uint8))
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert("RGB")
    return picture.convert("RGB")
