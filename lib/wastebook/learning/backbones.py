"""Backbones by name, through timm: a network that gives features, together with the preprocessing of its
weights."""

import hashlib
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import huggingface_hub
import numpy as np
import pandas as pd
import torch
import yaml
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional

import wastebook.photos.torchvision_import  # noqa: F401 (mends the import of torchvision, so it comes before timm)

# isort: split
import timm

from wastebook import paths
from wastebook.errors import WastebookError, did_you_mean
from wastebook.files import file_hash
from wastebook.learning.weights import SETTLING_PHOTOS, choose_weights, files_called, server_answers
from wastebook.photos.decode import parallel_map, read_photo

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
    """The backbone `name` (any of timm's, or a name of the book's), in eval mode.

    `weights`: `imagenet` (a file in `WASTEBOOK_WEIGHTS`, the hub's cache, or a download), `random` (drawn by
    `seed`, the BatchNorm statistics set by a pass over some of `photos`, whose paths are below `root`:
    without it deep random networks collapse), `auto` (ImageNet where at hand or the hub answers within 5
    seconds, else random), or the path of a .safetensors or PyTorch file of tensors. `image_size`: (height,
    width) or the side of a square; the weights' own where None. WastebookError for an unknown name, and for
    weights that cannot be had, do not fit or have another hash than they should.
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
    if file is None:
        if photos is None or root is None:
            raise WastebookError(
                f"{name} with random weights needs photos to set its BatchNorm statistics: give them."
            )
        _settle(backbone, photos, root)
        return backbone._replace(sha256=network_hash(network))
    sha256 = _load_weights(network, file, timm_name)
    unknown = (
        {}
        if file.resolve().name == sha256
        else {"note": f"these weights are not known by their hash ({file.name})"}
    )
    return backbone._replace(sha256=sha256, note=_known_weights().get(sha256, unknown).get("note", ""))


def load_pixels(file: Path, image_size: tuple[int, int]) -> np.ndarray:
    """The photo in `file` as every network here is fed it: (H, W, 3) uint8 RGB, upright, squeezed whole to
    `image_size` by antialiased bilinear interpolation (Pillow's and ONNX's too). PhotoError where it cannot
    be read."""
    photo = torch.from_numpy(read_photo(file)).permute(2, 0, 1)[None]
    return (
        functional.interpolate(photo, image_size, mode="bilinear", antialias=True)[0].permute(1, 2, 0).numpy()
    )


def as_input(backbone: Backbone, pixels: torch.Tensor) -> torch.Tensor:
    """(N, H, W, 3) uint8 pixels as the network takes them: (N, 3, H, W) float32, normalised, channels
    last."""
    count, height, width, _ = pixels.shape
    mean, std = (
        torch.tensor(values, device=pixels.device).mul(255) for values in (backbone.mean, backbone.std)
    )
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


def parameter_blocks(network: nn.Module) -> list[list[str]]:
    """The names of a network's parameters, block by block (its stem, then its stages) from input to
    output."""
    matcher = network.group_matcher(coarse=True)  # type: ignore[operator]
    blocks = timm.models.group_parameters(network, matcher)
    return [blocks[number] for number in sorted(blocks)]


def rebuild_backbone(facts: dict[str, Any], tensors: dict[str, torch.Tensor]) -> Backbone:
    """The backbone that `facts` (its fields but the network) and its own `tensors` describe, as saved in a
    model."""
    network, size, _ = _build(
        BOOK_NAMES.get(facts["name"], facts["name"]), tuple(facts["image_size"]), seed=0
    )
    _fit(network, tensors, f"the model's {facts['name']}")
    shaped = {"image_size": size, "mean": tuple(facts["mean"]), "std": tuple(facts["std"])}
    return Backbone(network=network, **(facts | shaped))


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
    height, width = given or config["input_size"][1:]
    return network, (height, width), config


@cache
def _known_weights() -> dict[str, dict[str, Any]]:
    """The ImageNet weights of `data/weights/imagenet.yml` by their SHA-256."""
    cards = yaml.safe_load((paths.CARDS / "weights" / "imagenet.yml").read_text(encoding="utf-8"))
    return {card["sha256"]: card for card in cards}


def _imagenet_file(name: str, timm_name: str, required: bool) -> Path | None:
    """timm's ImageNet weights in `WASTEBOOK_WEIGHTS`, in the hub's cache or downloaded; None (or an error
    where they are `required`) where they cannot be had."""
    untagged = timm_name.split(".")[0]
    for place in paths.own_copies("WASTEBOOK_WEIGHTS"):
        for file in files_called(f"{untagged}.safetensors", place):
            sizes = [card["size"] for card in _known_weights().values() if card["backbone"] == untagged]
            if file.stat().st_size in sizes and file_hash(file) not in _known_weights():
                raise WastebookError(
                    f"{file} is damaged: its size is that of {untagged}'s weights, its SHA-256 is not.\n"
                    f"Get it anew, or name its path as `weights` to use it all the same."
                )
            return file
    repository = getattr(timm.get_pretrained_cfg(timm_name), "hf_hub_id", None)
    if repository:
        cached = huggingface_hub.try_to_load_from_cache(repository, "model.safetensors")
        if isinstance(cached, str):
            return Path(cached)
        if server_answers(huggingface_hub.constants.ENDPOINT):
            try:
                return Path(huggingface_hub.hf_hub_download(repository, "model.safetensors"))
            except (OSError, huggingface_hub.errors.HfHubHTTPError) as error:
                raise WastebookError(
                    f"Could not download {repository} ({type(error).__name__}): try again, or set "
                    "WASTEBOOK_WEIGHTS."
                ) from error
    if required:
        raise WastebookError(
            f"No ImageNet weights for {name}: the hub does not answer (or has none).\n"
            f"Set WASTEBOOK_WEIGHTS to a folder with {untagged}.safetensors, or use `random`."
        )
    return None


def _load_weights(network: nn.Module, file: Path, timm_name: str) -> str:
    """Load `file` into `network`, whatever classifier it has besides left out; gives the file's SHA-256."""
    sha256 = file_hash(file)
    stored = file.resolve().name  # the hub's cache names a file by its hash
    if len(stored) == 64 and stored != sha256:
        raise WastebookError(f"{file} is damaged (its SHA-256 is not its name): delete it and try again.")
    try:
        if file.suffix == ".safetensors" or len(stored) == 64:
            tensors = load_file(file)
        else:
            tensors = torch.load(file, map_location="cpu", weights_only=True)
    except (
        SafetensorError,
        OSError,
        RuntimeError,
        EOFError,
        ValueError,
        torch.serialization.pickle.UnpicklingError,
    ) as error:
        raise WastebookError(f"{file} holds no weights that can be read ({type(error).__name__}).") from error
    tensors = timm.models.clean_state_dict(tensors)
    classifiers = getattr(network, "pretrained_cfg", {}).get("classifier") or ()
    classifiers = (classifiers,) if isinstance(classifiers, str) else tuple(classifiers)
    own = {name: tensor for name, tensor in tensors.items() if not name.startswith(classifiers)}
    _fit(network, own, str(file))
    return sha256


def _fit(network: nn.Module, tensors: dict[str, torch.Tensor], source: str) -> None:
    """Load the tensors into the network; WastebookError that names the first that differs."""
    expected = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    given = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    for name in [*expected, *given]:
        if expected.get(name) != given.get(name) and not name.endswith("num_batches_tracked"):
            raise WastebookError(
                f"The weights in {source} do not fit: {name} should be {expected.get(name, 'absent')}, "
                f"is {given.get(name, 'absent')}. Are they of another network?"
            )
    network.load_state_dict(tensors, strict=False)


def _settle(backbone: Backbone, photos: pd.DataFrame, root: Path) -> None:
    """Set the BatchNorm statistics of random weights by one pass over some photos, spread over the table."""
    rows = photos.iloc[:: max(1, len(photos) // SETTLING_PHOTOS)].head(SETTLING_PHOTOS)
    files = [root / path for path in rows["path"]]
    pixels = list(parallel_map(lambda file: load_pixels(file, backbone.image_size), files))
    layers = [
        layer for layer in backbone.network.modules() if isinstance(layer, nn.modules.batchnorm._BatchNorm)
    ]
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = 1.0  # the statistics of this one batch, whole
        layer.train()
    with torch.inference_mode():
        backbone.network(as_input(backbone, torch.from_numpy(np.stack(pixels))))
    for layer in layers:
        layer.eval()
