"""How fast, as ratios measured on one machine in one run: `pytest -m benchmark -s tests/benchmarks`.

On TrashNet where it is at hand, else on the sample; leave the machine otherwise idle.
"""

import os
import subprocess
import sys
import time

import wastebook.photos.torchvision_import  # noqa: F401 (mends the import of torchvision, so it comes first)

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from sklearn.metrics import f1_score
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from wastebook.data.datasets import open_dataset
from wastebook.data.splits import split_photos
from wastebook.learning.backbones import accelerator, as_input, for_inference, load_backbone, use_bf16
from wastebook.learning.features import BATCH_SIZE, extract_features
from wastebook.learning.predictions import Model
from wastebook.learning.search import search_head
from wastebook.photos.decode import decode_photos, thread_count

pytestmark = pytest.mark.benchmark

TRIALS, EPOCHS = 20, 15
CHAPTERS = ("01-exploration", "02-baseline", "03-augmentation", "04-efficientnet")  # FIUBA's
EACH_CLASS = 60  # photos of the book that is built: both ways take as many times longer for more
NAMES = ["resnet18", "efficientnet_b0"]


@pytest.fixture(scope="module")
def dataset(cache):
    return open_dataset("trashnet" if os.environ.get("WASTEBOOK_DATA") else "sample")


@pytest.fixture
def cold(monkeypatch, tmp_path, dataset):
    monkeypatch.setenv("WASTEBOOK_CACHE", str(tmp_path))


@pytest.mark.parametrize("name", NAMES)
def test_extraction_keeps_up_with_the_network(name, dataset, cold, monkeypatch, tmp_path, race):
    """From files on disk to features, at nine tenths or more of the network alone on tensors in memory."""
    backbone = load_backbone(name, photos=dataset.photos, root=dataset.root)
    photos = dataset.photos.drop_duplicates("sha256").head(32 * BATCH_SIZE)
    device = accelerator()
    network, bf16 = for_inference(backbone).to(device), use_bf16("auto", device)
    files = [dataset.root / path for path in photos["path"].head(BATCH_SIZE)]
    pixels = list(decode_photos(files, backbone.image_size))
    inputs = as_input(backbone, torch.from_numpy(np.stack(pixels)).to(device))
    torch.set_num_threads(thread_count())

    def network_alone(_) -> None:
        with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            for _ in range(len(photos) // BATCH_SIZE):
                network(inputs).float().cpu()

    def extraction(number: int) -> None:
        monkeypatch.setenv("WASTEBOOK_CACHE", str(tmp_path / str(number)))
        extract_features(photos, dataset.root, backbone)

    alone = "the bare network on tensors in memory"
    race(f"{name}: from files to features", extraction, alone, network_alone, len(photos), "photos", 0.9)


class Photos(Dataset):
    """Photos as the usual tutorial loads them."""

    def __init__(self, files, numbers, size, backbone):
        self.files, self.numbers = files, numbers
        steps = [v2.Resize(size), v2.PILToTensor(), v2.ToDtype(torch.float32, scale=True)]
        self.transform = v2.Compose([*steps, v2.Normalize(backbone.mean, backbone.std)])

    def __len__(self):
        return len(self.files)

    def __getitem__(self, at):
        return self.transform(Image.open(self.files[at]).convert("RGB")), self.numbers[at]


@pytest.mark.parametrize("name", NAMES)
def test_the_search_against_the_seeds_way(name, dataset, cold, tmp_path, tell_speed):
    """All of a cold search (features and 20 trials) at least a hundred times faster than 20 trials that run
    every photo through the backbone every epoch, of which one epoch is measured; and no worse a head at its
    end."""
    photos = split_photos(dataset.photos, "official", seed=0)
    backbone = load_backbone(name, photos=photos, root=dataset.root)
    learning = photos[photos["split"] != "test"].reset_index(drop=True)

    started = time.perf_counter()
    features = extract_features(learning, dataset.root, backbone)
    model = Model(name, "x".join(map(str, backbone.image_size)))
    given = (features, features[0], learning, dataset.classes, model)
    study = search_head(*given, tmp_path / "study.log", TRIALS, 0, EPOCHS)
    ours = time.perf_counter() - started

    numbers = [dataset.classes.index(label) for label in learning["label"]]
    seen, an_epoch = see_their_way(backbone, learning, dataset.root, numbers)
    theirs = an_epoch * TRIALS * EPOCHS

    score = _pytorch_recipe(
        seen, torch.tensor(numbers), learning["split"], len(dataset.classes), **study.best_params
    )
    way = f"each of {TRIALS} trials and {EPOCHS} epochs through the backbone, one epoch measured"
    measured = f"{ours:.0f} s, and {an_epoch:.0f} s an epoch, {theirs / 3600:.1f} h in all"
    tell_speed(f"{name}: a search from a cold cache", way, measured, theirs / ours, 100)
    print(f"Validation macro F1: {study.best_value:.3f} on cached features, {score:.3f} their way.")
    assert study.best_value >= score - 0.02


def see_their_way(backbone, photos, root, numbers):
    """What a frozen backbone gives of the photos, and in how many seconds: an epoch as the usual tutorial has
    it."""
    files = [root / path for path in photos["path"]]
    loader = DataLoader(Photos(files, numbers, backbone.image_size, backbone), batch_size=32, num_workers=1)
    started = time.perf_counter()
    with torch.inference_mode():
        seen = torch.cat([backbone.network(inputs) for inputs, _ in loader])
    return seen, time.perf_counter() - started


def test_the_book_against_the_seeds_way(dataset, tmp_path, tell_speed):
    """FIUBA's chapters in full, from a cold cache to the page, at least sixty times faster than each of their
    trainings by each epoch through the backbone, of which one is measured for each network and size."""
    run, command = tmp_path / "run", [sys.executable, "-m", "wastebook.cli", "build", "--profile", "full"]
    command += ["--renderer", "pandoc", "--run", str(run), "--set", f"*.photos_per_class={EACH_CLASS}"]
    command += [part for chapter in CHAPTERS for part in ("--chapter", chapter)]
    command += ["--set", f"*.dataset={dataset.name}"]
    started = time.perf_counter()
    environment = os.environ | {"WASTEBOOK_CACHE": str(tmp_path / "cache")}
    subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=True)
    ours = time.perf_counter() - started

    tables = [
        file for name in ("seconds", "trials") for file in sorted(run.glob(f"results/*/{name}.parquet"))
    ]
    once = ["model", "scheme", "seed", "number"]  # the number is a trial's
    trained = (
        pd.concat(map(pd.read_parquet, tables)).query("head in ('recipe', 'searched')").drop_duplicates(once)
    )
    photos = pd.read_parquet(run / "results" / CHAPTERS[0] / "photos.parquet")
    learning = photos[photos["split"] != "test"]
    numbers, theirs = [0] * len(learning), 0.0
    for (network, size), trainings in trained.groupby(["network", "image_size"]):
        shape = tuple(map(int, size.split("x")))
        backbone = load_backbone(network, image_size=shape, photos=photos, root=dataset.root)
        theirs += len(trainings) * EPOCHS * see_their_way(backbone, learning, dataset.root, numbers)[1]
    way = f"each of {len(trained)} trainings and {EPOCHS} epochs through the backbone, one epoch measured"
    measured = f"{ours / 60:.0f} min for {len(photos)} photos, and {theirs / 3600:.1f} h"
    tell_speed("FIUBA's chapters in full from a cold cache", way, measured, theirs / ours, 60)


def _pytorch_recipe(seen, numbers, split, classes, learning_rate, weight_decay, batch_size, step_size, gamma):
    """Validation macro F1 of FIUBA's recipe in PyTorch's own words, on what the frozen backbone gives each
    epoch."""
    torch.manual_seed(0)
    train, validation = (torch.tensor((split == name).to_numpy()) for name in ("train", "validation"))
    layer = nn.Linear(seen.shape[1], classes)
    optimiser = torch.optim.Adam(layer.parameters(), lr=learning_rate, weight_decay=weight_decay)
    schedule = torch.optim.lr_scheduler.StepLR(optimiser, step_size, gamma)
    for _ in range(EPOCHS):
        for batch in torch.randperm(int(train.sum())).split(batch_size):
            optimiser.zero_grad()
            nn.functional.cross_entropy(layer(seen[train][batch]), numbers[train][batch]).backward()
            optimiser.step()
        schedule.step()
    guesses = layer(seen[validation]).argmax(dim=1)
    return f1_score(numbers[validation], guesses, average="macro")
