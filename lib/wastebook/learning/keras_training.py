"""How the Keras models learn: photos decoded once, features of a frozen backbone once, training that can be
interrupted."""

import hashlib
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from filelock import FileLock

from wastebook.cache import cache_folder
from wastebook.errors import WastebookError
from wastebook.files import atomic_write, explain_full_disk
from wastebook.learning.features import BATCH_SIZE, cached_features, time_forward
from wastebook.learning.keras_networks import KerasBackbone, import_keras, weights_hash
from wastebook.learning.predictions import (
    MODEL,
    Model,
    check_trainable,
    class_numbers,
    predictions_table,
)
from wastebook.photos.decode import decode_photos, progress

if TYPE_CHECKING:
    import keras

VERSION = 2  # raised whenever the same photos would give another training than before
OUT_OF_MEMORY = ("ResourceExhaustedError", "OutOfMemoryError")  # TensorFlow's and torch's errors
EPOCHS = ["seed", "epoch", "split", "loss", "accuracy", "seconds"]
HISTORY = [*MODEL, *EPOCHS]
Batches = Callable[[str, int], tuple[Iterator[Any], int]]  # of a split in an epoch, and how many


class KerasRecipe(NamedTuple):
    """How a network learns: for `epochs` at most, in an order drawn by `seed`, until the validation loss has
    not fallen for `patience` epochs."""

    epochs: int
    seed: int = 0
    batch_size: int = 32
    learning_rate: float = 1e-3
    patience: int = 5


class KerasStudy(NamedTuple):
    """A trained network, the history of its training, and its `predictions` for validation and test."""

    network: "keras.Model"
    history: pd.DataFrame
    predictions: pd.DataFrame


def limit_photos(photos: pd.DataFrame, most: int | None, seed: int) -> pd.DataFrame:
    """The photos with at most so many outside `test`, drawn at random; fewer are among more of the same
    seed."""
    learned = np.flatnonzero(photos["split"] != "test")
    dropped = np.random.default_rng(seed).permutation(learned)[len(learned) if most is None else most :]
    return photos.drop(photos.index[dropped]).reset_index(drop=True)


def decode_once(photos: pd.DataFrame, root: Path, image_size: int) -> np.ndarray:
    """(N, image_size, image_size, 3) uint8 of the photos, squeezed, from a file in the cache that is read as
    needed. PhotoError for a photo that cannot be read."""
    file = cache_folder("decoded") / f"{_hash(VERSION, list(photos['sha256']), image_size)}.npy"
    if not file.exists():
        shape = (len(photos), image_size, image_size, 3)
        decoded = decode_photos((root / path for path in photos["path"]), shape[1:3])
        with atomic_write(file) as new, new.open("wb") as stream:
            np.lib.format.write_array_header_1_0(
                stream, {"descr": "|u1", "fortran_order": False, "shape": shape}
            )
            for photo in progress("decoding", len(photos), decoded):
                stream.write(photo.tobytes())  # not through a memory map, whose full disk kills the process
    return np.load(file, mmap_mode="r")


def extract_keras_features(photos: pd.DataFrame, root: Path, backbone: KerasBackbone) -> np.ndarray:
    """(N, feature_width) float32 features of the photos, kept on disk with those of torch (`features`).
    PhotoError for a photo that cannot be read."""

    def forward(pixels: np.ndarray) -> np.ndarray:
        return np.asarray(backbone.network.predict_on_batch(pixels.astype(np.float32)))

    key = f"keras-{backbone.name}-{_hash(backbone.sha256, import_keras().backend.backend())}"
    size, width = backbone.image_size, backbone.feature_width
    return cached_features(photos, root, key, "none", 1, 0, size, forward, width)[0]


def train_and_predict(
    network: "keras.Model",
    inputs: np.ndarray,
    photos: pd.DataFrame,
    classes: list[str],
    model: Model,
    recipe: KerasRecipe,
    scheme: str,
) -> KerasStudy:
    """The network trained by Adam on binary cross-entropy, with the weights of its best epoch, its history
    (`HISTORY`: the columns of `model`, and each epoch's `seconds`), and its predictions for the photos that
    it did not learn from; `scheme` dealt them out.

    `inputs` are the network's, a row per row of `photos`, whose `split` says which are learned from (`train`)
    and which end the training (`validation`). Every epoch is kept in the cache, so a training that was killed
    goes on where it was, and one that is over is not run again; a second process that wants the same one
    waits for it. The same arguments give the same weights on one machine, as far as the backend allows. Where
    memory runs out all begins anew with half the batch, with a line that says so. WastebookError where a
    class is absent from a split, a batch is larger than the data or the loss is no longer a number.
    """
    check_trainable(photos, classes, recipe.batch_size)
    if recipe.epochs < 1:
        raise WastebookError(f"epochs={recipe.epochs} trains nothing: ask for one or more.")
    if len(classes) != 2:
        raise WastebookError(f"This chapter tells two classes apart; the data set has {len(classes)}.")
    targets = class_numbers(photos["label"], classes).astype(np.float32)[:, None]
    history = _fit(network, inputs, targets, photos, recipe).assign(**model.columns)[HISTORY]
    held_out = np.flatnonzero(photos["split"] != "train")
    predicted = predict(network, inputs, held_out)
    table = predictions_table(photos.iloc[held_out], predicted, classes, model, recipe.seed, scheme)
    return KerasStudy(network, history, table)


def _fit(
    network: "keras.Model", inputs: np.ndarray, targets: np.ndarray, photos: pd.DataFrame, recipe: KerasRecipe
) -> pd.DataFrame:
    """The history (`EPOCHS`) of a training, begun anew with half the batch where memory runs out."""
    data, initial = (inputs, targets, photos["split"].to_numpy()), network.get_weights()
    while True:
        folder = _folder_of(network, inputs, photos, recipe)
        try:
            with FileLock(folder / "lock"), explain_full_disk(folder):
                return _learn(network, folder, partial(_batches, *data, recipe), recipe)
        except Exception as error:
            if type(error).__name__ not in OUT_OF_MEMORY or recipe.batch_size == 1:
                raise
        print(f"Out of memory with {recipe.batch_size} photos at once: anew, with half.", file=sys.stderr)
        recipe = recipe._replace(batch_size=recipe.batch_size // 2)
        network.set_weights(initial)


def _folder_of(network: "keras.Model", inputs: np.ndarray, photos: pd.DataFrame, recipe: KerasRecipe) -> Path:
    """Where a training is kept: by all that it depends on."""
    facts: list[Any] = [VERSION, weights_hash(network), recipe, import_keras().backend.backend()]
    # Two networks with the same weights may differ in what learns, and in the numbers they reckon in.
    facts += [weight.trainable for weight in network.weights]
    facts += [layer.compute_dtype for layer in network.layers]
    facts.append(photos[["sha256", "label", "split"]].to_csv(index=False))
    some = inputs[:: max(1, len(inputs) // 64)].tobytes()
    return cache_folder("training", f"{network.name}-{_hash(facts, hashlib.sha256(some).hexdigest())}")


def predict(network: "keras.Model", inputs: np.ndarray, rows: np.ndarray | None = None) -> np.ndarray:
    """(N, 2) float64 class probabilities of the `rows` (all, where None) of `inputs`."""
    rows = np.arange(len(inputs)) if rows is None else rows
    parts = np.split(rows, range(BATCH_SIZE, len(rows), BATCH_SIZE))
    batches = ((inputs[part],) for part in parts)
    second = np.asarray(network.predict(batches, steps=len(parts), verbose=0), dtype=np.float64)[:, 0]
    return np.stack([1 - second, second], axis=1)


def measure_cost(network: "keras.Model", rounds: int = 3) -> dict[str, float]:
    """`parameters, megabytes` (weights in fp32) and `milliseconds` that a photo takes through the network in
    batches of 32: the median of some rounds."""
    pixels = np.zeros((BATCH_SIZE, *network.input_shape[1:]), dtype=np.float32)
    parameters, milliseconds = network.count_params(), time_forward(network.predict_on_batch, pixels, rounds)
    return {"parameters": parameters, "megabytes": parameters * 4 / 1e6, "milliseconds": milliseconds}


def _batches(
    inputs: np.ndarray, targets: np.ndarray, splits: np.ndarray, recipe: KerasRecipe, split: str, epoch: int
) -> tuple[Iterator[tuple[np.ndarray, np.ndarray]], int]:
    """A split's inputs (an array, or one on disk) and targets, batch by batch, and how many batches; `train`
    in another order each epoch, the same for the same seed and epoch."""
    rows = np.flatnonzero(splits == split)
    if split == "train":
        rows = np.random.default_rng((recipe.seed, epoch)).permutation(rows)
    parts = [np.sort(part) for part in np.split(rows, range(recipe.batch_size, len(rows), recipe.batch_size))]
    return ((inputs[part], targets[part]) for part in parts), len(parts)


def _learn(network: "keras.Model", folder: Path, batches: Batches, recipe: KerasRecipe) -> pd.DataFrame:
    """Train `network`, or go on where `folder` says; its history (`EPOCHS`).

    An epoch at a time, each kept before the next: Keras' callbacks for the best epoch, for stopping in time
    and for carrying on forget, each of them, what came before an interruption.
    """
    kept = folder / "history.parquet"
    history = pd.read_parquet(kept) if kept.exists() else pd.DataFrame(columns=EPOCHS)
    keras, learner = import_keras(), network
    if history.empty:
        rate = keras.optimizers.Adam(recipe.learning_rate)
        network.compile(rate, "binary_crossentropy", metrics=["accuracy"])
    elif not _is_over(history, recipe):
        learner = keras.saving.load_model(folder / f"epoch-{len(history) // 2}.keras")
    while not _is_over(history, recipe):
        epoch = len(history) // 2 + 1
        rows = _run_epoch(learner, batches, epoch, recipe.seed)
        history = pd.DataFrame([*history.itertuples(index=False), *rows], columns=EPOCHS)
        if _losses(history).argmin() == epoch - 1:
            learner.save_weights(folder / "best.weights.h5", overwrite=True)
        learner.save(folder / f"epoch-{epoch}.keras", overwrite=True)
        with atomic_write(kept) as new:  # with this the epoch is kept; killed before, it is run again
            history.to_parquet(new)
        (folder / f"epoch-{epoch - 1}.keras").unlink(missing_ok=True)
    (folder / f"epoch-{len(history) // 2}.keras").unlink(missing_ok=True)
    network.load_weights(folder / "best.weights.h5")
    return history


def _run_epoch(learner: "keras.Model", batches: Batches, epoch: int, seed: int) -> list[tuple]:
    """The rows of an epoch's history: what was learned, and how that does on validation."""
    started = time.perf_counter()
    # Keras' files do not hold what dropout and augmentation draw from: begun anew, breaks change nothing.
    random = np.random.default_rng((seed, epoch))
    for variable in learner.variables:
        if "seed_generator" in variable.path:
            variable.assign(random.integers(0, 2**31, variable.shape))
    some, steps = batches("train", epoch)  # Keras takes the next batch while the network works on this one
    fitted = learner.fit(some, steps_per_epoch=steps, shuffle=False, verbose=0).history
    learned = {name: values[-1] for name, values in fitted.items()}
    some, steps = batches("validation", epoch)
    held_out = learner.evaluate(some, steps=steps, verbose=0, return_dict=True)
    seconds = time.perf_counter() - started
    if not np.isfinite([learned["loss"], held_out["loss"]]).all():
        raise WastebookError(f"The training of {learner.name} diverged: lower its learning rate.")
    told = [f"{loss['loss']:.3f}, accuracy {loss['accuracy']:.3f}" for loss in (learned, held_out)]
    print(f"{learner.name} {epoch:2d}: loss {told[0]}; validation {told[1]}; {seconds:.1f} s")
    parts = {"train": learned, "validation": held_out}
    return [(seed, epoch, split, part["loss"], part["accuracy"], seconds) for split, part in parts.items()]


def _losses(history: pd.DataFrame) -> np.ndarray:
    return history.loc[history["split"] == "validation", "loss"].to_numpy(dtype=float)


def _is_over(history: pd.DataFrame, recipe: KerasRecipe) -> bool:
    losses = _losses(history)
    stale = len(losses) and len(losses) - 1 - losses.argmin() >= recipe.patience
    return bool(stale) or len(losses) >= recipe.epochs


def _hash(*facts: Any) -> str:
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:16]
