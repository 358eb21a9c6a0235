"""Models kept and found again: one safetensors file holds all that predicting takes, and loading it runs
nothing."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from wastebook.errors import WastebookError
from wastebook.files import atomic_write
from wastebook.learning.backbones import Backbone, rebuild_backbone
from wastebook.learning.heads import HISTORY_COLUMNS, Head

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
    with atomic_write(file) as partial:
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
