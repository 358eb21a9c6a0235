"""How fast photos are looked at, and on a machine that is not alone."""

import os
import subprocess
import sys
import time

import cv2
import joblib
import numpy as np
import pytest

from wastebook.book.execute import KERNEL
from wastebook.data.datasets import open_dataset
from wastebook.photos.quality import measure_photos

pytestmark = pytest.mark.benchmark

BUSY = "import torch; m = torch.rand(2000, 2000)\nwhile True: m @ m"
EXTRACTION = """
import os, tempfile, time
from wastebook.data.datasets import open_dataset
from wastebook.learning.backbones import load_backbone
from wastebook.learning.features import extract_features

data = open_dataset("trashnet" if os.environ.get("WASTEBOOK_DATA") else "sample")
backbone = load_backbone("resnet18", photos=data.photos, root=data.root)
photos = data.photos.drop_duplicates("sha256").head(300)
extract_features(photos.head(32), data.root, backbone)
started = time.perf_counter()
extract_features(photos, data.root, backbone)
print(time.perf_counter() - started)
"""


@pytest.fixture(scope="module")
def dataset(cache):
    return open_dataset("trashnet" if os.environ.get("WASTEBOOK_DATA") else "sample")


def test_exploration_keeps_up_with_a_bare_loop(dataset, race, monkeypatch, tmp_path):
    """All measures of chapter 01, each photo decoded for them once, against decoding it to grey and finding
    its mean."""
    photos = dataset.photos.drop_duplicates("sha256")
    files = [str(dataset.root / path) for path in photos["path"]]

    def measures(number: int) -> None:
        monkeypatch.setenv("WASTEBOOK_CACHE", str(tmp_path / str(number)))
        measure_photos(photos, dataset.root)

    def bare_loop(_) -> None:
        joblib.Parallel(n_jobs=-1, prefer="threads")(
            joblib.delayed(lambda file: cv2.meanStdDev(cv2.imread(file, cv2.IMREAD_COLOR)))(file)
            for file in files
        )

    race(
        "exploration: all measures", measures, "OpenCV alone, decoding", bare_loop, len(photos), "photos", 0.8
    )


def test_beside_another_program(cache, tell_speed, tmp_path):
    """Features beside a program that wants all cores take two and a half times as long at most as alone."""

    def extraction(number: int) -> float:
        environment = os.environ | KERNEL | {"WASTEBOOK_CACHE": str(tmp_path / str(number))}
        told = subprocess.run(
            [sys.executable, "-c", EXTRACTION], env=environment, capture_output=True, text=True, check=True
        )
        return float(told.stdout.split()[-1])

    alone, beside = [], []
    for number in range(3):
        alone.append(extraction(2 * number))
        with subprocess.Popen([sys.executable, "-c", BUSY]) as other:
            time.sleep(5)
            beside.append(extraction(2 * number + 1))
            other.kill()
    alone, beside = np.median(alone), np.median(beside)
    measured = f"{beside:.1f} and {alone:.1f} s for 300 photos"
    tell_speed("ResNet18's features beside a program on all cores", "alone", measured, alone / beside, 0.4)
