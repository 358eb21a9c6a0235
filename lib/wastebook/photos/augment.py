"""Photos as they might also have been taken, for learning; and made worse, to see what a model bears."""

import hashlib
import threading
import zlib
from functools import cache
from typing import Any

import cv2
import numpy as np
from PIL import Image

from wastebook.errors import WastebookError, did_you_mean
from wastebook.photos.scenes import MENDS, SCENES, change_scene

TRANSFORMS = (  # the first row is the study of FIUBA; `mild` is what fine-tuning sees
    *("none", "rotation", "horizontal_flip", "vertical_flip", "colour_jitter", "geometric"),
    *("random_resized_crop", "trivial_augment", "mild"),
)
# What each kind's strength is, and those of the book's curves (after Hendrycks and Dietterich 2019).
KINDS: dict[str, tuple[str, tuple[float, ...]]] = {
    "blur": ("radius, % of the width", (0, 0.25, 0.5, 1, 2)),
    "noise": ("standard deviation, of 255", (0, 10, 20, 40, 80)),
    "darkness": ("light lost, %", (0, 40, 60, 80, 90)),
    "rotation": ("degrees", (0, 10, 20, 45, 90)),
    "JPEG": ("100 − quality", (0, 50, 80, 90, 95)),
}
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

    bilinear = v2.InterpolationMode.BILINEAR
    rotation, flips = v2.RandomRotation(25, bilinear), [v2.RandomHorizontalFlip(), v2.RandomVerticalFlip()]
    place = v2.RandomResizedCrop(size, scale=(0.6, 1.0), ratio=(0.9, 1.1), interpolation=bilinear)
    return {
        "rotation": rotation,
        "horizontal_flip": flips[0],
        "vertical_flip": flips[1],
        "colour_jitter": v2.ColorJitter(0.2, 0.2, 0.2, 0.1),
        "geometric": v2.Compose([rotation, *flips]),
        "random_resized_crop": v2.RandomResizedCrop(size, scale=(0.5, 1.0), interpolation=bilinear),
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
