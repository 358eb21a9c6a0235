"""Backbones by name, through timm: networks, the preprocessing of their weights, and the forward pass."""

import copy
import hashlib
from functools import cache, partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import wastebook.photos.torchvision_import  # noqa: F401 (mends the import of torchvision)

import huggingface_hub
import numpy as np
import pandas as pd
import timm
import torch
from torch import nn

from wastebook.errors import WastebookError, did_you_mean
from wastebook.files import file_hash
from wastebook.learning.features import Backbone, Forward, short_hash
from wastebook.learning.training import within_memory
from wastebook.learning.weights import choose_weights, known_weights, own_weights, settling_pixels, wants_bf16
from wastebook.photos.decode import thread_count

# The book's names for the networks it compares, each with the weights meant: the original ones of Tan and Le
# (2019), which Keras has too (timm's own `efficientnet_b0` is another training), and torchvision's first.
BOOK_NAMES = {"efficientnet_b0": "tf_efficientnet_b0.aa_in1k", "resnet18": "resnet18.tv_in1k"}


def load_backbone(
    name: str,
    weights: str = "auto",
    image_size: int | tuple[int, int] | None = None,
    photos: pd.DataFrame | None = None,
    root: Path | None = None,
    seed: int = 0,
) -> Backbone:
    """A network by its name, in eval mode, without its classifier. WastebookError for an unknown name, and
    weights that cannot be had or do not fit.

    Parameters
    ----------
    name : `resnet18`, `efficientnet_b0`, or any name of timm's, with the tag of its weights or without
    weights : `imagenet` (from `WASTEBOOK_WEIGHTS`, the hub's cache, or a download), `random`, `auto`
        (ImageNet's where they are to be had, else of a network that stands in), or a file of tensors
    image_size : side of a square or (height, width) in pixels, 32 or more; the weights' own where None
    photos, root, seed : for random weights, which `seed` draws: some of the photos below the folder `root`
        set the BatchNorm statistics, without which deep random networks collapse

    Returns
    -------
    Backbone

    Examples
    --------
    >>> load_backbone("resnet18", "imagenet", (288, 384)).feature_width  # doctest: +SKIP
    512
    """
    timm_name = BOOK_NAMES.get(name, name)
    if not timm.is_model(timm_name):
        known = did_you_mean(name, [*BOOK_NAMES, *timm.list_models()])
        raise WastebookError(f"There is no backbone {name!r}. {known}")
    repository = getattr(timm.get_pretrained_cfg(timm_name), "hf_hub_id", None) or ""
    own = partial(_at_hand, name, timm_name, repository)
    fetch = partial(huggingface_hub.hf_hub_download, repository, "model.safetensors", force_download=True)
    server = huggingface_hub.constants.ENDPOINT if repository else ""
    name, weights, file, note = choose_weights(name, weights, f"{timm_name}.safetensors", own, server, fetch)
    backbone = _build(name, BOOK_NAMES.get(name, name), weights, image_size, seed)
    return _settle(backbone, photos, root) if file is None else _load_weights(backbone, file, note)


def accelerator() -> torch.device:
    """CUDA, MPS or the like where present, else the CPU."""
    return torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")


def use_bf16(precision: str, device: torch.device) -> bool:
    """Whether to compute in bfloat16 under `precision`: `bf16`, `fp32`, or `auto`: where it is fast."""
    if device.type == "cpu":
        able = torch.cpu.get_capabilities()
        return wants_bf16(precision, any(able.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16")))
    return wants_bf16(precision, device.type == "cuda" and torch.cuda.is_bf16_supported())


def for_inference(backbone: Backbone) -> nn.Module:
    """A copy of the network for the forward pass alone: channels last, and each BatchNorm folded into the
    convolution before it (a sixth faster, up to rounding) where that leaves the features as they were."""
    folded = copy.deepcopy(backbone.network)
    for parent in folded.modules():
        children: list[tuple[str, Any]] = list(parent.named_children())
        for (name, before), (after, layer) in pairwise(children):
            pair = isinstance(layer, nn.BatchNorm2d) and isinstance(before, nn.Conv2d)
            if pair and before.out_channels == layer.num_features:
                setattr(parent, name, nn.utils.fuse_conv_bn_eval(before, layer))
                setattr(parent, after, getattr(layer, "act", nn.Identity()))  # timm's activate too
    probe = torch.randn(2, 3, *backbone.image_size, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        same = torch.allclose(backbone.network(probe), folded(probe), rtol=1e-3, atol=1e-3)
    chosen: Any = folded if same else copy.deepcopy(backbone.network)
    return chosen.to(memory_format=torch.channels_last)


def prepare_forward(backbone: Backbone, precision: str = "auto") -> tuple[str, Forward]:
    """A name for what the forward pass here gives (of weights, preprocessing, precision), and the pass."""
    device = accelerator()
    bf16 = use_bf16(precision, device)
    facts = (backbone.sha256, backbone.mean, backbone.std, bf16, device.type)

    @cache
    def network() -> nn.Module:
        torch.set_num_threads(thread_count())
        return for_inference(backbone).to(device)

    key = f"{backbone.name}-{short_hash(*facts)}"
    return key, lambda pixels: forward(network(), backbone, pixels, device, bf16)


def forward(
    network: nn.Module, backbone: Backbone, pixels: np.ndarray, device: torch.device, bf16: bool
) -> np.ndarray:
    """(N, feature_width) float32 features of (N, H, W, 3) uint8 pixels, in parts where memory runs out."""

    def compute(at_once: int) -> np.ndarray:
        parts = torch.from_numpy(pixels).split(at_once)
        with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            seen = [network(as_input(backbone, part.to(device))).float().cpu() for part in parts]
        return torch.cat(seen).numpy()

    return within_memory(compute, len(pixels))


def as_input(backbone: Backbone, pixels: torch.Tensor) -> torch.Tensor:
    """(N, H, W, 3) uint8 pixels as the network takes them: (N, 3, H, W) float32 normalised, channels last."""
    count, height, width, _ = pixels.shape
    mean, std = (torch.tensor(each, device=pixels.device).mul(255) for each in (backbone.mean, backbone.std))
    # A row of pixels at once: products with three channels alone are too short to be fast.
    scale, shift = std.reciprocal().repeat(width), (-mean / std).repeat(width)
    rows = torch.addcmul(shift, pixels.reshape(-1, 3 * width).float(), scale)
    return rows.view(count, height, width, 3).permute(0, 3, 1, 2)


def network_hash(network: nn.Module) -> str:
    """SHA-256 over a network's weights and statistics."""
    tensors = sorted(network.state_dict().items())
    content = (name.encode() + tensor.cpu().numpy().tobytes() for name, tensor in tensors)
    return hashlib.sha256(b"".join(content)).hexdigest()


def _build(
    name: str, timm_name: str, weights: str, image_size: int | tuple[int, int] | None, seed: int
) -> Backbone:
    """The backbone with weights drawn by `seed`."""
    given = (image_size, image_size) if isinstance(image_size, int) else image_size
    if given is not None and (len(given) != 2 or min(given) < 32):  # five halvings would leave nothing
        raise WastebookError(f"image_size={image_size}: give one side or two, of at least 32 pixels.")
    declared = timm.get_pretrained_cfg(timm_name)
    # Networks with positions learned for one size, such as vision transformers, have to be built for another.
    fixed: dict[str, Any] = {"img_size": given} if given and declared and declared.fixed_input_size else {}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = timm.create_model(timm_name, pretrained=False, num_classes=0, **fixed).eval()
    config = timm.data.resolve_model_data_config(network)
    size, mean, std = (tuple(config[each]) for each in ("input_size", "mean", "std"))
    size = given or size[1:]
    with torch.inference_mode():
        width = network(torch.zeros(1, 3, *size)).shape[1]
    return Backbone(name, network, size, width, weights, sha256="", mean=mean, std=std)


def _at_hand(name: str, timm_name: str, repository: str) -> Path | None:
    """timm's ImageNet weights in `WASTEBOOK_WEIGHTS`, called like the network with the tag of its training
    (`.aa_in1k`) or without (for a `name` with a tag, only if their hash is known for it); or in the hub's
    cache, unless damaged."""
    network = timm_name.split(".")[0]
    cards = [card for card in known_weights() if card["backbone"].split(".")[0] == network]
    names = dict.fromkeys(f"{called}.safetensors" for called in (timm_name, network))
    for file, card in own_weights(names, cards):
        if name in (file.stem, name.split(".")[0], card.get("backbone")):
            return file
    cached = huggingface_hub.try_to_load_from_cache(repository, "model.safetensors") if repository else None
    if isinstance(cached, str) and _stored_hash(Path(cached)) in ("", file_hash(Path(cached))):
        return Path(cached)
    return None


def _stored_hash(file: Path) -> str:
    """The SHA-256 that the hub's cache has named a file by; nothing for another file."""
    stored = file.resolve().name
    return stored if len(stored) == 64 else ""


def _load_weights(backbone: Backbone, file: Path, note: str) -> Backbone:
    """The backbone with the weights in `file`, without their classifier; an error names what does not fit."""
    sha256 = file_hash(file)
    try:
        tensors = timm.models.load_state_dict(str(file), use_ema=False)
    except Exception as error:  # damaged files raise errors of many kinds; none of them is executed
        raise WastebookError(f"{file} holds no weights that can be read ({type(error).__name__}).") from error
    classifier = backbone.network.pretrained_cfg.get("classifier") or ()  # how its tensors' names begin
    classifiers = classifier if isinstance(classifier, str) else tuple(classifier)
    own = {name: each for name, each in tensors.items() if not name.startswith(classifiers)}
    try:
        backbone.network.load_state_dict(own)
    except RuntimeError as error:
        told = f"Are they of another network? {str(error).splitlines()[1].strip()[:200]}"
        raise WastebookError(f"The weights in {file} do not fit. {told}") from error
    unknown = "" if _stored_hash(file) else f"these weights are not known by their hash ({file.name})"
    known = {card["sha256"]: card.get("note", "") for card in known_weights() + known_weights("standins")}
    return backbone._replace(sha256=sha256, note=note or known.get(sha256, unknown))


def _settle(backbone: Backbone, photos: pd.DataFrame | None, root: Path | None) -> Backbone:
    """The backbone with the BatchNorm statistics of random weights set by one pass over some photos."""
    if photos is None or root is None:
        raise WastebookError(f"{backbone.name} with random weights needs photos to set its BatchNorm by.")
    pixels = settling_pixels(photos, root, backbone.image_size)
    for layer in backbone.network.modules():
        if isinstance(layer, nn.modules.batchnorm._BatchNorm):
            layer.reset_running_stats()
            layer.momentum = 1.0  # the statistics of this one batch, whole
            layer.train()
    with torch.inference_mode():
        backbone.network(as_input(backbone, torch.from_numpy(pixels)))
    backbone.network.eval()
    return backbone._replace(sha256=network_hash(backbone.network))
