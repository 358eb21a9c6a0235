"""What a frozen backbone sees: every photo once per view, kept on disk, so that heads train in seconds.

A kept feature is found again by what it depends on: the photo's content, the weights, the preprocessing, the
precision, and the transform with its seed and view. Splits and draws are then only selections of rows.
"""

import hashlib
import timeit
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache, partial
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from wastebook.cache import cache_folder
from wastebook.files import atomic_write
from wastebook.photos.augment import check_transform, transform_photo
from wastebook.photos.decode import parallel_map, progress, read_photo, resize_antialiased

VERSION = 3  # raised whenever the same photo would get other features than before
BATCH_SIZE = 32  # the fastest on CPUs (the activations of more leave the cache), enough on GPUs
ROUNDS = 3  # of what is timed
DECODED_BYTES = 1 << 30  # of decoded photos kept in memory between the views of one call

Forward = Callable[[np.ndarray], np.ndarray]  # (BATCH_SIZE, H, W, 3) uint8 to (BATCH_SIZE, feature_width)
Shown = tuple[str, bytes, np.ndarray]  # a photo's SHA-256, the hash of the pixels shown and the pixels
Kept = dict[str, tuple[bytes, np.ndarray]]  # by a photo's SHA-256: the hash of the pixels shown, the features


class Backbone(NamedTuple):
    """A network without its classifier, and what it expects to be fed.

    `network` is torch's and takes (N, 3, H, W) floats normalised by `mean` and `std` (of values in 0-1), or
    Keras' and takes (N, H, W, 3) values 0-255 (then these are None). It gives (N, feature_width) features.
    `image_size` is (height, width) in pixels. `weights` is `imagenet`, `random` or a path, `sha256` theirs,
    `note` what a reader should know of them beside a score.
    """

    name: str
    network: Any
    image_size: tuple[int, int]
    feature_width: int
    weights: str
    sha256: str
    note: str = ""
    mean: tuple[float, float, float] | None = None
    std: tuple[float, float, float] | None = None


def extract_features(
    photos: pd.DataFrame,
    root: Path,
    backbone: Backbone,
    transform: str = "none",
    views: int = 1,
    seed: int = 0,
    precision: str = "auto",
) -> np.ndarray:
    """What a backbone sees in each photo, squeezed whole to its image size; from the cache where it is there.
    WastebookError for an unknown transform or precision, and a photo that cannot be read.

    Parameters
    ----------
    photos, root : table with `path` (below the folder `root`) and `sha256`
    backbone : from `load_backbone`, or of Keras'
    transform : of the photos, a name of `wastebook.photos.augment.TRANSFORMS`
    views, seed : how many fresh draws of the transform, and of which seed; `none` has one view
    precision : `fp32`, `bf16`, or `auto` for bf16 where the processor computes in it; Keras has fp32

    Returns
    -------
    (views, N, feature_width) float32

    Examples
    --------
    >>> extract_features(data.photos, data.root, backbone, "rotation", views=5).shape  # doctest: +SKIP
    (5, 2527, 512)
    """
    check_transform(transform)
    draws = ["none"] if transform == "none" else [f"{transform}-{seed}-{view}" for view in range(views)]
    return _see(photos, root, backbone, transform, draws, precision)


def _see(
    photos: pd.DataFrame, root: Path, backbone: Backbone, transform: str, draws: list[str], precision: str
) -> np.ndarray:
    """The features under each of some `draws`. Each view is kept as soon as it is whole; pixels met before
    (an unflipped draw of a flip, say) are not computed again."""
    if backbone.mean is None:
        from wastebook.learning.keras_networks import prepare_forward
    else:
        from wastebook.learning.backbones import prepare_forward
    key, forward = prepare_forward(backbone, precision)  # the first names all that the second depends on
    size, width = backbone.image_size, backbone.feature_width
    folder = cache_folder("features", f"{key}-{size[0]}x{size[1]}-{VERSION}")
    kept = {draw: _read(folder / f"{draw}.npz", width) for draw in {"none", *draws}}
    known = {pixels: features for view in kept.values() for pixels, features in view.values()}
    held = DECODED_BYTES // (3 * size[0] * size[1]) if len(draws) > 1 else 0
    decode = lru_cache(held)(lambda path: resize_antialiased(read_photo(root / path), size))
    for draw in draws:
        missing = photos[~photos["sha256"].isin(kept[draw])].drop_duplicates("sha256")
        if missing.empty:
            continue
        files = zip(missing["path"], missing["sha256"], strict=True)
        shown = parallel_map(partial(_show, decode, transform, draw), files)
        kept[draw] |= _compute(progress(f"{key}, {draw}", len(missing), shown), forward, known)
        _write(folder / f"{draw}.npz", kept[draw], width)
    found = [[kept[draw][sha256][1] for sha256 in photos["sha256"]] for draw in draws]
    return np.array(found, dtype=np.float32).reshape(len(draws), len(photos), width)


def short_hash(*facts: Any) -> str:
    """A name for what depends on nothing but `facts`: 16 digits of the SHA-256 of their `repr`."""
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:16]


def time_forward(forward: Forward, pixels: np.ndarray) -> float:
    """Milliseconds that a photo of the batch `pixels` takes through `forward`: the least of some rounds, for
    whatever else the machine does only adds to it."""
    _, *seconds = timeit.repeat(lambda: forward(pixels), number=1, repeat=ROUNDS + 1)  # the first: a warm-up
    return 1000 * min(seconds) / len(pixels)


def _show(decode: Callable[[str], np.ndarray], transform: str, draw: str, file: tuple[str, str]) -> Shown:
    """A photo, of this path and SHA-256, as it is drawn."""
    path, sha256 = file
    pixels = transform_photo(decode(path), transform, f"{sha256} {draw}")
    return sha256, hashlib.sha256(pixels.tobytes()).digest()[:16], pixels


def _compute(photos: Iterable[Shown], forward: Forward, known: dict[bytes, np.ndarray]) -> Kept:
    """The features of the photos shown; those of pixels met before are in `known`, which grows by the others.

    Always whole batches: kernels may round otherwise for other sizes, and a photo's features must not depend
    on what else was asked for.
    """
    hashes: dict[str, bytes] = {}

    def unmet() -> Iterator[tuple[bytes, np.ndarray]]:
        for sha256, pixel_hash, pixels in photos:
            hashes[sha256] = pixel_hash
            if pixel_hash not in known:
                known[pixel_hash] = pixels  # until its features are
                yield pixel_hash, pixels

    waiting = unmet()
    while batch := dict(islice(waiting, BATCH_SIZE)):
        pixels = list(batch.values())
        pixels += pixels[-1:] * (BATCH_SIZE - len(pixels))
        known.update(zip(batch, np.asarray(forward(np.stack(pixels)), np.float32), strict=False))
    return {sha256: (pixel_hash, known[pixel_hash]) for sha256, pixel_hash in hashes.items()}


def _read(file: Path, width: int) -> Kept:
    """A kept view; nothing where there is none, or where it is damaged, so that it is made anew."""
    try:
        with np.load(file, allow_pickle=False) as kept:
            photos, pixels, features = (kept[name] for name in ("photos", "pixels", "features"))
        features = features.astype(np.float32, casting="equiv").reshape(len(photos), width)
        hashes = [pixel_hash.tobytes() for pixel_hash in pixels]
        return dict(zip(photos.tolist(), zip(hashes, features, strict=True), strict=True))
    except Exception:  # a damaged archive raises errors of many kinds
        return {}


def _write(file: Path, kept: Kept, width: int) -> None:
    """Keep a view, whole or not at all; what another process has kept meanwhile for other photos stays."""
    kept = _read(file, width) | kept
    pixels = np.array([list(pixel_hash) for pixel_hash, _ in kept.values()], dtype=np.uint8)
    features = np.stack([features for _, features in kept.values()])
    with atomic_write(file) as partial, partial.open("wb") as stream:
        np.savez(stream, photos=np.array(list(kept)), pixels=pixels, features=features)
