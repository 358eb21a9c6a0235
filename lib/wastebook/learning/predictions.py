"""The two tables in which every model of the book says what it learned and what it thinks."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from wastebook.errors import WastebookError

NETWORKS = {  # their names for people
    "resnet18": "ResNet18",
    "efficientnet_b0": "EfficientNet-B0",
    "tf_efficientnet_lite0": "EfficientNet-Lite0",
    "tf_efficientnet_lite1": "EfficientNet-Lite1",
    "tf_efficientnet_lite2": "EfficientNet-Lite2",
    "mobilenetv2_100": "MobileNetV2",
    "base_cnn": "base CNN",
    "optimised_cnn": "optimised CNN",
    "xception": "Xception",
}


class Model(NamedTuple):
    """What tells one model from another: columns of every table about models, `MODEL`.

    Parameters
    ----------
    network : `resnet18`, `efficientnet_b0`, `base_cnn` and the like
    image_size : what it is fed in pixels, height first, as text: `288x384`
    transform : of the photos it learned from, or `mixup`, `class_weights`, `balanced_sampling`; or `none`
    head : `recipe`, `exact`, `searched` or `finetuned`

    Examples
    --------
    >>> Model("efficientnet_b0", "288x384", "rotation", "exact").id
    'efficientnet_b0-288x384+rotation-exact'
    """

    network: str
    image_size: str
    transform: str = "none"
    head: str = "recipe"

    @property
    def id(self) -> str:
        """The model's key in tables and file names, which nobody takes apart."""
        transform = "" if self.transform == "none" else f"+{self.transform}"
        head = "" if self.head == "recipe" else f"-{self.head}"
        return f"{self.network}-{self.image_size}{transform}{head}"

    @property
    def columns(self) -> dict[str, str]:
        """The model's columns in every table, `MODEL`."""
        return {"model": self.id} | self._asdict()


Scores = tuple[float, float]  # mean loss and accuracy
MODEL = ["model", *Model._fields]
HISTORY = [*MODEL, "seed", "epoch", "split", "loss", "accuracy"]


def predictions_table(
    photos: pd.DataFrame, probabilities: np.ndarray, classes: list[str], model: Model, seed: int, scheme: str
) -> pd.DataFrame:
    """A row per photo: its `path, label, group, split`, `predicted`, the model's columns, `seed, scheme` and
    `p_<class>` per class, from `probabilities` (N, K) in the order of `classes`."""
    table = photos[["path", "label", "group", "split"]].reset_index(drop=True)
    table["predicted"] = np.asarray(classes)[probabilities.argmax(axis=1)]
    table = table.assign(**model.columns, seed=seed, scheme=scheme)
    return table.join(pd.DataFrame(probabilities, columns=[f"p_{name}" for name in classes]))


def history_table(epochs: Sequence[tuple[float, ...]], model: Model, seed: int) -> pd.DataFrame:
    """A training's history, `HISTORY`, from each epoch's loss and accuracy on train, and on validation."""
    sides = (("train", slice(0, 2)), ("validation", slice(2, 4)))
    rows = [(at, split, *epoch[side]) for at, epoch in enumerate(epochs, 1) for split, side in sides]
    return pd.DataFrame(rows, columns=HISTORY[-4:]).assign(**model.columns, seed=seed)[HISTORY]


def classes_of(predictions: pd.DataFrame) -> list[str]:
    """The classes that a predictions table has probabilities for, in its order."""
    return [name.removeprefix("p_") for name in predictions.columns if name.startswith("p_")]


def probabilities_of(predictions: pd.DataFrame) -> np.ndarray:
    """(N, K) float64: the probabilities in a predictions table, its classes in their order."""
    return predictions.filter(regex="^p_").to_numpy(dtype=np.float64)


def class_numbers(labels: pd.Series, classes: list[str]) -> np.ndarray:
    """Each label's number among `classes`, int64; WastebookError for a label that is not one of them."""
    numbers = pd.Index(classes).get_indexer(pd.Index(labels))
    if (numbers < 0).any():
        stranger = labels.to_numpy()[numbers < 0][0]
        raise WastebookError(f"Some photo's label is {stranger!r}, which is not one of {', '.join(classes)}.")
    return numbers.astype(np.int64)


def usual_batch(photos: pd.DataFrame) -> dict[str, int]:
    """The `batch_size` where nobody asks for another: 32 photos, or all of train where these are fewer."""
    return {"batch_size": min(32, int((photos["split"] == "train").sum()))}


def check_trainable(
    photos: pd.DataFrame, classes: list[str], batch_size: int, epochs: int = 1, views: int = 1
) -> None:
    """WastebookError where a class is not in train or validation, a batch too large, no epoch or no view."""
    if min(epochs, views) < 1:
        raise WastebookError(f"epochs={epochs}, views={views} trains nothing: ask for one or more.")
    for split in ("train", "validation"):
        present = set(photos.loc[photos["split"] == split, "label"])
        if absent := ", ".join(name for name in classes if name not in present):
            raise WastebookError(f"No photo of {absent} is in {split}: add some, or leave the class out.")
    count = int((photos["split"] == "train").sum())
    if not 1 <= batch_size <= count:
        told = f"batch_size={batch_size} does not suit {count} train photos"
        raise WastebookError(f"{told}: choose 1 to {count}.")
