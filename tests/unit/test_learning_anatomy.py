"""What a network consists of, and what a photo costs it."""

import pytest

from wastebook.data.datasets import draw_per_class
from wastebook.learning.anatomy import measure_cost
from wastebook.learning.backbones import load_backbone


def test_cost_is_counted(sample):
    photos = draw_per_class(sample.photos, 2, seed=0)
    backbone = load_backbone("resnet18", "random", 64, photos=photos, root=sample.root)
    row = measure_cost(backbone, class_count=6).iloc[0]
    assert row["parameters"] == 11_176_512 + 512 * 6 + 6
    assert row["depth"] == 18
    assert row["feature_width"] == 512
    # torchvision counts 1.814 G multiply-adds at 224 x 224 with 1,000 classes.
    assert row["multiply_adds"] == pytest.approx(1.8135e9 * (64 / 224) ** 2, rel=0.01)
    assert row["megabytes"] == pytest.approx(44.7, abs=0.1)
    assert row["milliseconds"] > 0
