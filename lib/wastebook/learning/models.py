"""Models kept and found again: one safetensors file holds all that predicting takes, and loading it runs
nothing."""

import json
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from wastebook.errors import WastebookError
from wastebook.files import written_whole
from wastebook.learning.backbones import Backbone, load_pixels, rebuild_backbone
from wastebook.learning.features import BATCH_SIZE, accelerator, for_inference, forward, use_bf16
from wastebook.learning.heads import HISTORY_COLUMNS, Head, head_probabilities
from wastebook.learning.predictions import probability_columns
from wastebook.photos.decode import in_order

FORMAT = "wastebook model 1"


class Model(NamedTuple):
    """A backbone with the head trained on it. `card` holds what else should travel with it, as plain values:
    the data's fingerprint, scores, and `temperature` (by which the logits are divided; 1 where it is not
    there)."""

    name: str
    backbone: Backbone
    head: Head
    card: dict[str, Any]


def save_model(file: Path, model: Model) -> None:
    """Keep a model as safetensors; labels, preprocessing, parameters and card lie in the file's metadata as
    JSON."""
    tensors = {
        f"backbone.{name}": tensor.contiguous()
        for name, tensor in model.backbone.network.state_dict().items()
    }
    tensors |= {
        "head.weight": torch.from_numpy(model.head.weight),
        "head.bias": torch.from_numpy(model.head.bias),
    }
    facts = {
        "format": FORMAT,
        "name": model.name,
        "classes": model.head.classes,
        "parameters": model.head.parameters,
        "backbone": {key: value for key, value in model.backbone._asdict().items() if key != "network"},
        "card": model.card,
    }
    metadata = {"wastebook": json.dumps(facts, ensure_ascii=False, sort_keys=True)}
    with written_whole(file) as partial:
        save_file(tensors, partial, metadata=metadata)


def load_model(file: Path) -> Model:
    """The model kept in `file`. WastebookError where it is gone, damaged or no model of this library."""
    try:
        with safe_open(file, framework="pt") as opened:
            facts = json.loads((opened.metadata() or {}).get("wastebook", "{}"))
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 (no mapping)
    except (OSError, SafetensorError, json.JSONDecodeError) as error:
        raise WastebookError(f"{file} cannot be read as a model ({error}): train it anew.") from error
    if facts.get("format") != FORMAT:
        raise WastebookError(f"{file} is no model of this version of Wastebook: train it anew.")
    prefix = "backbone."
    network = {
        name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)
    }
    head = Head(
        tensors["head.weight"].numpy(),
        tensors["head.bias"].numpy(),
        facts["classes"],
        pd.DataFrame(columns=HISTORY_COLUMNS),
        facts["parameters"],
        seconds=0.0,
    )
    return Model(facts["name"], rebuild_backbone(facts["backbone"], network), head, facts["card"])


def predict_photos(model: Model, files: Sequence[Path], precision: str = "auto") -> pd.DataFrame:
    """A row a file: `path` (as given), `predicted` and `p_<class>` a class, in flat memory however many there
    are.

    Photos are prepared exactly as for training. PhotoError at the first that cannot be read.
    """
    probabilities = np.concatenate(
        [np.zeros((0, len(model.head.classes))), *stream_probabilities(model, files, precision)]
    )
    table = pd.DataFrame(probabilities, columns=probability_columns(model.head.classes))
    table.insert(0, "path", [str(file) for file in files])
    table.insert(1, "predicted", np.asarray(model.head.classes)[probabilities.argmax(axis=1)])
    return table


def stream_probabilities(
    model: Model, files: Sequence[Path], precision: str = "auto", batch_size: int = BATCH_SIZE
) -> Iterator[np.ndarray]:
    """(B, K) class probabilities of the photos in `files`, a batch at a time as they are computed."""
    device = accelerator()
    network, bf16 = for_inference(model.backbone).to(device), use_bf16(precision, device)
    cooled = 1 / model.card.get("temperature", 1.0)
    head = model.head._replace(weight=model.head.weight * cooled, bias=model.head.bias * cooled)
    decoded = in_order(partial(load_pixels, image_size=model.backbone.image_size), files)
    while photos := list(islice(decoded, batch_size)):
        yield head_probabilities(head, forward(network, model.backbone, np.stack(photos), device, bf16))
