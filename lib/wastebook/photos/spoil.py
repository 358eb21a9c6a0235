"""Photos made worse in the ways in which photos are bad: out of focus, noisy, dark, turned, saved small.

After Hendrycks and Dietterich (2019), with strengths in units that one can picture.
"""

import zlib

import cv2
import numpy as np

# What each kind's strength is, and the strengths of the book's curves, from none to a lot.
KINDS: dict[str, tuple[str, tuple[float, ...]]] = {
    "blur": ("radius, % of the width", (0, 0.25, 0.5, 1, 2)),
    "noise": ("standard deviation, of 255", (0, 10, 20, 40, 80)),
    "darkness": ("light lost, %", (0, 40, 60, 80, 90)),
    "rotation": ("degrees", (0, 10, 20, 45, 90)),
    "JPEG": ("100 − quality", (0, 50, 80, 90, 95)),
}


def spoil(photo: np.ndarray, kind: str, strength: float) -> np.ndarray:
    """The photo, (H, W, 3) uint8 in and out, with `strength` of a kind of `KINDS`; 0 leaves it as it is. The
    same photo gets the same noise."""
    if not strength:
        return photo
    height, width = photo.shape[:2]
    if kind == "blur":
        return cv2.GaussianBlur(photo, (0, 0), strength / 100 * width)
    if kind == "noise":
        random = np.random.default_rng(zlib.crc32(photo.tobytes()))
        noise = random.standard_normal(photo.shape, np.float32) * strength
        return np.clip(photo + noise, 0, 255).astype(np.uint8)
    if kind == "darkness":
        return (photo * (1 - strength / 100)).astype(np.uint8)
    if kind == "rotation":
        turn = cv2.getRotationMatrix2D((width / 2, height / 2), strength, 1)
        return cv2.warpAffine(photo, turn, (width, height), borderMode=cv2.BORDER_REFLECT_101)
    _, saved = cv2.imencode(".jpg", photo, [cv2.IMWRITE_JPEG_QUALITY, int(100 - strength)])
    return np.asarray(cv2.imdecode(saved, cv2.IMREAD_COLOR))  # in and out in the same order of channels
