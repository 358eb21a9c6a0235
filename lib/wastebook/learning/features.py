"""What a frozen backbone sees: every photo once a view, kept on disk, so that heads and searches train in
seconds.

A kept feature is found again by what it depends on: the photo's content, the weights, the preprocessing, the
transform, seed and view, and the precision. Splits and draws are then only selections of rows.
"""

import copy
import hashlib
import sys
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn
from tqdm import tqdm

from wastebook import paths
from wastebook.errors import WastebookError
from wastebook.files import write_to_cache
from wastebook.learning.backbones import Backbone, as_input, load_pixels
from wastebook.photos.augment import check_transform, transform_photo
from wastebook.photos.decode import parallel_map, progress, thread_count

VERSION = 2  # raised whenever the same photo would get other features than before
BATCH_SIZE = 32  # the fastest on CPUs (the activations of more leave the cache), enough on GPUs
DECODED_BYTES = 1 << 30  # of decoded photos kept in memory between the views of one call


def extract_features(
    photos: pd.DataFrame,
    root: Path,
    backbone: Backbone,
    transform: str = "none",
    views: int = 1,
    seed: int = 0,
    precision: str = "auto",
    batch_size: int = BATCH_SIZE,
) -> np.ndarray:
    """(views, N, feature_width) float32: the features of each photo under fresh draws of `transform`.

    Photos are squeezed whole to the backbone's image size. `none` has one view only, all being the same.
    `precision`: `fp32`, `bf16` (autocast), or `auto` for bf16 where the processor computes in it. A view kept
    from an earlier call is read, not computed; each is kept as soon as it is whole. Where memory runs out the
    batch is halved, with a line that says so. WastebookError for an unknown transform or precision,
    PhotoError for a photo that cannot be read.
    """
    check_transform(transform)
    views = 1 if transform == "none" else views
    device = accelerator()
    bf16 = use_bf16(precision, device)
    facts = backbone._replace(network=None, weights="", note="")  # type: ignore[arg-type]
    key = hashlib.sha256(repr((VERSION, facts, bf16, device.type)).encode()).hexdigest()
    folder = paths.cache_folder("features", f"{backbone.name}-{key[:16]}")
    keep = DECODED_BYTES // (3 * backbone.image_size[0] * backbone.image_size[1]) if views > 1 else 0
    decode = lru_cache(keep)(lambda path: load_pixels(root / path, backbone.image_size))
    network: nn.Module | None = None
    result = np.empty((views, len(photos), backbone.feature_width), dtype=np.float32)
    for view in range(views):
        draw = "none" if transform == "none" else f"{transform}-{seed}-{view}"
        kept = _read(folder / f"{draw}.npz")
        missing = photos[~photos["sha256"].isin(kept)].drop_duplicates("sha256")
        if len(missing):
            network = network or for_inference(backbone).to(device)
            known = dict(_similar(folder, transform, seed))

            def load(rows: pd.DataFrame, draw: str = draw) -> list[tuple[str, bytes, np.ndarray]]:
                loaded = []
                for path, sha256 in zip(rows["path"], rows["sha256"], strict=True):
                    photo = transform_photo(decode(path), transform, f"{sha256} {draw}")
                    loaded.append((sha256, hashlib.sha256(photo.tobytes()).digest()[:16], photo))
                return loaded

            chunks = (missing.iloc[at : at + batch_size] for at in range(0, len(missing), batch_size))
            with progress(f"{backbone.name}, {transform}, view {view + 1} of {views}", len(missing)) as bar:
                kept |= _compute(
                    parallel_map(load, chunks), network, backbone, device, bf16, batch_size, known, bar
                )
            _write(folder / f"{draw}.npz", kept)
        result[view] = [kept[sha256][1] for sha256 in photos["sha256"]]
    return result


def accelerator() -> torch.device:
    """CUDA or MPS where present, else the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def use_bf16(precision: str, device: torch.device) -> bool:
    """Whether to compute in bfloat16 under `precision` (`auto`, `bf16` or `fp32`): `auto` where it is
    fast."""
    if precision not in ("auto", "bf16", "fp32"):
        raise WastebookError(f"There is no precision {precision!r}: name `auto`, `bf16` or `fp32`.")
    if precision == "auto" and device.type == "cuda":
        return torch.cuda.is_bf16_supported()
    if precision == "auto" and device.type == "cpu":
        able = torch.cpu.get_capabilities()
        return any(able.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16"))
    return precision == "bf16"


def for_inference(backbone: Backbone) -> nn.Module:
    """A copy of the backbone's network for the forward pass alone: channels last, and each BatchNorm folded
    into the convolution before it (a sixth faster, up to rounding) where that leaves the features as they
    were."""
    network = backbone.network
    folded = copy.deepcopy(network)
    for parent in folded.modules():
        before: tuple[str, Any] = ("", None)
        for name, layer in list(parent.named_children()):
            convolution = before[1]
            if (
                isinstance(layer, nn.BatchNorm2d)
                and isinstance(convolution, nn.Conv2d)
                and convolution.out_channels == layer.num_features
            ):
                setattr(parent, before[0], nn.utils.fuse_conv_bn_eval(convolution, layer))
                setattr(
                    parent, name, getattr(layer, "act", nn.Identity())
                )  # timm's BatchNormAct2d activates too
            before = (name, layer)
    probe = torch.randn(2, 3, *backbone.image_size, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        same = torch.allclose(network(probe), folded(probe), rtol=1e-3, atol=1e-3)
    chosen = folded if same else copy.deepcopy(network)
    return chosen.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def forward(
    network: nn.Module, backbone: Backbone, pixels: np.ndarray, device: torch.device, bf16: bool
) -> np.ndarray:
    """(N, feature_width) float32 features of (N, H, W, 3) uint8 pixels; the batch is halved where memory runs
    out."""
    try:
        with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            return network(as_input(backbone, torch.from_numpy(pixels).to(device))).float().cpu().numpy()
    except RuntimeError as error:
        if not out_of_memory(error):
            raise
        if len(pixels) == 1:
            raise WastebookError(
                f"Not enough memory for one photo through {backbone.name}: lower image_size."
            ) from error
    half = (len(pixels) + 1) // 2
    print(f"Out of memory with {len(pixels)} photos at once: going on with {half}.", file=sys.stderr)
    parts = (pixels[:half], pixels[half:])
    return np.concatenate([forward(network, backbone, part, device, bf16) for part in parts])


def out_of_memory(error: RuntimeError) -> bool:
    """Whether torch says that memory has run out (the CPU's allocator raises no error of its own kind)."""
    return isinstance(error, torch.OutOfMemoryError) or "allocate memory" in str(error)


Kept = dict[
    str, tuple[bytes, np.ndarray]
]  # by the photo's SHA-256: the hash of the pixels shown, the features


def _compute(
    chunks: Iterator[list[tuple[str, bytes, np.ndarray]]],
    network: nn.Module,
    backbone: Backbone,
    device: torch.device,
    bf16: bool,
    batch_size: int,
    known: dict[bytes, np.ndarray],
    bar: tqdm,
) -> Kept:
    """The features of the loaded photos. Pixels met before (an unflipped draw of a flip, say) are not
    computed again."""
    torch.set_num_threads(thread_count())
    shown: dict[str, bytes] = {}
    waiting: dict[bytes, np.ndarray] = {}

    def compute(count: int) -> None:
        batch = list(waiting)[:count]
        pixels = np.stack([waiting.pop(pixel_hash) for pixel_hash in batch])
        # Always whole batches: kernels may round otherwise for other batch sizes, and features must not
        # depend on what else was asked for.
        filled = np.concatenate([pixels, np.repeat(pixels[-1:], batch_size - len(pixels), axis=0)])
        features = forward(network, backbone, filled, device, bf16)
        known.update(zip(batch, features, strict=False))

    for chunk in chunks:
        for sha256, pixel_hash, photo in chunk:
            shown[sha256] = pixel_hash
            if pixel_hash not in known:
                waiting[pixel_hash] = photo
        while len(waiting) >= batch_size:
            compute(batch_size)
        bar.update(len(chunk))
    if waiting:
        compute(len(waiting))
    return {sha256: (pixel_hash, known[pixel_hash]) for sha256, pixel_hash in shown.items()}


def _similar(folder: Path, transform: str, seed: int) -> Iterable[tuple[bytes, np.ndarray]]:
    """Pixel hashes and features of the kept views that may show the very same pixels as another draw."""
    for file in [folder / "none.npz", *folder.glob(f"{transform}-{seed}-*.npz")]:
        yield from _read(file).values()


def _read(file: Path) -> Kept:
    if not file.exists():
        return {}
    with np.load(file, allow_pickle=False) as kept:
        photos, pixels = kept["photos"].tolist(), kept["pixels"]
        return {
            sha256: (pixel_hash.tobytes(), feature)
            for sha256, pixel_hash, feature in zip(photos, pixels, kept["features"], strict=True)
        }


def _write(file: Path, kept: Kept) -> None:
    """Keep a view, whole or not at all; what another process has kept meanwhile for other photos stays."""
    kept = _read(file) | kept
    pixels = np.array([list(pixel_hash) for pixel_hash, _ in kept.values()], dtype=np.uint8)
    features = np.stack([feature for _, feature in kept.values()])
    with write_to_cache(file) as partial, partial.open("wb") as stream:
        np.savez(stream, photos=np.array(list(kept)), pixels=pixels, features=features)
