"""Fine-tuning: a head trained on cached features (see `heads`), then the backbone's upper blocks with it.

What is customary for few photos (Howard and Ruder 2018; timm): whole blocks unfrozen from the top, each lower
one at a smaller rate, BatchNorm frozen, warm-up and cosine, and a running mean of the weights, which is kept.
"""

import copy
import hashlib
import math
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.nn import functional

import wastebook.photos.torchvision_import  # noqa: F401 (mends the import of torchvision, so it comes before timm)

# isort: split
from timm.models import group_parameters
from timm.scheduler import CosineLRScheduler
from timm.utils import ModelEmaV3

from wastebook.cache import cache_folder
from wastebook.data import fingerprint
from wastebook.errors import WastebookError
from wastebook.files import atomic_write, exclusive_lock
from wastebook.learning import backbones
from wastebook.learning.backbones import Backbone
from wastebook.learning.features import BATCH_SIZE, extract_features
from wastebook.learning.heads import Head
from wastebook.learning.predictions import Model, Scores, check_trainable, class_numbers, history_table
from wastebook.learning.study import Deals, Study, study_deals
from wastebook.photos.augment import check_transform, transform_photo
from wastebook.photos.decode import decode_photos, parallel_map, thread_count

VERSION = 2  # raised whenever the same arguments would train another network than before


class Settings(NamedTuple):
    """The topmost of `blocks` and the head learn at `learning_rate` by AdamW, each block below at
    `layer_decay` of the one above; `patience` epochs without better end it."""

    epochs: int = 20
    blocks: int = 5
    learning_rate: float = 5e-4
    layer_decay: float = 0.7
    weight_decay: float = 0.02
    batch_size: int = 32
    label_smoothing: float = 0.1
    dropout: float = 0.2
    transform: str = "mild"
    patience: int = 6


def finetune_heads(
    model: Model,
    root: Path,
    backbone: Backbone,
    started: Study,
    deals: Deals,
    scheme: str,
    seed: int,
    **options: Any,
) -> tuple[Study, Backbone]:
    """The backbone's upper layers trained too, under one deal, in the cache epoch by epoch.

    Parameters
    ----------
    model, deals : as `train_heads`'
    root : the folder of the photos
    backbone : from `load_backbone`
    started : a study on the same backbone, with whose head it starts
    scheme, seed : of the deal
    **options : fields of `Settings`, and `precision`

    Returns
    -------
    Study of that deal, and the tuned backbone

    Examples
    --------
    >>> study, tuned = finetune_heads(model, root, backbone, solved, deals, "official", 0)  # doctest: +SKIP
    """
    key = (scheme, seed)
    if key not in deals:
        known = ", ".join(dict.fromkeys(name for name, _ in deals))
        raise WastebookError(f"There is no {scheme!r} split of these photos to fine-tune: name {known}.")
    tuned, head = finetune(deals[key], root, backbone, started.heads[key], model, seed, **options)
    plain = extract_features(deals[key], root, tuned)[0]
    return study_deals(model, plain, {key: deals[key]}, lambda *_: (head, head.history))[0], tuned


def finetune(
    photos: pd.DataFrame,
    root: Path,
    backbone: Backbone,
    head: Head,
    model: Model,
    seed: int = 0,
    precision: str = "auto",
    **options: Any,
) -> tuple[Backbone, Head]:
    """Fine-tune the top blocks of a backbone together with a `head` trained on its features; the `options`
    are fields of `Settings`.

    It learns from photos of `train`, another draw of the transform each epoch; of the averaged weights after
    each epoch the most accurate on `validation` (then the least loss) are kept. Called again with the same
    arguments it goes on from the last epoch, which is in the cache. The head has the history of this phase
    and the seconds of both. WastebookError where an argument does not suit the photos, the training diverges,
    or another process trains the same.
    """
    settings = Settings(**options)
    check_trainable(photos, head.classes, settings.batch_size)
    check_transform(settings.transform)
    if settings.epochs < 1 or settings.blocks < 1:
        told = f"epochs={settings.epochs}, blocks={settings.blocks}"
        raise WastebookError(f"{told}: fine-tuning needs one or more of each.")
    train, validation = (photos[photos["split"] == split] for split in ("train", "validation"))
    training = _Training(backbone, head, settings, seed, precision, len(train))
    facts: list[Any] = [VERSION, settings, seed, training.bf16, training.device.type, head.classes]
    facts += [head.weight.tobytes(), backbone.sha256, backbone.image_size]
    facts += [fingerprint(train), fingerprint(validation)]
    key = hashlib.sha256(repr(facts).encode()).hexdigest()[:16]
    file = cache_folder("finetuned") / f"{backbone.name}-{key}.pt"
    with exclusive_lock(file.with_suffix(".lock")):
        training.resume(file)
        if not training.finished:
            training.run(train, validation, root, file)
    return training.result(model)


class _Training:
    """The networks, the optimiser and how far the training is: what a checkpoint keeps."""

    PLAIN = ("epoch", "updates", "waited", "seconds", "best", "chosen", "rows", "at_once")
    STATEFUL = ("classifier", "average", "optimiser")

    def __init__(
        self, backbone: Backbone, head: Head, settings: Settings, seed: int, precision: str, photos: int
    ):
        self.backbone, self.start, self.settings, self.seed = backbone, head, settings, seed
        self.device = backbones.accelerator()
        self.bf16 = backbones.use_bf16(precision, self.device)
        self.at_once = settings.batch_size  # photos in memory at once, fewer after running out of it
        self.steps = math.ceil(photos / settings.batch_size)
        self.epoch, self.updates, self.waited, self.seconds = 0, 0, 0, 0.0
        self.best: Scores | None = None  # validation accuracy and minus loss of `self.chosen`
        self.chosen: dict[str, torch.Tensor] = {}
        self.rows: list[tuple] = []
        layer = nn.Linear(backbone.feature_width, len(head.classes))
        layer.load_state_dict({"weight": torch.tensor(head.weight), "bias": torch.tensor(head.bias)})
        parts: Any = nn.ModuleDict({"network": copy.deepcopy(backbone.network), "head": layer})
        self.classifier = parts.to(self.device, memory_format=torch.channels_last)
        rising: Any = {"use_warmup": True, "warmup_gamma": 10, "warmup_power": 1}  # over fewer steps at first
        self.average = ModelEmaV3(self.classifier, 0.99, **rising)  # over the last hundred steps or so
        self.optimiser = torch.optim.AdamW(self._groups(), weight_decay=settings.weight_decay)
        whole, warm_up = settings.epochs * self.steps + 1, self.steps  # the rate rises for an epoch
        self.schedule = CosineLRScheduler(self.optimiser, whole, warmup_t=warm_up, t_in_epochs=False)
        self.random = torch.Generator()  # of dropout: transforms draw from torch's own in other threads
        torch.set_num_threads(thread_count())

    @property
    def finished(self) -> bool:
        return self.epoch >= self.settings.epochs or self.waited >= self.settings.patience

    def _groups(self) -> list[dict[str, Any]]:
        """The head and the top blocks with their rates; all below is frozen."""
        network, rate = self.classifier["network"].requires_grad_(False), self.settings.learning_rate
        named = dict(network.named_parameters())
        blocks = group_parameters(network, network.group_matcher(coarse=True))
        groups = [{"params": list(self.classifier["head"].parameters()), "lr": rate}]
        for below, number in enumerate(sorted(blocks, reverse=True)[: self.settings.blocks]):
            learning = [named[name].requires_grad_(True) for name in blocks[number]]
            groups.append({"params": learning, "lr": rate * self.settings.layer_decay**below})
        return groups

    def run(self, train: pd.DataFrame, validation: pd.DataFrame, root: Path, file: Path) -> None:
        """Train to the end, with a checkpoint in `file` and a line that says how it goes per epoch."""
        size, transform, hashes = self.backbone.image_size, self.settings.transform, list(train["sha256"])
        seen, held_out = (
            list(decode_photos([root / path for path in part["path"]], size)) for part in (train, validation)
        )
        wanted, expected = (class_numbers(part["label"], self.start.classes) for part in (train, validation))

        def load(draw: str, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            views = [transform_photo(seen[row], transform, f"{hashes[row]} {draw}") for row in rows]
            return np.stack(views), wanted[rows]

        while not self.finished:
            epoch, started = self.epoch + 1, time.perf_counter()
            order = np.random.default_rng([self.seed, epoch]).permutation(len(train))
            show = partial(load, f"{transform}-{self.seed}-{epoch}")
            learned = self.learn(parallel_map(show, np.array_split(order, self.steps)))
            validated = self.validate(np.stack(held_out), expected)
            seconds = time.perf_counter() - started
            self.end_epoch(learned, validated, seconds, file)
            told = f"validation loss {validated[0]:.3f}, accuracy {validated[1]:.3f}, {seconds:.0f} s"
            print(f"epoch {epoch} of {self.settings.epochs}: train loss {learned[0]:.3f}, {told}")

    def learn(self, batches: Iterator[tuple[np.ndarray, np.ndarray]]) -> Scores:
        """One epoch; gives its mean loss and accuracy."""
        self.classifier.eval()  # BatchNorm too: ImageNet's statistics are better than those of a small batch
        self.random.manual_seed(1000 * self.seed + self.epoch)
        losses, right, seen = 0.0, 0, 0
        for pixels, wanted in batches:
            self.schedule.step_update(self.updates + 1)
            backward = partial(self._backward, torch.from_numpy(pixels), torch.from_numpy(wanted))
            loss, correct = backbones.within_memory(backward, self.at_once)
            self.optimiser.step()
            self.updates += 1
            self.average.update(self.classifier, self.updates)
            losses, right, seen = losses + loss * len(wanted), right + correct, seen + len(wanted)
        if not math.isfinite(losses):
            rate = self.settings.learning_rate
            raise WastebookError(f"Fine-tuning diverged at learning_rate={rate}: lower it.")
        return losses / seen, right / seen

    def _backward(self, pixels: torch.Tensor, wanted: torch.Tensor, at_once: int) -> tuple[float, int]:
        """The gradients of a batch, `at_once` photos at a time; gives its loss and right guesses."""
        self.at_once, total, right = at_once, 0.0, 0
        self.optimiser.zero_grad()
        for shown, numbers in zip(pixels.split(at_once), wanted.to(self.device).split(at_once), strict=True):
            logits = self.logits(shown.to(self.device))
            loss = functional.cross_entropy(logits, numbers, label_smoothing=self.settings.label_smoothing)
            loss = loss * (len(numbers) / len(wanted))
            loss.backward()
            total, right = total + loss.item(), right + int((logits.argmax(1) == numbers).sum())
        return total, right

    def logits(self, pixels: torch.Tensor) -> torch.Tensor:
        """What the classifier that learns says of (N, H, W, 3) uint8 pixels, some of its features dropped."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
            features = self.classifier["network"](backbones.as_input(self.backbone, pixels))
            kept = torch.rand(features.shape, generator=self.random) >= self.settings.dropout
            kept = kept.to(features.device) / (1 - self.settings.dropout)
            return self.classifier["head"](features * kept).float()

    def validate(self, pixels: np.ndarray, wanted: np.ndarray) -> Scores:
        """Loss and accuracy of the averaged weights."""
        network, head = (self.average.module[name] for name in ("network", "head"))  # type: ignore[index]
        parts = np.array_split(pixels, math.ceil(len(pixels) / BATCH_SIZE))
        how = (self.device, self.bf16)
        features = [backbones.forward(network, self.backbone, part, *how) for part in parts]
        with torch.inference_mode():
            logits = head(torch.from_numpy(np.concatenate(features)).to(self.device)).cpu()
            loss = functional.cross_entropy(logits, torch.from_numpy(wanted)).item()
        return loss, float((logits.argmax(1).numpy() == wanted).mean())

    def end_epoch(self, learned: Scores, validated: Scores, seconds: float, file: Path) -> None:
        """Take note of an epoch, choose the weights if they are the best so far, and keep a checkpoint."""
        self.epoch, self.waited, self.seconds = self.epoch + 1, self.waited + 1, self.seconds + seconds
        self.rows += [(self.epoch, "train", *learned), (self.epoch, "validation", *validated)]
        merit = (validated[1], -validated[0])
        if self.best is None or merit > self.best:
            self.best, self.waited = merit, 0
            self.chosen = copy.deepcopy(self.average.module.state_dict())
        state = {name: getattr(self, name) for name in self.PLAIN}
        state |= {name: getattr(self, name).state_dict() for name in self.STATEFUL}
        with atomic_write(file) as partial:
            torch.save(state, partial)

    def resume(self, file: Path) -> None:
        """Go on from the checkpoint, where there is one that can be read."""
        try:
            state = torch.load(file, map_location=self.device, weights_only=True)
        except Exception:  # not there, or damaged, which raises errors of many kinds: train anew
            return
        for name in self.PLAIN:
            setattr(self, name, state[name])
        for name in self.STATEFUL:
            getattr(self, name).load_state_dict(state[name])

    def result(self, model: Model) -> tuple[Backbone, Head]:
        """The backbone and head chosen on validation."""
        tuned: Any = self.average.module.cpu()
        tuned.load_state_dict(self.chosen)
        network, head = tuned["network"].requires_grad_(True), tuned["head"].requires_grad_(False)
        history, parameters = history_table(self.rows, model, self.seed), self.settings._asdict()
        seconds, weight, bias = self.start.seconds + self.seconds, head.weight.numpy(), head.bias.numpy()
        tuned_head = Head(weight, bias, self.start.classes, parameters, seconds, history)
        return self.backbone._replace(network=network, sha256=backbones.network_hash(network)), tuned_head
