"""How cost grows with the number of photos: for each of many as for each of few, and in what memory."""

import json
import os
import re
import subprocess
import sys

import cv2
import numpy as np
import pytest

from wastebook.book.execute import KERNEL

pytestmark = pytest.mark.benchmark

SIZES, CLASSES = (1_000, 10_000, 100_000), ("glass", "metal", "paper", "plastic")  # an hour, on two cores
STAGES = """
import json, os, resource, sys, time
from collections import deque
from pathlib import Path
from wastebook.answers.predictor import Predictor
from wastebook.data.datasets import open_dataset
from wastebook.learning.backbones import load_backbone
from wastebook.learning.export import export_model
from wastebook.learning.features import extract_features
from wastebook.learning.predictions import Model
from wastebook.learning.study import deal_photos, solve_heads
from wastebook.photos.duplicates import find_duplicates
from wastebook.photos.quality import check_photos, measure_photos

seconds, started = {}, time.perf_counter()
def tell(stage):
    global started
    seconds[stage] = time.perf_counter() - started
    started = time.perf_counter()

data = open_dataset(sys.argv[1])
check_photos(data.photos, data.root)
tell("opened and checked")
measure_photos(data.photos, data.root)
tell("measured for exploration")
find_duplicates(data.photos, data.root)
tell("searched for copies")
backbone = load_backbone("resnet18", "random", 64, data.photos, data.root)
started = time.perf_counter()
features = extract_features(data.photos, data.root, backbone)
tell("seen by ResNet18 at 64 pixels")
deals, model = deal_photos(data.photos, "random", [0]), Model("resnet18", "64x64", head="exact")
study = solve_heads(model, features, features[0], deals, data.classes)[0]
tell("learned from by the exact head")
file = Path(sys.argv[2], "model.onnx")
export_model(backbone, study.heads["random", 0], model, {"data": data.card}, file)
started = time.perf_counter()
deque(map(Predictor(file).row, Predictor(file).stream(data.root / path for path in data.photos["path"])), 0)
tell("asked about, one by one")
print(json.dumps([seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10]))
"""


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """Seconds by stage, and megabytes at most, for each number of photos, 256 x 192: blots and grain."""
    found = {}
    for size in SIZES:
        place, kept = tmp_path_factory.mktemp(f"photos-{size}"), str(tmp_path_factory.mktemp("cache"))
        for number in range(size):
            random, folder = np.random.default_rng(number), place / CLASSES[number % len(CLASSES)]
            layers = [random.uniform(0, 255 / 2, (side * 3, side * 4, 3)) for side in (2, 12)]
            picture = sum(cv2.resize(layer, (256, 192), interpolation=cv2.INTER_CUBIC) for layer in layers)
            folder.mkdir(exist_ok=True)
            cv2.imwrite(str(folder / f"{number}.jpg"), picture.clip(0, 255).astype(np.uint8))
        environment = os.environ | KERNEL | {"WASTEBOOK_CACHE": kept}
        command = [sys.executable, "-c", STAGES, str(place), kept]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        found[size] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize("stage", re.findall(r'^tell\("(.*)"\)$', STAGES, re.MULTILINE))
def test_time_grows_with_the_number_of_photos_and_no_faster(told, tell_speed, stage):
    many, few = (told[size][0][stage] / size * 1e3 for size in (SIZES[-1], SIZES[-2]))
    measured = f"{many:.2f} and {few:.2f} ms per photo"
    tell_speed(f"{SIZES[-1]:,} photos {stage}", f"{SIZES[-2]:,}", measured, few / many, 0.9)


def test_memory_stays_bounded(told, tell_speed):
    megabytes = {size: most for size, (_, most) in told.items()}
    measured = f"{', '.join(f'{most:,} MB of {size:,} photos' for size, most in megabytes.items())}"
    tell_speed("memory at most", "2 GB", measured, min(1.0, 2048 / megabytes[SIZES[-1]]), 1.0)


def test_what_ten_million_would_take(told, record_property):
    """By the slopes between the two largest, should they stay as they are: where it would pinch first."""
    (many, most), (few, least) = told[SIZES[-1]], told[SIZES[-2]]
    each = (SIZES[-1] - SIZES[-2]) / 10_000_000
    days = {stage: (many[stage] - few[stage]) / each / 86_400 for stage in many}
    first = max(days, key=days.get)
    measured = f"{sum(days.values()):.1f} days, {days[first]:.1f} of them: {first}"
    measured += f"; {(most - least) / each / 1024:,.0f} GB"
    record_property("speed", ("10,000,000 photos on one such machine", "these slopes", measured, "", ""))
    assert all(day > 0 for day in days.values())
