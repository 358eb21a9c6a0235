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
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
import yaml

from wastebook import paths
from wastebook.errors import WastebookError, did_you_mean
from wastebook.learning.weights import choose_weights, files_called, server_answers, settling_pixels

if TYPE_CHECKING:
    import keras

PRECISIONS = {"fp32": "float32", "bf16": "mixed_bfloat16"}
# The book's names for Keras' backbones: the network's and its module's in `keras.applications`.
BACKBONES = {"xception": ("Xception", "xception"), "efficientnet_b0": ("EfficientNetB0", "efficientnet")}
# Networks of our own: filters, dense layers, and whether something is done against over-fitting. The TFM
# gives no layout for its base CNN, so that one is ours; its optimised CNN has 6,819,393 parameters at 224
# pixels.
CNNS = {
    "base_cnn": ((32, 64, 128), (128,), False),
    "optimised_cnn": ((32, 64, 128, 256), (128, 64), True),
}
SMALLEST = 71  # pixels of a side that Xception takes


class KerasBackbone(NamedTuple):
    """A network without its classifier, its preprocessing inside: `network` takes (N, H, W, 3) values 0-255
    at `image_size` and gives (N, feature_width) features. `weights` is `imagenet`, `random` or the path of a
    file, `sha256` is of all the tensors, `note` what a reader should know of them beside a score."""

    name: str
    network: "keras.Model"
    image_size: tuple[int, int]
    feature_width: int
    weights: str
    sha256: str
    note: str = ""


@cache
def import_keras() -> Any:
    """Keras, set up for the book. WastebookError, with what to install, where it or its backend does not
    start."""
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # The same seed gives the same training. It also keeps Keras from compiling by XLA, ten times slower on
    # CPUs.
    os.environ.setdefault("TF_DETERMINISTIC_OPS", "1")
    try:
        with _without_stderr():
            import keras
    except Exception as error:  # a broken TensorFlow raises whatever its libraries do
        raise WastebookError(
            f"Keras does not start on {os.environ['KERAS_BACKEND']} ({type(error).__name__}: {error}).\n"
            "Install it (`pip install --upgrade keras tensorflow`), or set KERAS_BACKEND to `torch`. Other "
            "chapters do without TensorFlow."
        ) from error
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
        raise WastebookError(
            f"{name} halves photos {len(filters)} times: image_size={image_size} is too small."
        )
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
    if precision == "auto":
        about = Path("/proc/cpuinfo")
        able = about.exists() and re.search(r"\b(avx512_bf16|amx_bf16)\b", about.read_text())
        precision = "bf16" if able else "fp32"
    if precision not in PRECISIONS:
        raise WastebookError(f"There is no precision {precision!r}: name `auto`, `bf16` or `fp32`.")
    return PRECISIONS[precision]


def load_keras_backbone(
    name: str, weights: str, image_size: int, photos: pd.DataFrame, root: Path, seed: int = 0
) -> KerasBackbone:
    """The backbone `name` (`xception` or `efficientnet_b0`), frozen, for photos squeezed to `image_size`
    pixels a side.

    `weights`: `imagenet` (a file in `WASTEBOOK_WEIGHTS`, in Keras' cache, or a download), `random` (drawn by
    `seed`, the BatchNorm statistics set by a pass over some of `photos`, whose paths are below `root`:
    without it deep random networks collapse), `auto` (ImageNet where at hand or the server answers, else
    random), or the path of a Keras file of weights. WastebookError for an unknown name, photos too small for
    the network, and weights that cannot be had, do not fit or have another hash than they should.
    """
    if name not in BACKBONES:
        raise WastebookError(f"There is no Keras backbone {name!r}. {did_you_mean(name, BACKBONES)}")
    if image_size < SMALLEST:
        raise WastebookError(f"{name} takes photos of {SMALLEST} pixels a side or more, not {image_size}.")
    weights, file = choose_weights(weights, partial(_imagenet_file, name))
    keras = import_keras()
    keras.utils.set_random_seed(seed)
    size = (image_size, image_size)
    build = getattr(keras.applications, BACKBONES[name][0])
    network = build(include_top=False, weights=None, pooling="avg", input_shape=(*size, 3))
    if file is not None:
        try:
            network.load_weights(file)
        except (ValueError, OSError, KeyError, TypeError) as error:
            reason = str(error).split("\n")[0]
            raise WastebookError(f"The weights in {file} do not fit Keras' {name}: {reason}") from error
    pixels = keras.Input((*size, 3), name="pixels")
    whole = keras.Model(pixels, network(preprocess(name, pixels)), name=name)
    if file is None:
        _settle(whole, settling_pixels(photos, root, size))
    whole.trainable = False
    return KerasBackbone(name, whole, size, whole.output_shape[1], weights, weights_hash(whole))


def preprocess(name: str, pixels: Any) -> Any:
    """Values 0-255 as Keras' backbone `name` takes them."""
    return getattr(import_keras().applications, BACKBONES[name][1]).preprocess_input(pixels)


def fine_tunable(backbone: KerasBackbone, head: "keras.Model", blocks: int) -> "keras.Model":
    """The backbone under its trained head, with its last `blocks` blocks free to learn; BatchNorm stays
    frozen.

    The weights are the backbone's own, so fine-tuning changes `backbone` too. WastebookError where it has
    fewer blocks.
    """
    keras, inner = import_keras(), inner_network(backbone)
    named = [re.match(r"block(\d+)", layer.name) for layer in inner.layers]
    # Layers without a number belong to the block before them.
    depth = np.maximum.accumulate([int(found[1]) if found else 0 for found in named])
    if not 1 <= blocks <= depth[-1]:
        raise WastebookError(
            f"{backbone.name} has {depth[-1]} blocks: fine-tune 1 of them or more, not {blocks}."
        )
    backbone.network.trainable = True
    for layer, block in zip(inner.layers, depth, strict=True):
        frozen = isinstance(layer, keras.layers.BatchNormalization)
        layer.trainable = block > depth[-1] - blocks and not frozen
    pixels = keras.Input((*backbone.image_size, 3), name="pixels")
    # `training=False` holds for BatchNorm within, whatever Keras is told while fitting.
    probability = head(backbone.network(pixels, training=False))
    return keras.Model(pixels, probability, name=f"{backbone.name}-finetuned")


def inner_network(backbone: KerasBackbone) -> "keras.Model":
    """Keras' own network within a backbone: without the preprocessing, its last layer the mean of its
    maps."""
    keras = import_keras()
    return next(layer for layer in backbone.network.layers if isinstance(layer, keras.Model))


def weights_hash(model: "keras.Model") -> str:
    """SHA-256 over a model's tensors in their order."""
    digest = hashlib.sha256()
    for tensor in model.get_weights():
        digest.update(np.ascontiguousarray(tensor).tobytes())
    return digest.hexdigest()


def _settle(network: "keras.Model", pixels: np.ndarray) -> None:
    """Set the BatchNorm statistics of random weights by one pass over `pixels`."""
    kind = import_keras().layers.BatchNormalization
    norms = [layer for layer in network._flatten_layers() if isinstance(layer, kind)]
    momenta = [layer.momentum for layer in norms]
    for layer in norms:
        layer.momentum = 0.0  # the statistics of this one batch, whole
    network(pixels.astype("float32"), training=True)
    for layer, momentum in zip(norms, momenta, strict=True):
        layer.momentum = momentum


def _imagenet_file(name: str, required: bool) -> Path | None:
    """Keras' ImageNet weights of a backbone, at hand or downloaded; None (or an error where `required`)
    without."""
    cards = yaml.safe_load((paths.CARDS / "weights" / "keras.yml").read_text(encoding="utf-8"))
    cards = [card for card in cards if card["backbone"] == name]
    keras_cache = Path(os.environ.get("KERAS_HOME", "~/.keras")).expanduser() / "models"
    places = [*paths.own_copies("WASTEBOOK_WEIGHTS"), keras_cache]
    kept = ((card, file) for place in places for card in cards for file in files_called(card["file"], place))
    if found := next(kept, None):
        card, file = found
        algorithm = "sha256" if "sha256" in card else "md5"
        if hashlib.new(algorithm, file.read_bytes()).hexdigest() == card[algorithm]:
            return file
        raise WastebookError(
            f"{file} is not the file of {name} weights that it is called (its {algorithm} differs).\n"
            f"Get it anew, or name its path as `weights` to use it all the same."
        )
    card = next(card for card in cards if "url" in card)
    if server_answers(card["url"]):
        fetch = partial(import_keras().utils.get_file, cache_subdir="models", file_hash=card["md5"])
        try:
            return Path(fetch(card["file"], card["url"]))
        except Exception as error:  # Keras raises plain ones for a bad hash and a broken connection
            message = f"Could not download {card['url']}: {error}. Try again, or set WASTEBOOK_WEIGHTS."
            raise WastebookError(message) from error
    if required:
        raise WastebookError(
            f"No ImageNet weights for {name}: the server does not answer. Set WASTEBOOK_WEIGHTS to a folder "
            f"with {card['file']}, or use `random`."
        )
    return None
