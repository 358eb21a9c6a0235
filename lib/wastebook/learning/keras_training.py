"""How the Keras models learn: photos decoded once, and training that can be interrupted."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from wastebook.cache import cache_folder
from wastebook.errors import WastebookError
from wastebook.files import atomic_write
from wastebook.learning import predictions
from wastebook.learning.features import BATCH_SIZE, short_hash, time_forward
from wastebook.learning.keras_networks import import_keras, weights_hash
from wastebook.learning.predictions import Model, Scores, check_trainable, class_numbers
from wastebook.learning.training import Epoch, train_by_epochs, within_memory
from wastebook.photos.decode import decode_photos, progress

if TYPE_CHECKING:
    import keras

VERSION = 3  # raised whenever the same photos would give another training than before


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
    needed, and made anew where it is not whole. PhotoError for a photo that cannot be read."""
    file = cache_folder("decoded") / f"{short_hash(VERSION, list(photos['sha256']), image_size)}.npy"
    shape = (len(photos), image_size, image_size, 3)
    try:
        return np.load(file, mmap_mode="r").reshape(shape)
    except (OSError, ValueError, EOFError):  # not there, or cut short
        decoded = decode_photos((root / path for path in photos["path"]), shape[1:3])
    with atomic_write(file) as new, new.open("wb") as stream:
        about = {"descr": "|u1", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(stream, about)
        for photo in progress("decoding", len(photos), decoded):
            stream.write(photo.tobytes())  # not through a memory map, whose full disk kills the process
    return np.load(file, mmap_mode="r")


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
    (that of any model, and each epoch's `seconds`), and its predictions for the photos that it did not learn
    from; `scheme` dealt them out.

    `inputs` are the network's, a row per row of `photos`, whose `split` says which are learned from (`train`)
    and which end the training (`validation`). It is kept in the cache epoch by epoch (`train_by_epochs`). The
    same arguments give the same weights on one machine, as far as the backend allows. Where memory runs out
    all begins anew with half the batch, with a line that says so. WastebookError where a class is absent from
    a split, a batch is larger than the data or the loss is no longer a number.
    """
    check_trainable(photos, classes, recipe.batch_size, recipe.epochs)
    if len(classes) != 2:
        raise WastebookError(f"This chapter tells two classes apart; the data set has {len(classes)}.")
    targets = class_numbers(photos["label"], classes).astype(np.float32)[:, None]
    epochs = _fit(network, inputs, targets, photos, recipe)
    seconds = np.repeat([each[4] for each in epochs], 2)
    history = predictions.history_table(epochs, model, recipe.seed).assign(seconds=seconds)
    held_out = np.flatnonzero(photos["split"] != "train")
    answers = (photos.iloc[held_out], predict(network, inputs, held_out), classes, model, recipe.seed, scheme)
    return KerasStudy(network, history, predictions.predictions_table(*answers))


def _fit(
    network: "keras.Model", inputs: np.ndarray, targets: np.ndarray, photos: pd.DataFrame, recipe: KerasRecipe
) -> list[Epoch]:
    """Train the network, and give it the weights of its best epoch."""
    initial = network.get_weights()

    def fit(batch_size: int) -> list[Epoch]:
        network.set_weights(initial)
        fitting = recipe._replace(batch_size=batch_size)
        facts: list[Any] = [VERSION, weights_hash(network), fitting, import_keras().backend.backend()]
        # Two networks with the same weights may differ in what learns, and in the numbers they reckon in.
        facts += [weight.trainable for weight in network.weights]
        facts += [layer.compute_dtype for layer in network.layers]
        facts.append(photos[["sha256", "label", "split"]].to_csv(index=False))
        facts.append(hashlib.sha256(inputs[:: max(1, len(inputs) // 64)].tobytes()).hexdigest())
        file = cache_folder("training") / f"{network.name}-{short_hash(*facts)}.npz"
        learner = _Learner(network, inputs, targets, photos["split"].to_numpy(), fitting)
        epochs, chosen = train_by_epochs(learner, file)
        network.set_weights(chosen)
        return epochs

    return within_memory(fit, recipe.batch_size)


def predict(network: "keras.Model", inputs: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """(N, 2) float64 class probabilities of the `rows` of `inputs`."""
    parts = np.split(rows, range(BATCH_SIZE, len(rows), BATCH_SIZE))
    batches = ((inputs[part],) for part in parts)
    second = np.asarray(network.predict(batches, steps=len(parts), verbose=0), dtype=np.float64)[:, 0]
    return np.stack([1 - second, second], axis=1)


def measure_cost(network: "keras.Model") -> dict[str, float]:
    """`parameters, megabytes` (weights in fp32) and `milliseconds` (of `time_forward`, in batches of 32)."""
    pixels = np.zeros((BATCH_SIZE, *network.input_shape[1:]), dtype=np.float32)
    parameters, milliseconds = network.count_params(), time_forward(network.predict_on_batch, pixels)
    return {"parameters": parameters, "megabytes": parameters * 4 / 1e6, "milliseconds": milliseconds}


class _Learner:
    """A Keras network that learns from the rows of `inputs` (an array, or one on disk) and `targets` whose
    split is `train`."""

    merit = staticmethod(lambda epoch: -epoch[2])

    def __init__(
        self, network: Any, inputs: np.ndarray, targets: np.ndarray, splits: np.ndarray, recipe: KerasRecipe
    ):
        self.name, self.network, self.recipe = network.name, network, recipe
        self.inputs, self.targets, self.splits = inputs, targets, splits
        optimiser = import_keras().optimizers.Adam(recipe.learning_rate)
        network.compile(optimiser, "binary_crossentropy", metrics=["accuracy"])
        optimiser.build(network.trainable_variables)
        self.variables = [*network.variables, *optimiser.variables]

    def batches(self, split: str, epoch: int) -> tuple[Iterator[tuple[np.ndarray, np.ndarray]], int]:
        """A split's inputs and targets, batch by batch, and how many batches; `train` in another order each
        epoch, the same for the same seed and epoch."""
        rows, size = np.flatnonzero(self.splits == split), self.recipe.batch_size
        if split == "train":
            rows = np.random.default_rng((self.recipe.seed, epoch)).permutation(rows)
        parts = [np.sort(part) for part in np.split(rows, range(size, len(rows), size))]
        return ((self.inputs[part], self.targets[part]) for part in parts), len(parts)

    def run_epoch(self, epoch: int) -> tuple[Scores, Scores]:
        # Begun anew with each epoch, what dropout and augmentation draw from is the same after a break.
        random = np.random.default_rng((self.recipe.seed, epoch))
        for variable in self.network.variables:
            if "seed_generator" in variable.path:
                variable.assign(random.integers(0, 2**31, variable.shape))
        some, steps = self.batches("train", epoch)  # Keras takes the next while the network works on this one
        fitted = self.network.fit(some, steps_per_epoch=steps, shuffle=False, verbose=0).history
        some, steps = self.batches("validation", epoch)
        validated = self.network.evaluate(some, steps=steps, verbose=0, return_dict=True)
        return (fitted["loss"][-1], fitted["accuracy"][-1]), (validated["loss"], validated["accuracy"])

    def weights(self) -> list[np.ndarray]:
        return self.network.get_weights()

    def write(self, file: Path, epochs: list[Epoch], chosen: list[np.ndarray]) -> None:
        with file.open("wb") as stream:
            np.savez(stream, np.array(epochs), *chosen, *(variable.numpy() for variable in self.variables))

    def read(self, file: Path) -> tuple[list[Epoch], list[np.ndarray]]:
        with np.load(file, allow_pickle=False) as kept:
            epochs, *arrays = kept.values()
        count = len(self.network.weights)
        for variable, values in zip(self.variables, arrays[count:], strict=True):
            variable.assign(values)
        return [tuple(epoch) for epoch in epochs.tolist()], arrays[:count]
