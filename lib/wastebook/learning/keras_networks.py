"""The models of the organic-or-recyclable question, in Keras: two networks of our own and backbones of
Keras'.

Nothing here names Keras' backend: it is TensorFlow unless `KERAS_BACKEND` says otherwise. Keras is imported
by whoever first needs it; torch is not.
"""

import contextlib
import hashlib
import logging
import os
import re
from collections.abc import Iterator
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import numpy as np
import pandas as pd
from safetensors import safe_open

from wastebook.errors import WastebookError, did_you_mean
from wastebook.files import expand
from wastebook.learning import weights as sources
from wastebook.learning.features import Backbone, Forward, short_hash

if TYPE_CHECKING:
    import keras

# The book's names for Keras' backbones: the network's and its module's in `keras.applications`.
BACKBONES = {
    "xception": ("Xception", "xception"),
    "efficientnet_b0": ("EfficientNetB0", "efficientnet"),
    "mobilenetv2_100": ("MobileNetV2", "imagenet_utils"),
}
# Networks of our own: filters, dense layers, and whether something is done against over-fitting. The TFM
# gives no layout for its base CNN, so that one is ours; its optimised CNN has 6,819,393 parameters at 224
# pixels.
CNNS = {
    "base_cnn": ((32, 64, 128), (128,), False),
    "optimised_cnn": ((32, 64, 128, 256), (128, 64), True),
}
SMALLEST = 71  # pixels of a side that Xception takes


@cache
def import_keras() -> Any:
    """Keras, set up for the book, whatever the reader's `keras.json` says of axes and numbers.
    WastebookError, with what to install, where it or its backend does not start."""
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    # oneDNN, which TensorFlow leaves off without AVX-512, saves a training a quarter. Deterministic, the same
    # seed gives the same one; that keeps Keras from compiling by XLA too, which is ten times slower on CPUs.
    wanted = {"TF_CPP_MIN_LOG_LEVEL": "3", "TF_ENABLE_ONEDNN_OPTS": "1", "TF_DETERMINISTIC_OPS": "1"}
    os.environ.update(wanted | os.environ)
    try:
        with _without_stderr(), patch.dict(os.environ, KERAS_HOME=os.devnull):  # where no settings are
            import keras
    except Exception as error:  # a broken TensorFlow raises whatever its libraries do
        told = f"Keras does not start on {os.environ['KERAS_BACKEND']} ({type(error).__name__}: {error})."
        way = "Install it (`pip install --upgrade keras tensorflow`), or set KERAS_BACKEND to `torch`."
        raise WastebookError(f"{told}\n{way} Other chapters do without TensorFlow.") from error
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    return keras


@contextlib.contextmanager
def _without_stderr() -> Iterator[None]:
    """Keeps off the page what TensorFlow's libraries write past Python while they load; errors are raised
    anyway."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def build_cnn(name: str, image_size: int, precision: str = "auto", seed: int = 0) -> "keras.Model":
    """One of the two `CNNS`: input (N, image_size, image_size, 3), values 0-255; output (N, 1), the
    probability of the second class. WastebookError for a precision that is none (`find_policy`) and for too
    small photos."""
    filters, dense, regularised = CNNS[name]
    if image_size < 2 ** len(filters):
        raise WastebookError(f"image_size={image_size} is too small: {name} halves it {len(filters)} times.")
    keras, policy = import_keras(), find_policy(precision)
    keras.utils.set_random_seed(seed)
    layers = keras.layers
    stack = [keras.Input((image_size, image_size, 3), name="pixels")]
    if regularised:  # turns of 36 degrees and zooms of 10 % at most
        stack += [layers.RandomFlip("horizontal"), layers.RandomRotation(0.1), layers.RandomZoom(0.1)]
    stack.append(layers.Rescaling(1 / 255))
    for count in filters:
        stack.append(layers.Conv2D(count, 3, padding="same", activation="relu", dtype=policy))
        stack.append(layers.MaxPooling2D(dtype=policy))
    stack.append(layers.Flatten(dtype=policy))
    for count in dense:
        stack.append(layers.Dense(count, activation="relu", dtype=policy))
        stack += [layers.Dropout(0.2, dtype=policy)] if regularised else []
    stack.append(layers.Dense(1, activation="sigmoid", dtype="float32", name="probability"))
    return keras.Sequential(stack, name=name)


def small_head(width: int, seed: int = 0) -> "keras.Model":
    """What is trained on a frozen backbone's features, (N, width): dropout 0.2 and one sigmoid output."""
    keras = import_keras()
    keras.utils.set_random_seed(seed)
    output = keras.layers.Dense(1, activation="sigmoid", name="probability")
    return keras.Sequential([keras.Input((width,)), keras.layers.Dropout(0.2), output], name="head")


def find_policy(precision: str) -> str:
    """Keras' name for a precision: `fp32`, `bf16` (bfloat16 inside, float32 weights and output), or `auto`
    for bf16 where the processor computes in it (as Linux tells it). WastebookError for another."""
    about = Path("/proc/cpuinfo")
    able = about.exists() and re.search(r"\b(avx512_bf16|amx_bf16)\b", about.read_text())
    return "mixed_bfloat16" if sources.wants_bf16(precision, bool(able)) else "float32"


def load_keras_backbone(
    name: str, weights: str, image_size: int, photos: pd.DataFrame, root: Path, seed: int = 0
) -> Backbone:
    """The backbone `name` (`xception` or `efficientnet_b0`) of Keras, frozen, for photos squeezed to
    `image_size` pixels a side; `weights`, `photos`, `root`, `seed` and errors as `load_backbone`'s, but with
    Keras' files and cache."""
    names = {card["backbone"] for card in sources.known_weights("keras")}
    if name not in names:
        raise WastebookError(f"There is no Keras backbone {name!r}. {did_you_mean(name, names)}")
    if image_size < SMALLEST:
        raise WastebookError(f"{name} takes photos of {SMALLEST} pixels a side or more, not {image_size}.")
    keras, home = import_keras(), expand(os.environ.get("KERAS_HOME", "~/.keras"))
    card = next(each for each in sources.known_weights("keras") if each["backbone"] == name and "url" in each)
    where = {"cache_dir": home, "cache_subdir": "models", "file_hash": card["md5"]}
    fetch = partial(keras.utils.get_file, card["file"], card["url"], **where)
    own = partial(_at_hand, name, home / "models" / card["file"], card)
    name, weights, file, note = sources.choose_weights(name, weights, card["file"], own, card["url"], fetch)
    keras.utils.set_random_seed(seed)
    size = (image_size, image_size)
    build = getattr(keras.applications, BACKBONES[name][0])
    frame = 2 * (name == "mobilenetv2_100")  # that `preprocess` adds
    shape = (image_size + frame, image_size + frame, 3)
    network = build(include_top=False, weights=None, pooling="avg", input_shape=shape)
    if file is not None and file.suffix == ".safetensors":
        network = _as_in_torch(network, file)
    elif file is not None:
        try:
            network.load_weights(file)
        except (ValueError, OSError, KeyError, TypeError) as error:
            reason = str(error).split("\n")[0]
            raise WastebookError(f"The weights in {file} do not fit Keras' {name}: {reason}") from error
    pixels = keras.Input((*size, 3), name="pixels")
    whole = keras.Model(pixels, network(preprocess(name, pixels)), name=name)
    if file is None:
        _settle(whole, sources.settling_pixels(photos, root, size))
    whole.trainable = False
    return Backbone(name, whole, size, whole.output_shape[1], weights, weights_hash(whole), note=note)


def _as_in_torch(network: "keras.Model", file: Path) -> "keras.Model":
    """Keras' MobileNetV2 with the tensors of torch's, padding and normalising as it is done there: before a
    step of two torch pads on both sides, TensorFlow after the last pixel alone."""
    keras = import_keras()
    with safe_open(file, "numpy") as stored:
        tensors = iter([stored.get_tensor(name) for name in stored.metadata()["order"].split()])
    change = {"Conv1": {"padding": "valid"}}  # `preprocess` has padded it

    def as_in_torch(layer: Any) -> Any:
        facts = layer.get_config() | change.get(layer.name, {})
        if isinstance(layer, keras.layers.BatchNormalization):
            facts["epsilon"] = 1e-5
        if isinstance(layer, keras.layers.ZeroPadding2D):
            facts["padding"] = 1
        return type(layer).from_config(facts)

    whole = keras.models.clone_model(network, clone_function=as_in_torch)
    for layer in whole.layers:
        own = [next(tensors) for _ in layer.weights]
        if own and own[0].ndim == 4:  # (out, in, height, width), or of a depthwise filter (channels, 1, ...)
            depthwise = isinstance(layer, keras.layers.DepthwiseConv2D)
            own = [own[0].transpose(2, 3, 0, 1) if depthwise else own[0].transpose(2, 3, 1, 0)]
        layer.set_weights(own)
    return whole


def prepare_forward(backbone: Backbone, precision: str = "auto") -> tuple[str, Forward]:
    """A name for what the forward pass here gives (of weights and backend), and the pass, in fp32 always."""
    key = f"keras-{backbone.name}-{short_hash(backbone.sha256, import_keras().backend.backend())}"
    return key, lambda pixels: np.asarray(backbone.network.predict_on_batch(pixels.astype(np.float32)))


def preprocess(name: str, pixels: Any) -> Any:
    """Values 0-255 as Keras' backbone `name` takes them."""
    keras = import_keras()
    module = getattr(keras.applications, BACKBONES[name][1])
    if name == "mobilenetv2_100":  # as torch does it, with a frame of zeros
        return keras.layers.ZeroPadding2D(1)(module.preprocess_input(pixels, mode="torch"))
    return module.preprocess_input(pixels)


def fine_tunable(backbone: Backbone, head: "keras.Model", blocks: int) -> "keras.Model":
    """The backbone under its trained head, with its last `blocks` blocks free to learn; BatchNorm stays
    frozen. The weights are the backbone's own, so fine-tuning changes `backbone` too. WastebookError where it
    has fewer blocks."""
    keras, inner = import_keras(), inner_network(backbone)
    named = [re.match(r"block_?(\d+)", layer.name) for layer in inner.layers]
    # Layers without a number belong to the block before them.
    depth = np.maximum.accumulate([int(found[1]) if found else 0 for found in named])
    if not 1 <= blocks <= depth[-1]:
        raise WastebookError(f"{backbone.name} has {depth[-1]} blocks: fine-tune 1 or more, not {blocks}.")
    backbone.network.trainable = True
    for layer, block in zip(inner.layers, depth, strict=True):
        frozen = isinstance(layer, keras.layers.BatchNormalization)
        layer.trainable = block > depth[-1] - blocks and not frozen
    pixels = keras.Input((*backbone.image_size, 3), name="pixels")
    # `training=False` holds for BatchNorm within, whatever Keras is told while fitting.
    probability = head(backbone.network(pixels, training=False))
    return keras.Model(pixels, probability, name=f"{backbone.name}-finetuned")


def inner_network(backbone: Backbone) -> "keras.Model":
    """Keras' own network within a backbone: without the preprocessing, its last layer the mean of its
    maps."""
    keras = import_keras()
    return next(layer for layer in backbone.network.layers if isinstance(layer, keras.Model))


def weights_hash(model: "keras.Model") -> str:
    """SHA-256 over a model's tensors in their order."""
    return hashlib.sha256(b"".join(tensor.tobytes() for tensor in model.get_weights())).hexdigest()


def _settle(network: "keras.Model", pixels: np.ndarray) -> None:
    """Set the BatchNorm statistics of random weights by one pass over `pixels`."""
    kind = import_keras().layers.BatchNormalization
    norms = [layer for layer in network._flatten_layers() if isinstance(layer, kind)]
    for layer in norms:
        layer.momentum = 0.0  # the statistics of this one batch, whole
    network(pixels.astype("float32"), training=True)


def _at_hand(name: str, kept: Path, card: dict[str, Any]) -> Path | None:
    """Keras' ImageNet weights of a backbone in `WASTEBOOK_WEIGHTS`, or what its card tells of as Keras has
    `kept` it, unless damaged."""
    cards = {each["file"]: each for each in sources.known_weights("keras") if each["backbone"] == name}
    own, _ = next(sources.own_weights(cards, list(cards.values())), (None, None))
    return own or (kept if kept.is_file() and sources.is_whole(kept, card) else None)
