"""Photos as they might also have been taken, for learning; made worse, to see what a model bears; and as they
might have been taken elsewhere, one thing changed at a time, the object left as it is."""

import hashlib
import threading
import zlib
from functools import cache
from typing import Any

import cv2
import numpy as np
from PIL import Image

from wastebook.data.drawing import make_noise
from wastebook.errors import WastebookError, did_you_mean

TRANSFORMS = (  # the first row is the study of FIUBA; `mild` is what fine-tuning sees
    *("none", "rotation", "horizontal_flip", "vertical_flip", "colour_jitter", "geometric"),
    *("filled_rotation", "random_resized_crop", "trivial_augment", "mild"),
)
# What each kind's strength is, and those of the book's curves (after Hendrycks and Dietterich 2019).
KINDS: dict[str, tuple[str, tuple[float, ...]]] = {
    "blur": ("radius, % of the width", (0, 0.25, 0.5, 1, 2)),
    "noise": ("standard deviation, of 255", (0, 10, 20, 40, 80)),
    "darkness": ("light lost, %", (0, 40, 60, 80, 90)),
    "rotation": ("degrees", (0, 10, 20, 45, 90)),
    "JPEG": ("100 − quality", (0, 50, 80, 90, 95)),
}
BOARD, FLOOR = (212.0, 209.0, 204.0), (120.0, 120.0, 120.0)  # of a studio like TrashNet's, of a room
SCENES = {  # what each changes in a photo of home, for a reader
    "cut_out": "cut out, its own board drawn anew",
    "grey_ground": "on a rough grey ground",
    "any_ground": "on a rough ground of any tone",
    "farther": "from farther away",
    "closer": "from closer",
    "pressed": "in a picture of another shape",
    "bent": "bent out of shape",
    "other_light": "under another light",
    "blurred": "out of focus",
}
MENDS = {  # and in a photo from elsewhere, so that it looks more like those of home
    "closer": SCENES["closer"],
    "grey_world": "colours made grey on average",
    "box_crop": "cropped to the thing",
    "white_board": "cut out and laid on a white board",
}
ZOOMS = {"farther": (1.6, 1.6), "closer": (0.7, 0.7), "pressed": (0.75, 1.0)}  # of what is seen, each way
_DRAWING = threading.Lock()  # torchvision draws from torch's one global generator


def check_transform(name: str) -> None:
    """WastebookError, with the nearest names, where there is no transform or scene `name`."""
    known = [*TRANSFORMS, *SCENES, *MENDS]
    if name not in known:
        raise WastebookError(f"There is no transform {name!r}. {did_you_mean(name, known)}")


def transform_photo(photo: np.ndarray, name: str, key: str) -> np.ndarray:
    """A random copy of `photo`, (H, W, 3) uint8 in and out, under the transform or scene `name`; the same
    for the same `key`, whatever the threads, batches or order."""
    check_transform(name)
    if name == "none":
        return photo
    seed = int.from_bytes(hashlib.sha256(key.encode()).digest()[:7])
    if name in SCENES | MENDS:
        return change_scene(photo, name, seed)
    if name == "filled_rotation":
        return corrupt(photo, "rotation", np.random.default_rng(seed).uniform(-25, 25))
    transform = _make_transform(name, photo.shape[:2])
    import torch

    with _DRAWING, torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return np.asarray(transform(Image.fromarray(photo)))


@cache
def _make_transform(name: str, size: tuple[int, int]) -> Any:
    """torchvision's transform, which is slow to import, for photos of `size` (height, width)."""
    import wastebook.photos.torchvision_import  # noqa: F401 (mends the import of torchvision)

    from torchvision.transforms import v2

    bilinear, place = v2.InterpolationMode.BILINEAR, v2.RandomResizedCrop(size, (0.6, 1.0), (0.9, 1.1))
    rotation, flips = v2.RandomRotation(25, bilinear), [v2.RandomHorizontalFlip(), v2.RandomVerticalFlip()]
    return {
        "rotation": rotation,
        "horizontal_flip": flips[0],
        "vertical_flip": flips[1],
        "colour_jitter": v2.ColorJitter(0.2, 0.2, 0.2, 0.1),
        "geometric": v2.Compose([rotation, *flips]),
        "random_resized_crop": v2.RandomResizedCrop(size, (0.5, 1.0)),
        "trivial_augment": v2.TrivialAugmentWide(interpolation=bilinear),
        "mild": v2.Compose([place, *flips, v2.ColorJitter(0.2, 0.2, 0.2)]),
    }[name]


def corrupt(photo: np.ndarray, kind: str, strength: float) -> np.ndarray:
    """The photo, (H, W, 3) uint8 in and out, with `strength` of a kind of `KINDS`; 0 leaves it as it is."""
    if not strength:
        return photo
    height, width = photo.shape[:2]
    if kind == "blur":
        return cv2.GaussianBlur(photo, (0, 0), strength / 100 * width)
    if kind == "noise":
        random = np.random.default_rng(zlib.crc32(photo.tobytes()))  # the same noise for the same photo
        noise = random.standard_normal(photo.shape, np.float32) * strength
        return np.clip(photo + noise, 0, 255).astype(np.uint8)
    if kind == "darkness":
        return (photo * (1 - strength / 100)).astype(np.uint8)
    if kind == "rotation":
        turn = cv2.getRotationMatrix2D((width / 2, height / 2), strength, 1)
        return cv2.warpAffine(photo, turn, (width, height), borderMode=cv2.BORDER_REFLECT_101)
    _, saved = cv2.imencode(".jpg", photo, [cv2.IMWRITE_JPEG_QUALITY, int(100 - strength)])
    return np.asarray(cv2.imdecode(saved, cv2.IMREAD_COLOR))  # in and out in the same order of channels


def change_scene(photo: np.ndarray, name: str, seed: int) -> np.ndarray:
    """The photo, (H, W, 3) uint8 in and out, changed as a scene or mend says; chance goes by `seed`."""
    random, size = np.random.default_rng(seed), photo.shape[:2]
    means, (board, mask) = photo.mean(axis=(0, 1)), find_object(photo)
    if name in ("cut_out", "grey_ground", "any_ground", "white_board"):
        tone = random.uniform(60, 200) + random.uniform(-25, 25, 3) if name == "any_ground" else FLOOR
        grounds = {"cut_out": board, "white_board": np.array(BOARD)}
        ground = grounds[name] if name in grounds else tone + 12 * _bumps(random, size, (6, 40, 200))
        changed = ground + cv2.GaussianBlur(mask, (0, 0), 1.0)[..., None] * (photo - ground)
    elif name == "other_light":
        changed = photo * random.uniform(0.6, 0.9) * (1 + random.uniform(-0.15, 0.15) * np.array((1, 0, -1)))
    elif name == "grey_world":
        changed = photo * (means.mean() / np.maximum(means, 1))
    elif name == "blurred":
        changed = cv2.GaussianBlur(photo, (0, 0), 0.006 * size[1]).astype(float)
    else:
        # What differs from the board moves, the board stays: beyond the photo's edges there is more of it.
        changed = board + cv2.remap(photo - board, *_places(mask, name, random), cv2.INTER_LINEAR)
    return np.clip(changed + 0.5, 0, 255).astype(np.uint8)


def find_object(photo: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The ground that a photo's edges show, (H, W, 3) of 0-255, carried on evenly below the object, and where
    the object is, (H, W) float32 of 0 or 1: the largest thing that is of another colour than that ground."""
    height, width = photo.shape[:2]
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    design, edge = np.stack([np.ones_like(x), x, y], axis=-1), np.maximum(np.abs(x), np.abs(y)) > 0.92
    ground = design @ np.linalg.lstsq(design[edge], photo[edge].astype(float), rcond=None)[0]
    apart = np.minimum(np.linalg.norm(photo - ground, axis=2), 255).astype(np.uint8)
    _, other = cv2.threshold(cv2.GaussianBlur(apart, (5, 5), 0), 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    joined = cv2.morphologyEx(other, cv2.MORPH_CLOSE, np.ones((9, 9), np.uint8))
    outlines, _ = cv2.findContours(joined, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    mask, largest = np.zeros((height, width), np.float32), sorted(outlines, key=cv2.contourArea)[-1:]
    return ground, cv2.drawContours(mask, largest, -1, 1.0, -1)


def _places(mask: np.ndarray, name: str, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Where in the photo each pixel of the changed one is taken from: columns and rows, (H, W) float32."""
    height, width = size = mask.shape
    rows, columns = np.mgrid[0:height, 0:width] + 0.5
    if name == "bent":
        rows, columns = (at + 0.05 * height * _bumps(random, size, (5,))[..., 0] for at in (rows, columns))
    left, top, wide, high = 0, 0, width, height
    if name == "box_crop" and mask.any():
        left, top, wide, high = cv2.boundingRect(mask.astype(np.uint8))
    across, down = ZOOMS.get(name, (1.2, 1.2) if name == "box_crop" else (1.0, 1.0))
    columns = left + wide * (0.5 + across * (columns / width - 0.5))
    rows = top + high * (0.5 + down * (rows / height - 0.5))
    return (columns - 0.5).astype(np.float32), (rows - 0.5).astype(np.float32)


def _bumps(random: np.random.Generator, size: tuple[int, ...], cells: tuple[int, ...]) -> np.ndarray:
    """A rough ground, (H, W, 1): the sum of smooth bumps, so many of them from left to right."""
    return np.sum([cv2.resize(make_noise(random, n), (size[1], size[0])) for n in cells], axis=0)[..., None]
