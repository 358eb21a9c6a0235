"""Fine-tuning: a head trained on cached features (see `heads`), then the backbone's upper blocks with it.

What is customary for few photos (Howard and Ruder 2018; timm): whole blocks unfrozen from the top, each lower
one at a smaller rate, BatchNorm frozen, warm-up and cosine, and a running mean of the weights, which is kept.
"""

import copy
import json
import logging
import math
import os
import signal
from functools import cached_property, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import wastebook.photos.torchvision_import  # noqa: F401 (mends the import of torchvision)

import numpy as np
import pandas as pd
import torch
from timm.models import group_parameters
from timm.scheduler import CosineLRScheduler
from timm.utils import ModelEmaV3
from torch import distributed, nn
from torch.distributed.launcher import api as launcher
from torch.nn import functional

from wastebook.cache import cache_folder
from wastebook.data.datasets import fingerprint
from wastebook.errors import WastebookError
from wastebook.learning import backbones, predictions
from wastebook.learning.features import BATCH_SIZE, Backbone, extract_features, short_hash
from wastebook.learning.heads import Head
from wastebook.learning.predictions import Model, Scores, check_trainable, class_numbers, history_table
from wastebook.learning.study import Deals, Study, study_deals
from wastebook.learning.training import Epoch, train_by_epochs, within_memory
from wastebook.photos.augment import check_transform, transform_photo
from wastebook.photos.decode import decode_photos, parallel_map, thread_count

VERSION = 2  # raised whenever the same arguments would train another network than before


class Settings(NamedTuple):
    """The topmost of `blocks` and the head learn at `learning_rate` by AdamW, each block below at
    `layer_decay` of the one above, from another draw of the transform each epoch. Of the averaged weights
    after each the most accurate on validation (then of the least loss) are kept; `patience` epochs without
    better end it."""

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
    precision: str = "auto"  # or fp32, bf16


def finetune_heads(
    model: Model,
    root: Path,
    backbone: Backbone,
    started: Study,
    deals: Deals,
    scheme: str,
    seed: int,
    processes: int = 0,
    **options: Any,
) -> tuple[Study, Backbone]:
    """The backbone's upper layers trained too, under one deal, kept in the cache epoch by epoch.
    WastebookError where there is no such deal, an argument does not suit its photos, or it diverges.

    Parameters
    ----------
    model, deals : as `train_heads`'
    root, backbone : the folder of the photos, and what `load_backbone` gave
    started : a study on the same backbone, with whose head it starts
    scheme, seed : of the deal
    processes : that learn as one, with its result up to rounding; 0 for, and at most, one for each GPU
    **options : fields of `Settings`

    Returns
    -------
    Study of that deal, whose seconds are those of both trainings, and the tuned backbone

    Examples
    --------
    >>> study, tuned = finetune_heads(model, root, backbone, solved, deals, "official", 0)  # doctest: +SKIP
    """
    if (scheme, seed) not in deals:
        known = ", ".join(dict.fromkeys(str(name) for name, _ in deals))
        raise WastebookError(f"There is no {scheme!r} split of these photos to fine-tune: name {known}.")
    photos, head = deals[scheme, seed], started.heads[scheme, seed]
    given = (backbone, head, Settings(**predictions.usual_batch(photos) | options), seed, photos, root)
    network, head = _finetune(given, model, processes)
    tuned = backbone._replace(network=network, sha256=backbones.network_hash(network))
    plain = extract_features(photos, root, tuned)[0]
    return study_deals(model, plain, {(scheme, seed): photos}, lambda *_: (head, head.history))[0], tuned


def _finetune(given: tuple[Any, ...], model: Model, processes: int) -> tuple[nn.Module, Head]:
    """The network and head of the best epoch of the learner of what is `given`."""
    learner, able = _Learner(*given), torch.cuda.device_count()
    settings, head = learner.recipe, learner.head
    facts: list[Any] = [VERSION, settings, learner.seed, learner.bf16, learner.device.type, head.classes]
    facts += [head.weight.tobytes(), learner.backbone.sha256, learner.backbone.image_size]
    facts += map(fingerprint, learner.sides)
    file = cache_folder("finetuned") / f"{learner.name}-{short_hash(*facts)}.pt"
    count = min(processes, able or processes) or (able if distributed.is_nccl_available() else 1)
    launch = partial(_launch, count, file, given) if count > 1 else None
    epochs, chosen = train_by_epochs(learner, file, launch)
    tuned: Any = learner.average.module.cpu()
    tuned.load_state_dict(chosen)
    layer = tuned["head"].requires_grad_(False)
    seconds = head.seconds + sum(epoch[4] for epoch in epochs)
    history = history_table(epochs, model, learner.seed)
    head = Head(layer.weight.numpy(), layer.bias.numpy(), head.classes, seconds, history)
    return tuned["network"].requires_grad_(True), head


def _launch(count: int, file: Path, given: tuple[Any, ...]) -> None:
    """Have `count` processes learn as one, by torch's launcher, which ends all where one fails, and with this
    one. What the user can mend is raised as it was there."""
    log = logging.getLogger("torch.distributed.elastic")  # which tells of errors at length
    log.propagate, log.handlers = False, [logging.NullHandler()]
    # What it did upon signals would stay, and Ctrl+C be no KeyboardInterrupt, upon which it ends all as well.
    how: Any = {"rdzv_backend": "c10d", "rdzv_endpoint": "localhost:0", "signals_to_handle": ""}
    with TemporaryDirectory() as folder:
        logs = launcher.DefaultLogsSpecs(folder)
        config = launcher.LaunchConfig(1, 1, count, logs, file.stem, max_restarts=0, **how)
        try:
            launcher.elastic_launch(config, _learn_together)(file, given)
        except launcher.ChildFailedError:
            for record in Path(folder).rglob("error.json"):  # others have lost touch with the one that failed
                kind, _, told = json.loads(record.read_text())["message"]["message"].partition(": ")
                if kind in ("WastebookError", "PhotoError"):
                    raise WastebookError(told) from None
            raise


def _learn_together(file: Path, given: tuple[Any, ...]) -> None:
    """What each of several processes does."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # it comes where the process that launched this one is gone
    os.environ["OMP_NUM_THREADS"] = str(max(1, thread_count() // int(os.environ["WORLD_SIZE"])))
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    distributed.init_process_group(distributed.get_default_backend_for_device(backbones.accelerator()))
    train_by_epochs(_Learner(*given), file, rank=distributed.get_rank())
    distributed.destroy_process_group()


class _Learner:
    """A backbone whose top blocks learn with the head, and a running mean of the weights of both."""

    STATEFUL = ("classifier", "average", "optimiser")
    merit = staticmethod(lambda epoch: (epoch[3], -epoch[2]))  # accuracy, then loss

    def __init__(
        self, backbone: Backbone, head: Head, settings: Settings, seed: int, photos: pd.DataFrame, root: Path
    ):
        check_trainable(photos, head.classes, settings.batch_size, settings.epochs)
        check_transform(settings.transform)
        if settings.blocks < 1:
            raise WastebookError(f"blocks={settings.blocks}: fine-tuning needs one or more.")
        self.name, self.backbone, self.head, self.root = backbone.name, backbone, head, root
        self.recipe, self.seed = settings, seed
        self.rank = distributed.get_rank() if distributed.is_initialized() else 0
        self.count = distributed.get_world_size() if distributed.is_initialized() else 1
        self.sides = [photos[photos["split"] == split] for split in ("train", "validation")]
        self.numbers = [class_numbers(side["label"], head.classes) for side in self.sides]
        self.device = backbones.accelerator()
        self.bf16 = backbones.use_bf16(settings.precision, self.device)
        self.at_once = settings.batch_size  # photos in memory at once, fewer after running out of it
        self.steps = math.ceil(len(self.sides[0]) / settings.batch_size)
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

    def _groups(self) -> list[dict[str, Any]]:
        """The head and the top blocks with their rates; all below is frozen."""
        network, rate = self.classifier["network"].requires_grad_(False), self.recipe.learning_rate
        named = dict(network.named_parameters())
        blocks = group_parameters(network, network.group_matcher(coarse=True))
        groups = [{"params": list(self.classifier["head"].parameters()), "lr": rate}]
        for below, number in enumerate(sorted(blocks, reverse=True)[: self.recipe.blocks]):
            learning = [named[name].requires_grad_(True) for name in blocks[number]]
            groups.append({"params": learning, "lr": rate * self.recipe.layer_decay**below})
        return groups

    @cached_property
    def photos(self) -> list[list[np.ndarray]]:
        """The photos of train and of validation at the network's size."""
        files = [[self.root / path for path in side["path"]] for side in self.sides]
        return [list(decode_photos(each, self.backbone.image_size)) for each in files]

    def run_epoch(self, epoch: int) -> tuple[Scores, Scores]:
        self.classifier.eval()  # BatchNorm too: ImageNet's statistics are better than those of a small batch
        self.random.manual_seed(1000 * self.seed + epoch - 1)
        losses, right, transform, hashes = 0.0, 0, self.recipe.transform, list(self.sides[0]["sha256"])
        draw, share = f"{transform}-{self.seed}-{epoch}", slice(self.rank, None, self.count)

        def load(batch: np.ndarray) -> tuple[int, torch.Tensor, torch.Tensor]:
            rows = batch[share]
            drawn = [transform_photo(self.photos[0][row], transform, f"{hashes[row]} {draw}") for row in rows]
            pixels = np.array(drawn, np.uint8).reshape(-1, *self.backbone.image_size, 3)  # of no photo, too
            return len(batch), torch.from_numpy(pixels), torch.from_numpy(self.numbers[0][rows])

        order = np.random.default_rng([self.seed, epoch]).permutation(len(hashes))
        batches = parallel_map(load, np.array_split(order, self.steps))
        for step, (size, pixels, wanted) in enumerate(batches, (epoch - 1) * self.steps + 1):
            self.schedule.step_update(step)
            kept = torch.rand(size, self.backbone.feature_width, generator=self.random) >= self.recipe.dropout
            backward = partial(self._backward, size, [pixels, wanted, kept[share]])
            loss, correct = within_memory(backward, self.at_once)
            for each in self.classifier.parameters() if self.count > 1 else ():
                if each.requires_grad:  # a share without photos has no gradient
                    each.grad = torch.zeros_like(each) if each.grad is None else each.grad
                    distributed.all_reduce(each.grad)
            self.optimiser.step()
            self.average.update(self.classifier, step)
            losses, right = losses + loss * size, right + correct
        scores = [losses, right, *((0.0, 0.0) if self.rank else self.validate())]
        if self.count > 1:
            distributed.all_reduce(summed := torch.tensor(scores, dtype=torch.float64, device=self.device))
            scores = summed.tolist()
        return (scores[0] / len(hashes), scores[1] / len(hashes)), (scores[2], scores[3])

    def _backward(self, size: int, share: list[torch.Tensor], at_once: int) -> tuple[float, int]:
        """The gradients of a share (pixels, classes, features kept) of a batch of that `size`, `at_once`
        photos at a time; gives what it adds to the loss, and its right guesses."""
        self.at_once, total, right = at_once, 0.0, 0
        self.optimiser.zero_grad()
        for at in range(0, len(share[0]), at_once):
            pixels, wanted, kept = (each[at : at + at_once].to(self.device) for each in share)
            logits = self.logits(pixels, kept)
            loss = functional.cross_entropy(logits, wanted, label_smoothing=self.recipe.label_smoothing)
            loss = loss * (len(wanted) / size)
            loss.backward()
            total, right = total + loss.item(), right + int((logits.argmax(1) == wanted).sum())
        return total, right

    def logits(self, pixels: torch.Tensor, kept: torch.Tensor) -> torch.Tensor:
        """What the classifier that learns says of (N, H, W, 3) uint8 pixels, by the features `kept`."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
            features = self.classifier["network"](backbones.as_input(self.backbone, pixels))
            return self.classifier["head"](features * (kept / (1 - self.recipe.dropout))).float()

    def validate(self) -> Scores:
        """Loss and accuracy of the averaged weights."""
        network, head = (self.average.module[name] for name in ("network", "head"))  # type: ignore[index]
        pixels, wanted = np.stack(self.photos[1]), torch.from_numpy(self.numbers[1])
        parts = np.array_split(pixels, math.ceil(len(pixels) / BATCH_SIZE))
        features = [backbones.forward(network, self.backbone, part, self.device, self.bf16) for part in parts]
        with torch.inference_mode():
            logits = head(torch.from_numpy(np.concatenate(features)).to(self.device)).cpu()
        right = (logits.argmax(1) == wanted).double().mean()
        return functional.cross_entropy(logits, wanted).item(), right.item()

    def weights(self) -> dict[str, torch.Tensor]:
        return copy.deepcopy(self.average.module.state_dict())

    def write(self, file: Path, epochs: list[Epoch], chosen: dict[str, torch.Tensor]) -> None:
        states = {name: getattr(self, name).state_dict() for name in self.STATEFUL}
        torch.save({"epochs": epochs, "chosen": chosen, **states}, file)

    def read(self, file: Path) -> tuple[list[Epoch], dict[str, torch.Tensor]]:
        kept = torch.load(file, map_location=self.device, weights_only=True)
        for name in self.STATEFUL:
            getattr(self, name).load_state_dict(kept[name])
        return kept["epochs"], kept["chosen"]
