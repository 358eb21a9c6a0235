"""How the Keras models learn: photos decoded once, features of a frozen backbone once, training that can be
interrupted."""

import hashlib
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import keras  # its backend was chosen by keras_networks, whose import comes first wherever this module is used
import numpy as np
import pandas as pd

from wastebook import paths
from wastebook.errors import WastebookError
from wastebook.files import atomic_write, room_for, write_to_cache
from wastebook.learning.keras_networks import KerasBackbone, weights_hash
from wastebook.learning.predictions import check_trainable, class_numbers
from wastebook.photos.decode import decode_photos, parallel_map, progress, read_photo, resize

VERSION = 1  # raised whenever the same photos would give other features or another training than before
BATCH_SIZE = 32  # of features and predictions
OUT_OF_MEMORY = ("ResourceExhaustedError", "OutOfMemoryError")  # TensorFlow's and torch's errors
HISTORY = ["model", "seed", "epoch", "split", "loss", "accuracy", "seconds"]


class Batches(keras.utils.PyDataset):
    """`rows` of `inputs` (an array, or one on disk) with their targets, batch by batch, uint8 as they are.

    With a `seed` they come in another order each epoch, the same for the same seed and epoch. Keras takes the
    next batch while the model works on this one.
    """

    def __init__(
        self,
        inputs: np.ndarray,
        targets: np.ndarray,
        rows: np.ndarray,
        batch_size: int,
        seed: int | None = None,
        epoch: int = 0,
    ):
        super().__init__()
        self.inputs, self.targets, self.rows, self.batch_size = inputs, targets, rows, batch_size
        self.seed, self.epoch = seed, epoch
        self._deal()

    def __len__(self) -> int:
        return -(-len(self.rows) // self.batch_size)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        rows = np.sort(self.order[index * self.batch_size : (index + 1) * self.batch_size])
        return self.inputs[rows], self.targets[rows]

    def on_epoch_end(self) -> None:
        self.epoch += 1
        self._deal()

    def _deal(self) -> None:
        self.order = self.rows
        if self.seed is not None:
            self.order = np.random.default_rng((self.seed, self.epoch)).permutation(self.rows)


def limit_photos(photos: pd.DataFrame, most: int | None, seed: int) -> pd.DataFrame:
    """The photos with at most so many outside `test`, drawn at random; fewer are among more of the same
    seed."""
    learned = np.flatnonzero(photos["split"] != "test")
    dropped = np.random.default_rng(seed).permutation(learned)[len(learned) if most is None else most :]
    return photos.drop(photos.index[dropped]).reset_index(drop=True)


def decode_once(photos: pd.DataFrame, root: Path, image_size: int) -> np.ndarray:
    """(N, image_size, image_size, 3) uint8 of the photos, squeezed, from a file in the cache that is read as
    needed.

    PhotoError for a photo that cannot be read.
    """
    key = _hash(VERSION, list(photos["sha256"]), image_size)
    file = paths.cache_folder("decoded") / f"{key}.npy"
    if not file.exists():
        shape = (len(photos), image_size, image_size, 3)
        files = (root / path for path in photos["path"])
        decoded = progress("decoding", len(photos), decode_photos(files, shape[1:3]))
        header = {"descr": "|u1", "fortran_order": False, "shape": shape}
        with write_to_cache(file) as partial, partial.open("wb") as stream:
            np.lib.format.write_array_header_1_0(stream, header)
            for photo in decoded:  # not through a memory map, whose full disk kills the process
                stream.write(photo.tobytes())
    return np.load(file, mmap_mode="r")


def extract_keras_features(
    photos: pd.DataFrame,
    root: Path,
    backbone: KerasBackbone,
    transform: str = "none",
    views: int = 1,
    seed: int = 0,
) -> np.ndarray:
    """(views, N, feature_width) float32 features of the photos under fresh draws of a transform of
    `wastebook.photos.augment`; `none` has one view.

    Each photo's features are kept on disk once its view is whole, under its content, the weights, the size
    and the draw. WastebookError for an unknown transform, PhotoError for a photo that cannot be read.
    """
    size = (backbone.image_size, backbone.image_size)
    views = 1 if transform == "none" else views
    key = _hash(VERSION, backbone.name, size, backbone.sha256, keras.backend.backend())
    folder = paths.cache_folder("features", f"keras-{backbone.name}-{key[:16]}")
    result = np.empty((views, len(photos), backbone.feature_width), dtype=np.float32)
    for view in range(views):
        draw = "none" if transform == "none" else f"{transform}-{seed}-{view}"
        kept = _kept_features(folder / f"{draw}.npz")
        missing = photos[~photos["sha256"].isin(kept)].drop_duplicates("sha256")

        def load(photo: Any, draw: str = draw) -> np.ndarray:
            pixels = resize(read_photo(root / photo.path), size)
            if transform == "none":
                return pixels
            from wastebook.photos.augment import transform_photo  # imports torch: only where it is wanted

            return transform_photo(pixels, transform, f"{photo.sha256} {draw}")

        if len(missing):
            told = f"{backbone.name}, {transform}, view {view + 1} of {views}"
            shown = progress(told, len(missing), parallel_map(load, missing.itertuples()))
            found = np.concatenate(list(_features_of(shown, backbone)))[: len(missing)]
            kept |= dict(zip(missing["sha256"], found, strict=True))
            with write_to_cache(folder / f"{draw}.npz") as partial, partial.open("wb") as stream:
                np.savez(stream, photos=np.array(list(kept)), features=np.stack(list(kept.values())))
        result[view] = [kept[sha256] for sha256 in photos["sha256"]]
    return result


def with_views(
    plain: np.ndarray,
    photos: pd.DataFrame,
    root: Path,
    backbone: KerasBackbone,
    transform: str,
    views: int,
    seed: int,
) -> tuple[np.ndarray, pd.DataFrame]:
    """The features of the photos with those of `views` altered copies of each in `train` below, and their
    rows."""
    in_train = photos[photos["split"] == "train"]
    if not views or transform == "none":
        return plain, photos
    copies = extract_keras_features(in_train, root, backbone, transform, views, seed)
    return np.concatenate([plain, *copies]), pd.concat([photos, *[in_train] * views], ignore_index=True)


def train(
    model: keras.Model,
    inputs: np.ndarray,
    photos: pd.DataFrame,
    classes: list[str],
    epochs: int,
    seed: int = 0,
    batch_size: int = 32,
    learning_rate: float = 1e-3,
    patience: int = 5,
) -> tuple[keras.Model, pd.DataFrame]:
    """The model trained by Adam on binary cross-entropy, with the weights of its best epoch, and its history.

    `inputs` are the model's, a row for each of `photos`, whose `split` says which are learned from (`train`)
    and which end the training (`validation`): it stops when their loss has not fallen for `patience` epochs.
    The history has `model, seed, epoch, split, loss, accuracy, seconds` (of the epoch).

    Every epoch is kept in the cache, so a training that was killed goes on where it was, and one that is over
    is not run again. The same arguments give the same weights on one machine, as far as the backend allows.
    Where memory runs out the batch is halved, with a line that says so. WastebookError where a class is
    absent from a split, a batch is larger than the data or the loss is no longer a number.
    """
    check_trainable(photos, classes, batch_size)
    if epochs < 1:
        raise WastebookError(f"epochs={epochs} trains nothing: ask for one or more.")
    if len(classes) != 2:
        raise WastebookError(f"This chapter tells two classes apart; the data set has {len(classes)}.")
    targets = class_numbers(photos["label"], classes).astype(np.float32)[:, None]
    some = np.ascontiguousarray(inputs[:: max(1, len(inputs) // 64)])
    facts = photos[["sha256", "label", "split"]].to_csv(index=False)
    settings: list[Any] = [seed, epochs, batch_size, learning_rate, patience, keras.backend.backend()]
    # Two models with the same weights may differ in what learns, and in the numbers they reckon in.
    settings += [weight.trainable for weight in model.weights]
    settings += [layer.compute_dtype for layer in model.layers]
    key = _hash(VERSION, weights_hash(model), hashlib.sha256(some.tobytes()).hexdigest(), facts, settings)
    folder = paths.cache_folder("training", f"{model.name}-{key[:16]}")
    kept = folder / "history.parquet"
    rows = list(pd.read_parquet(kept).itertuples(index=False, name=None)) if kept.exists() else []
    keeper = _Keeper(folder, rows, seed, epochs, patience)
    if not keeper.is_over():
        begun = len(rows) // 2
        if begun:
            model = keras.saving.load_model(folder / f"epoch-{begun}.keras")
        else:
            model.compile(keras.optimizers.Adam(learning_rate), "binary_crossentropy", metrics=["accuracy"])
        train_rows, validation_rows = (
            np.flatnonzero(photos["split"] == split) for split in ("train", "validation")
        )
        try:
            model.fit(
                Batches(inputs, targets, train_rows, batch_size, seed, begun),
                validation_data=Batches(inputs, targets, validation_rows, batch_size),
                initial_epoch=begun,
                epochs=epochs,
                callbacks=[keeper],
                shuffle=False,  # the batches are dealt anew each epoch, by the seed
                verbose=0,
            )
        except Exception as error:
            if type(error).__name__ not in OUT_OF_MEMORY or batch_size == 1:
                raise
            half = batch_size // 2
            print(f"Out of memory with {batch_size} photos at once: going on with {half}.", file=sys.stderr)
            return train(model, inputs, photos, classes, epochs, seed, half, learning_rate, patience)
    model.load_weights(folder / "best.weights.h5")
    return model, pd.DataFrame(rows, columns=HISTORY)


def predict(model: keras.Model, inputs: np.ndarray, rows: np.ndarray | None = None) -> np.ndarray:
    """(N, 2) float64 class probabilities of the `rows` (all, where None) of `inputs`."""
    rows = np.arange(len(inputs)) if rows is None else rows
    batches = Batches(inputs, np.zeros((len(inputs), 1), np.float32), rows, BATCH_SIZE)
    second = np.asarray(model.predict(batches, verbose=0), dtype=np.float64)[:, 0]
    return np.stack([1 - second, second], axis=1)


def time_photo(model: keras.Model, image_size: int, rounds: int = 3) -> float:
    """Milliseconds that a photo takes through the model in batches of 32: the median of some rounds."""
    pixels = np.zeros((BATCH_SIZE, image_size, image_size, 3), dtype=np.float32)
    seconds = []
    for _ in range(rounds + 1):  # the first, a warm-up, is left out
        started = time.perf_counter()
        model.predict_on_batch(pixels)
        seconds.append(time.perf_counter() - started)
    return 1000 * float(np.median(seconds[1:])) / BATCH_SIZE


class _Keeper(keras.callbacks.Callback):
    """Keeps every epoch on disk, the last one and the best one whole, and ends the training in time.

    Keras' own callbacks for each of these forget what came before an interruption.
    """

    def __init__(self, folder: Path, rows: list[tuple], seed: int, epochs: int, patience: int):
        super().__init__()
        self.folder, self.rows, self.seed, self.epochs, self.patience = folder, rows, seed, epochs, patience

    def is_over(self) -> bool:
        losses = self._validation_losses()
        return len(losses) >= self.epochs or (
            len(losses) > 0 and len(losses) - 1 - int(np.argmin(losses)) >= self.patience
        )

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self.started = time.perf_counter()
        # Keras' files do not hold what dropout and augmentation draw from: begun anew, breaks change nothing.
        random = np.random.default_rng((self.seed, epoch))
        for variable in self.model.variables:
            if "seed_generator" in variable.path:
                variable.assign(random.integers(0, 2**31, variable.shape))

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        assert logs is not None
        seconds = time.perf_counter() - self.started
        if not np.isfinite(logs["loss"]) or not np.isfinite(logs["val_loss"]):
            raise WastebookError(f"The training of {self.model.name} diverged: lower its learning rate.")
        with room_for(self.folder):
            if logs["val_loss"] < min(self._validation_losses(), default=np.inf):
                self.model.save_weights(self.folder / "best.weights.h5", overwrite=True)
            self.model.save(self.folder / f"epoch-{epoch + 1}.keras", overwrite=True)
            for split, prefix in (("train", ""), ("validation", "val_")):
                values = (logs[f"{prefix}loss"], logs[f"{prefix}accuracy"])
                self.rows.append((self.model.name, self.seed, epoch + 1, split, *values, seconds))
            # With this line the epoch is kept; killed before it, it is run again.
            with atomic_write(self.folder / "history.parquet") as partial:
                pd.DataFrame(self.rows, columns=HISTORY).to_parquet(partial)
        (self.folder / f"epoch-{epoch}.keras").unlink(missing_ok=True)
        learned = f"loss {logs['loss']:.3f}, accuracy {logs['accuracy']:.3f}"
        held_out = f"validation {logs['val_loss']:.3f}, {logs['val_accuracy']:.3f}"
        print(f"{self.model.name} {epoch + 1:2d}/{self.epochs}: {learned}; {held_out}; {seconds:.1f} s")
        if self.is_over():
            self.model.stop_training = True
            (self.folder / f"epoch-{epoch + 1}.keras").unlink()

    def _validation_losses(self) -> list[float]:
        return [row[4] for row in self.rows if row[3] == "validation"]


def _features_of(photos: Iterable[np.ndarray], backbone: KerasBackbone) -> Iterator[np.ndarray]:
    """The features of photos, batch by batch. Always whole batches, the last filled up: kernels may round
    otherwise for other sizes, and a photo's features must not depend on what else was asked for."""
    batch: list[np.ndarray] = []
    for photo in photos:
        batch.append(photo)
        if len(batch) == BATCH_SIZE:
            yield np.asarray(backbone.network.predict_on_batch(np.stack(batch).astype(np.float32)))
            batch = []
    if batch:
        batch += batch[-1:] * (BATCH_SIZE - len(batch))
        yield np.asarray(backbone.network.predict_on_batch(np.stack(batch).astype(np.float32)))


def _kept_features(file: Path) -> dict[str, np.ndarray]:
    if not file.exists():
        return {}
    with np.load(file, allow_pickle=False) as kept:
        return dict(zip(kept["photos"].tolist(), kept["features"], strict=True))


def _hash(*facts: Any) -> str:
    return hashlib.sha256(repr(facts).encode()).hexdigest()
