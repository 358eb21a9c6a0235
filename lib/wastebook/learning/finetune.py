"""Fine-tuning in two phases: the head on cached features (see `heads`), then the backbone's upper blocks with
it.

What is customary for few photos (Howard and Ruder 2018; timm): whole blocks unfrozen from the top, each lower
one at a smaller rate, BatchNorm frozen, warm-up and cosine, and a running mean of the weights, which is what
is kept.
"""

import copy
import hashlib
import math
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

import wastebook.photos.torchvision_import  # noqa: F401 (mends the import of torchvision, so it comes before timm)

# isort: split
import timm

from wastebook import paths
from wastebook.data import fingerprint
from wastebook.errors import WastebookError
from wastebook.files import write_to_cache
from wastebook.learning.backbones import (
    Backbone,
    accelerator,
    as_input,
    forward,
    network_hash,
    out_of_memory,
    use_bf16,
)
from wastebook.learning.features import BATCH_SIZE, resize_antialiased
from wastebook.learning.heads import HISTORY_COLUMNS, Head
from wastebook.learning.predictions import check_trainable, class_numbers
from wastebook.photos.augment import check_transform, transform_photo
from wastebook.photos.decode import parallel_map, read_photo, thread_count

VERSION = 1  # raised whenever the same arguments would train another network than before
WARM_UP = 1.0  # epochs over which the rate rises from nothing
AVERAGING = 0.99  # of the running mean of weights, a step: over the last hundred steps or so


def finetune(
    photos: pd.DataFrame,
    root: Path,
    backbone: Backbone,
    head: Head,
    model: str,
    seed: int = 0,
    epochs: int = 20,
    blocks: int = 5,
    learning_rate: float = 5e-4,
    layer_decay: float = 0.7,
    weight_decay: float = 0.02,
    batch_size: int = 32,
    label_smoothing: float = 0.1,
    dropout: float = 0.2,
    transform: str = "mild",
    patience: int = 6,
    precision: str = "auto",
) -> tuple[Backbone, Head]:
    """Fine-tune the top `blocks` of a backbone together with a `head` trained on its features.

    AdamW; the topmost block and the head learn at `learning_rate`, each block below at `layer_decay` of the
    one above; photos of `train` under `transform`, another draw each epoch. After every epoch the averaged
    weights are scored on `validation`: the most accurate (then the least loss) are kept, and `patience`
    epochs without better end it. Each epoch is kept in the cache: called again with the same arguments it
    goes on from there, or gives at once what it gave. A line an epoch says how it goes. Gives the backbone
    and head tuned, whose features and predictions are had like any other's, the head with the history of the
    second phase and the seconds of both. WastebookError where a class is absent, a batch is larger than the
    data or an argument is out of range.
    """
    check_trainable(photos, head.classes, batch_size)
    check_transform(transform)
    if epochs < 1 or blocks < 1:
        raise WastebookError(f"epochs={epochs}, blocks={blocks}: fine-tuning needs one or more of each.")
    parameters: dict[str, Any] = {
        "epochs": epochs,
        "blocks": blocks,
        "learning_rate": learning_rate,
        "layer_decay": layer_decay,
        "weight_decay": weight_decay,
        "batch_size": batch_size,
        "label_smoothing": label_smoothing,
        "dropout": dropout,
        "transform": transform,
        "patience": patience,
    }
    parts = {split: photos[photos["split"] == split] for split in ("train", "validation")}
    targets = {split: class_numbers(part["label"], head.classes) for split, part in parts.items()}
    training = _Training(backbone, head, parameters, seed, precision, len(parts["train"]))
    told = [
        VERSION,
        parameters,
        seed,
        training.bf16,
        training.device.type,
        head.classes,
        head.weight.tobytes(),
    ]
    told += [backbone.sha256, backbone.image_size, *(fingerprint(part) for part in parts.values())]
    key = hashlib.sha256(repr(told).encode()).hexdigest()[:16]
    training.kept = paths.cache_folder("finetuned") / f"{backbone.name}-{key}.pt"
    training.resume()
    if not training.finished:
        load_one = lambda file: resize_antialiased(read_photo(file), backbone.image_size)  # noqa: E731
        files = {split: [root / path for path in part["path"]] for split, part in parts.items()}
        decoded = {split: list(parallel_map(load_one, some)) for split, some in files.items()}
    while not training.finished:
        epoch, started = training.epoch + 1, time.perf_counter()
        order = np.random.default_rng([seed, epoch]).permutation(len(targets["train"]))
        keys = [f"{sha256} {transform}-{seed}-{epoch}" for sha256 in parts["train"]["sha256"]]

        def load(rows: np.ndarray, keys: list[str] = keys) -> tuple[np.ndarray, np.ndarray]:
            views = [transform_photo(decoded["train"][row], transform, keys[row]) for row in rows]
            return np.stack(views), targets["train"][rows]

        learned = training.learn(parallel_map(load, np.array_split(order, training.steps)))
        validated = training.validate(np.stack(decoded["validation"]), targets["validation"])
        seconds = time.perf_counter() - started
        training.end_epoch(model, learned, validated, seconds)
        print(
            f"epoch {epoch} of {epochs}: train loss {learned[0]:.3f}, validation loss {validated[0]:.3f}, "
            f"accuracy {validated[1]:.3f}, {seconds:.0f} s"
        )
    return training.result()


def parameter_blocks(network: nn.Module) -> list[list[str]]:
    """The names of a network's parameters, block by block (its stem, then its stages) from input to
    output."""
    matcher = network.group_matcher(coarse=True)  # type: ignore[operator]
    blocks = timm.models.group_parameters(network, matcher)
    return [blocks[number] for number in sorted(blocks)]


def _running_mean(means: Any, weights: Any, number: torch.Tensor | int) -> None:
    """Exponential moving averages brought up to date, over fewer steps in the beginning."""
    decay = min(AVERAGING, (1 + int(number)) / (10 + int(number)))
    get_ema_multi_avg_fn(decay)(means, weights, number)


class _Classifier(nn.Module):
    """The network with dropout and a linear head. Dropout draws from a generator of its own, because the
    photos' transforms draw from torch's global one in other threads."""

    network: nn.Module
    head: nn.Linear

    def __init__(self, backbone: Backbone, head: Head, dropout: float):
        super().__init__()
        self.network = copy.deepcopy(backbone.network)
        self.head = nn.Linear(backbone.feature_width, len(head.classes))
        self.head.load_state_dict({"weight": torch.tensor(head.weight), "bias": torch.tensor(head.bias)})
        self.dropout = dropout
        self.random = torch.Generator()

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        features = self.network(inputs)
        kept = torch.rand(features.shape, generator=self.random) >= self.dropout
        return self.head(features * (kept / (1 - self.dropout)).to(features.device))


class _Training:
    """The networks, the optimiser and how far the training is: what a checkpoint keeps."""

    kept: Path

    def __init__(
        self,
        backbone: Backbone,
        head: Head,
        parameters: dict[str, Any],
        seed: int,
        precision: str,
        photos: int,
    ):
        self.backbone, self.start, self.parameters, self.seed = backbone, head, parameters, seed
        self.device = accelerator()
        self.bf16 = use_bf16(precision, self.device)
        self.at_once = parameters["batch_size"]  # photos in memory at once, fewer after running out of it
        self.steps = math.ceil(photos / parameters["batch_size"])
        self.epoch, self.waited, self.seconds = 0, 0, 0.0
        self.best: tuple[float, float] | None = None  # validation accuracy and minus loss of `self.chosen`
        self.chosen: dict[str, torch.Tensor] = {}
        self.rows: list[tuple] = []
        self.classifier = _Classifier(backbone, head, parameters["dropout"]).to(
            self.device, memory_format=torch.channels_last
        )  # type: ignore[call-overload]
        self.averaged = AveragedModel(self.classifier, multi_avg_fn=_running_mean)
        self.averaged.eval()
        self.optimiser = torch.optim.AdamW(self._groups(), weight_decay=parameters["weight_decay"])
        whole, rising = parameters["epochs"] * self.steps, WARM_UP * self.steps
        self.schedule = torch.optim.lr_scheduler.LambdaLR(
            self.optimiser,
            lambda step: min((step + 1) / rising, 0.5 + 0.5 * math.cos(math.pi * min(step / whole, 1))),
        )
        torch.set_num_threads(thread_count())

    @property
    def tuned(self) -> _Classifier:
        """The running mean of the classifier."""
        return self.averaged.module  # type: ignore[return-value]

    @property
    def finished(self) -> bool:
        return self.epoch >= self.parameters["epochs"] or self.waited >= self.parameters["patience"]

    def _groups(self) -> list[dict[str, Any]]:
        """The head and the top blocks with their rates; all below is frozen."""
        network, rate = self.classifier.network, self.parameters["learning_rate"]
        named = dict(network.named_parameters())
        network.requires_grad_(False)
        groups = [{"params": list(self.classifier.head.parameters()), "lr": rate}]
        top = parameter_blocks(network)[::-1][: self.parameters["blocks"]]
        for below, names in enumerate(top):
            learning = [named[name].requires_grad_(True) for name in names]
            groups.append({"params": learning, "lr": rate * self.parameters["layer_decay"] ** below})
        return groups

    def learn(self, batches: Iterator[tuple[np.ndarray, np.ndarray]]) -> tuple[float, float]:
        """One epoch; gives its mean loss and accuracy."""
        self.classifier.train()
        for layer in self.classifier.network.modules():
            if isinstance(layer, nn.modules.batchnorm._BatchNorm):
                layer.eval()  # the statistics of ImageNet are better than those of a small batch
        self.classifier.random.manual_seed(1000 * self.seed + self.epoch)
        losses, right, seen = 0.0, 0, 0
        for pixels, wanted in batches:
            loss, correct = self._step(torch.from_numpy(pixels), torch.from_numpy(wanted))
            losses, right, seen = losses + loss * len(wanted), right + correct, seen + len(wanted)
        if not math.isfinite(losses):
            raise WastebookError(
                f"Fine-tuning diverged at learning_rate={self.parameters['learning_rate']}: lower it."
            )
        return losses / seen, right / seen

    def _step(self, pixels: torch.Tensor, wanted: torch.Tensor) -> tuple[float, int]:
        """One step on a batch, in parts where memory does not hold it whole; gives its loss and right
        guesses."""
        smoothing, total, right = self.parameters["label_smoothing"], 0.0, 0
        try:
            self.optimiser.zero_grad()
            for start in range(0, len(pixels), self.at_once):
                part = slice(start, start + self.at_once)
                numbers = wanted[part].to(self.device)
                with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
                    logits = self.classifier(as_input(self.backbone, pixels[part].to(self.device)))
                loss = functional.cross_entropy(logits.float(), numbers, label_smoothing=smoothing)
                loss = loss * (len(numbers) / len(wanted))
                loss.backward()
                total += loss.item()
                right += int((logits.argmax(1) == numbers).sum())
        except RuntimeError as error:
            if not out_of_memory(error) or self.at_once == 1:
                raise
            self.at_once = (self.at_once + 1) // 2
            print(f"Out of memory: going on with {self.at_once} photos at once.", file=sys.stderr)
            return self._step(pixels, wanted)
        self.optimiser.step()
        self.schedule.step()
        self.averaged.update_parameters(self.classifier)
        return total, right

    def validate(self, pixels: np.ndarray, wanted: np.ndarray) -> tuple[float, float]:
        """Loss and accuracy of the averaged weights."""
        batches = np.array_split(pixels, math.ceil(len(pixels) / BATCH_SIZE))
        network, head = self.tuned.network, self.tuned.head
        features = [forward(network, self.backbone, batch, self.device, self.bf16) for batch in batches]
        with torch.inference_mode():
            together = torch.from_numpy(np.concatenate(features)).to(self.device)
            logits = functional.linear(together, head.weight, head.bias).cpu()
            loss = functional.cross_entropy(logits, torch.from_numpy(wanted)).item()
        return loss, float((logits.argmax(1).numpy() == wanted).mean())

    def end_epoch(
        self, model: str, learned: tuple[float, float], validated: tuple[float, float], seconds: float
    ) -> None:
        """Take note of an epoch, choose the weights if they are the best so far, and keep a checkpoint."""
        self.epoch += 1
        self.seconds += seconds
        self.rows += [
            (model, self.seed, self.epoch, "train", *learned),
            (model, self.seed, self.epoch, "validation", *validated),
        ]
        merit = (validated[1], -validated[0])
        self.waited += 1
        if self.best is None or merit > self.best:
            self.best, self.waited = merit, 0
            self.chosen = copy.deepcopy(self.tuned.state_dict())
        state = {name: getattr(self, name) for name in self.PLAIN}
        state |= {name: getattr(self, name).state_dict() for name in self.STATEFUL}
        with write_to_cache(self.kept) as partial:
            torch.save(state, partial)

    PLAIN = ("epoch", "waited", "seconds", "best", "chosen", "rows", "at_once")
    STATEFUL = ("classifier", "averaged", "optimiser", "schedule")

    def resume(self) -> None:
        """Go on from the checkpoint, where there is one."""
        if not self.kept.exists():
            return
        state = torch.load(self.kept, map_location=self.device, weights_only=True)
        for name in self.PLAIN:
            setattr(self, name, state[name])
        for name in self.STATEFUL:
            getattr(self, name).load_state_dict(state[name])

    def result(self) -> tuple[Backbone, Head]:
        """The backbone and head chosen on validation."""
        tuned = self.tuned.cpu()
        tuned.load_state_dict(self.chosen)
        network = tuned.network.requires_grad_(True)
        head = Head(
            tuned.head.weight.detach().numpy(),
            tuned.head.bias.detach().numpy(),
            self.start.classes,
            pd.DataFrame(self.rows, columns=HISTORY_COLUMNS),
            self.parameters,
            self.start.seconds + self.seconds,
        )
        return self.backbone._replace(network=network, sha256=network_hash(network)), head
