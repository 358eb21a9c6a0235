"""Backbones by name, through timm: a network that gives features, the preprocessing of its weights, and its
forward pass on this machine."""

import copy
import hashlib
import sys
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import huggingface_hub
import numpy as np
import pandas as pd
import torch
import yaml
from torch import nn

import wastebook.photos.torchvision_import  # noqa: F401 (mends the import of torchvision, so it comes before timm)

# isort: split
import timm

from wastebook import paths
from wastebook.errors import WastebookError, did_you_mean
from wastebook.files import file_hash
from wastebook.learning.weights import SETTLING_PHOTOS, choose_weights, files_called, server_answers
from wastebook.photos.decode import decode_photos

# The book's names for the networks that it compares, each with the weights meant. `efficientnet_b0` is timm's
# `tf_efficientnet_b0`: the original weights of Tan and Le (2019), the ones in Keras, and padded as they were
# trained; timm's own `efficientnet_b0` is another training of the same layers. ResNet18 is torchvision's
# first set.
BOOK_NAMES = {"efficientnet_b0": "tf_efficientnet_b0.aa_in1k", "resnet18": "resnet18.tv_in1k"}
SMALLEST = 32  # pixels of a side; less leaves nothing after five halvings


class Backbone(NamedTuple):
    """A network without its classifier, and what it expects to be fed.

    `network` takes (N, 3, H, W) floats normalised by `mean` and `std` (of values in 0-1) and gives
    (N, feature_width) features; `image_size` is (height, width) in pixels. `weights` is `imagenet`, `random`
    or the path of a file, `sha256` theirs, `note` what a reader should know of them beside a score (often
    nothing).
    """

    name: str
    network: nn.Module
    image_size: tuple[int, int]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    feature_width: int
    weights: str
    sha256: str
    note: str = ""


def load_backbone(
    name: str,
    weights: str = "auto",
    image_size: int | tuple[int, int] | None = None,
    photos: pd.DataFrame | None = None,
    root: Path | None = None,
    seed: int = 0,
) -> Backbone:
    """A network by its name, in eval mode, without its classifier.

    Parameters
    ----------
    name : `resnet18`, `efficientnet_b0`, or any name of timm's, with the tag of its weights or without
    weights : `imagenet` (a file in `WASTEBOOK_WEIGHTS`, the hub's cache, or a download), `random`, `auto`
        (ImageNet's where at hand or the hub answers within 5 seconds, else random), or the path of a
        .safetensors or PyTorch file of tensors
    image_size : the side of a square or (height, width) in pixels, 32 or more; the weights' own where None
    photos, root : photos for random weights, and the folder that they are in: a pass over some of them sets
        the BatchNorm statistics, without which deep random networks collapse
    seed : of random weights

    Raises
    ------
    WastebookError for an unknown name, and for weights that cannot be had, do not fit or have another hash
    than they should.

    Examples
    --------
    >>> load_backbone("resnet18", "imagenet", (288, 384)).feature_width  # doctest: +SKIP
    512
    """
    timm_name = BOOK_NAMES.get(name, name)
    if not timm.is_model(timm_name):
        known = [*BOOK_NAMES, *timm.list_models()]
        raise WastebookError(f"There is no backbone {name!r}. {did_you_mean(name, known)}")
    weights, file = choose_weights(weights, partial(_imagenet_file, name, timm_name))
    network, size, config = _build(timm_name, image_size, seed)
    with torch.inference_mode():
        width = network(torch.zeros(1, 3, *size)).shape[1]
    facts: dict[str, Any] = {"mean": tuple(config["mean"]), "std": tuple(config["std"]), "weights": weights}
    backbone = Backbone(name, network, size, feature_width=width, sha256="", **facts)
    if file is not None:
        return backbone._replace(**_load_weights(network, file))
    if photos is None or root is None:
        raise WastebookError(
            f"{name} with random weights needs photos to set its BatchNorm statistics: give them."
        )
    _settle(backbone, photos, root)
    return backbone._replace(sha256=network_hash(network))


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
    """A copy of the network for the forward pass alone: channels last, and each BatchNorm folded into the
    convolution before it (a sixth faster, up to rounding) where that leaves the features as they were."""
    folded = copy.deepcopy(backbone.network)
    for parent in folded.modules():
        name, before = "", None
        for after, layer in list(parent.named_children()):
            fits = isinstance(layer, nn.BatchNorm2d) and isinstance(before, nn.Conv2d)
            if fits and before.out_channels == layer.num_features:
                setattr(parent, name, nn.utils.fuse_conv_bn_eval(before, layer))
                setattr(parent, after, getattr(layer, "act", nn.Identity()))  # timm's activate too
            name, before = after, layer
    probe = torch.randn(2, 3, *backbone.image_size, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        same = torch.allclose(backbone.network(probe), folded(probe), rtol=1e-3, atol=1e-3)
    chosen: Any = folded if same else copy.deepcopy(backbone.network)
    return chosen.to(memory_format=torch.channels_last)


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
            told = f"Not enough memory for one photo through {backbone.name}: lower image_size."
            raise WastebookError(told) from error
    half = (len(pixels) + 1) // 2
    print(f"Out of memory with {len(pixels)} photos at once: going on with {half}.", file=sys.stderr)
    parts = (pixels[:half], pixels[half:])
    return np.concatenate([forward(network, backbone, part, device, bf16) for part in parts])


def out_of_memory(error: RuntimeError) -> bool:
    """Whether torch says that memory has run out (the CPU's allocator raises no error of its own kind)."""
    return isinstance(error, torch.OutOfMemoryError) or "allocate memory" in str(error)


def as_input(backbone: Backbone, pixels: torch.Tensor) -> torch.Tensor:
    """(N, H, W, 3) uint8 pixels as the network takes them: (N, 3, H, W) float32, normalised, channels
    last."""
    count, height, width, _ = pixels.shape
    mean, std = (torch.tensor(each, device=pixels.device).mul(255) for each in (backbone.mean, backbone.std))
    # A row of pixels at once: products with three channels alone are too short to be fast.
    scale, shift = std.reciprocal().repeat(width), (-mean / std).repeat(width)
    rows = torch.addcmul(shift, pixels.reshape(-1, 3 * width).float(), scale)
    return rows.view(count, height, width, 3).permute(0, 3, 1, 2)


def network_hash(network: nn.Module) -> str:
    """SHA-256 over a network's weights and statistics, in the order of their names."""
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(name.encode() + tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _build(
    timm_name: str, image_size: int | tuple[int, int] | None, seed: int
) -> tuple[nn.Module, tuple[int, int], dict[str, Any]]:
    """The network with weights drawn by `seed`, the (height, width) it will be fed and timm's data
    configuration."""
    given = (image_size, image_size) if isinstance(image_size, int) else image_size
    if given is not None and (len(given) != 2 or min(given) < SMALLEST):
        raise WastebookError(
            f"image_size={image_size}: give a side of at least {SMALLEST} pixels, or (height, width)."
        )
    declared = timm.get_pretrained_cfg(timm_name)
    # Networks with positions learned for one size, such as vision transformers, have to be built for another.
    fixed: dict[str, Any] = {"img_size": given} if given and declared and declared.fixed_input_size else {}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = timm.create_model(timm_name, pretrained=False, num_classes=0, **fixed).eval()
    config = timm.data.resolve_model_data_config(network)
    return network, given or tuple(config["input_size"][1:]), config


@cache
def _known_weights() -> dict[str, dict[str, Any]]:
    """The ImageNet weights of `data/weights/imagenet.yml` by their SHA-256."""
    cards = yaml.safe_load((paths.CARDS / "weights" / "imagenet.yml").read_text(encoding="utf-8"))
    return {card["sha256"]: card for card in cards}


def _imagenet_file(name: str, timm_name: str, required: bool) -> Path | None:
    """timm's ImageNet weights in `WASTEBOOK_WEIGHTS`, in the hub's cache or downloaded; None (or an error
    where they are `required`) where they cannot be had."""
    if own := _own_file(name, timm_name):
        return own
    repository = getattr(timm.get_pretrained_cfg(timm_name), "hf_hub_id", None)
    if repository:
        cached = huggingface_hub.try_to_load_from_cache(repository, "model.safetensors")
        if isinstance(cached, str):
            return Path(cached)
        if server_answers(huggingface_hub.constants.ENDPOINT):
            try:
                return Path(huggingface_hub.hf_hub_download(repository, "model.safetensors"))
            except (OSError, huggingface_hub.errors.HfHubHTTPError) as error:
                told = f"Could not download {repository} ({type(error).__name__}): try again, or set "
                raise WastebookError(told + "WASTEBOOK_WEIGHTS.") from error
    if required:
        raise WastebookError(
            f"No ImageNet weights for {name}: the hub does not answer (or has none).\n"
            f"Set WASTEBOOK_WEIGHTS to a folder with {timm_name}.safetensors, or use `random`."
        )
    return None


def _own_file(name: str, timm_name: str) -> Path | None:
    """The file in `WASTEBOOK_WEIGHTS` that is called like the network, with the tag of its training
    (`.aa_in1k`) or without; for a `name` with a tag, the latter only if its hash is known for it."""
    network = timm_name.split(".")[0]
    known = {
        sha256: card for sha256, card in _known_weights().items() if card["backbone"].split(".")[0] == network
    }
    for place in paths.own_copies("WASTEBOOK_WEIGHTS"):
        for called in dict.fromkeys((timm_name, network)):
            for file in files_called(f"{called}.safetensors", place):
                card = known.get(file_hash(file))
                if card is None and file.stat().st_size in [each["size"] for each in known.values()]:
                    raise WastebookError(
                        f"{file} is damaged: its size is that of {network}'s weights, its SHA-256 is not.\n"
                        f"Get it anew, or name its path as `weights` to use it all the same."
                    )
                if "." not in name or called == name or (card and card["backbone"] == name):
                    return file
    return None


def _load_weights(network: nn.Module, file: Path) -> dict[str, str]:
    """Load `file` into `network`, whatever classifier it has besides left out; gives the file's `sha256` and
    the `note` that goes with it. WastebookError that names the first tensor that does not fit."""
    sha256 = file_hash(file)
    stored = file.resolve().name  # the hub's cache names a file by its hash
    if len(stored) == 64 and stored != sha256:
        raise WastebookError(f"{file} is damaged (its SHA-256 is not its name): delete it and try again.")
    try:
        tensors = timm.models.load_state_dict(str(file), use_ema=False)
    except Exception as error:  # damaged files raise errors of many kinds; none of them is executed
        raise WastebookError(f"{file} holds no weights that can be read ({type(error).__name__}).") from error
    classifiers = getattr(network, "pretrained_cfg", {}).get("classifier") or ()
    classifiers = (classifiers,) if isinstance(classifiers, str) else tuple(classifiers)
    own = {name: tensor for name, tensor in tensors.items() if not name.startswith(classifiers)}
    expected, given = (
        {name: tuple(each.shape) for name, each in all_.items()} for all_ in (network.state_dict(), own)
    )
    for name in [*expected, *given]:
        if expected.get(name) != given.get(name) and not name.endswith("num_batches_tracked"):
            raise WastebookError(
                f"The weights in {file} do not fit: {name} should be {expected.get(name, 'absent')}, "
                f"is {given.get(name, 'absent')}. Are they of another network?"
            )
    network.load_state_dict(own, strict=False)
    unknown = "" if stored == sha256 else f"these weights are not known by their hash ({file.name})"
    return {"sha256": sha256, "note": _known_weights().get(sha256, {"note": unknown}).get("note", "")}


def _settle(backbone: Backbone, photos: pd.DataFrame, root: Path) -> None:
    """Set the BatchNorm statistics of random weights by one pass over some photos, spread over the table."""
    rows = photos.iloc[:: max(1, len(photos) // SETTLING_PHOTOS)].head(SETTLING_PHOTOS)
    pixels = decode_photos((root / path for path in rows["path"]), backbone.image_size)
    layers = [
        each for each in backbone.network.modules() if isinstance(each, nn.modules.batchnorm._BatchNorm)
    ]
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = 1.0  # the statistics of this one batch, whole
        layer.train()
    with torch.inference_mode():
        backbone.network(as_input(backbone, torch.from_numpy(np.stack(list(pixels)))))
    for layer in layers:
        layer.eval()
