"""Photos as they might also have been taken: the augmentations of the book, by name.

The first six are the study of FIUBA (rotation, flips, colour jitter, all geometric ones together, or none),
the others stand beside it. A draw depends on its `key` alone, so views do not depend on threads, batches or
order.
"""

import hashlib
import threading
from collections.abc import Callable
from functools import cache

import numpy as np
import torch
from PIL import Image

import wastebook.photos.torchvision_import  # noqa: F401 (mends the import of torchvision, so it comes first)

# isort: split
from torchvision.transforms import v2

from wastebook.errors import WastebookError, did_you_mean

_BILINEAR = v2.InterpolationMode.BILINEAR
_FACTORIES: dict[str, Callable[[tuple[int, int]], v2.Transform]] = {
    "rotation": lambda size: v2.RandomRotation(25, interpolation=_BILINEAR),
    "horizontal_flip": lambda size: v2.RandomHorizontalFlip(),
    "vertical_flip": lambda size: v2.RandomVerticalFlip(),
    "colour_jitter": lambda size: v2.ColorJitter(0.2, 0.2, 0.2, 0.1),
    "geometric": lambda size: v2.Compose(
        [v2.RandomRotation(25, interpolation=_BILINEAR), v2.RandomHorizontalFlip(), v2.RandomVerticalFlip()]
    ),
    "random_resized_crop": lambda size: v2.RandomResizedCrop(size, scale=(0.5, 1.0), interpolation=_BILINEAR),
    "trivial_augment": lambda size: v2.TrivialAugmentWide(interpolation=_BILINEAR),
    "mild": lambda size: v2.Compose(  # what fine-tuning sees: other places, sides and lights, no other shapes
        [
            v2.RandomResizedCrop(size, scale=(0.6, 1.0), ratio=(0.9, 1.1), interpolation=_BILINEAR),
            v2.RandomHorizontalFlip(),
            v2.RandomVerticalFlip(),
            v2.ColorJitter(0.2, 0.2, 0.2),
        ]
    ),
}
TRANSFORMS = ("none", *_FACTORIES)
_DRAWING = threading.Lock()  # torchvision draws from torch's one global generator


def check_transform(name: str) -> None:
    """WastebookError, with the nearest names, where there is no transform `name`."""
    if name not in TRANSFORMS:
        raise WastebookError(f"There is no transform {name!r}. {did_you_mean(name, TRANSFORMS)}")


def transform_photo(photo: np.ndarray, name: str, key: str) -> np.ndarray:
    """A random copy of `photo`, (H, W, 3) uint8 in and out, under the transform `name`; the same for the same
    `key`. WastebookError for an unknown name."""
    check_transform(name)
    if name == "none":
        return photo
    transform = _make(name, photo.shape[:2])
    seed = int.from_bytes(hashlib.sha256(key.encode()).digest()[:7])
    with _DRAWING, torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return np.asarray(transform(Image.fromarray(photo)))


@cache
def _make(name: str, size: tuple[int, int]) -> v2.Transform:
    return _FACTORIES[name](size)
