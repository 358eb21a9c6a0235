"""Photos squeezed as torch does it, and photos made worse."""

import cv2
import numpy as np
import pytest
import torch

from wastebook.evaluation.trust import score_corrupted
from wastebook.photos.spoil import KINDS, spoil
from wastebook.photos.squeeze import squeeze


@pytest.fixture(scope="module")
def photo():
    noise = np.random.default_rng(0).integers(0, 256, (384, 512, 3)).astype(np.uint8)
    return cv2.GaussianBlur(noise, (0, 0), 2) // 2 + noise // 2


@pytest.mark.parametrize(
    "size", [(72, 96), (96, 96), (224, 224), (288, 384), (384, 512), (500, 300), (600, 1000)]
)
def test_bit_for_bit_as_torch(photo, size):
    given = torch.from_numpy(photo).permute(2, 0, 1)[None]
    theirs = torch.nn.functional.interpolate(given, size, mode="bilinear", antialias=True)
    assert (squeeze(photo, size) == theirs[0].permute(1, 2, 0).numpy()).all()
    tall = np.ascontiguousarray(photo[:5, :300])
    given = torch.from_numpy(tall).permute(2, 0, 1)[None]
    theirs = torch.nn.functional.interpolate(given, size, mode="bilinear", antialias=True)
    assert (squeeze(tall, size) == theirs[0].permute(1, 2, 0).numpy()).all()


@pytest.mark.parametrize("kind", KINDS)
def test_worse_and_worse(photo, kind):
    strengths = KINDS[kind][1]
    assert (spoil(photo, kind, strengths[0]) == photo).all()
    away = [np.abs(spoil(photo, kind, strength).astype(int) - photo).mean() for strength in strengths]
    assert away == sorted(away) or kind == "rotation"
    assert min(away[1:]) > 1
    worst = spoil(photo, kind, strengths[-1])
    assert worst.shape == photo.shape and worst.dtype == np.uint8
    assert (worst == spoil(photo, kind, strengths[-1])).all()


def test_what_each_kind_does(photo):
    assert abs(spoil(photo, "darkness", 60).mean() / photo.mean() - 0.4) < 0.01
    assert spoil(photo, "blur", 1).std() < 0.7 * photo.std()
    red = np.zeros((64, 64, 3), np.uint8)
    red[..., 0] = 200
    assert spoil(red, "JPEG", 50)[..., 0].mean() > 150


def test_right_and_sure_by_kind_and_strength(photo):
    """A model that tells light from dark, asked about light photos."""

    def ask(picture):
        light = np.clip(picture.mean() / 255, 0, 1)
        return np.array([1 - light, light], np.float32)

    light = np.full((30, 40, 3), 230, np.uint8)
    table = score_corrupted(ask, [light, light], ["light", "dark"], ["dark", "light"], threshold=0.8)
    assert set(table["kind"]) == set(KINDS) and len(table) == sum(len(steps) for _, steps in KINDS.values())
    assert (table["accuracy"] == 0.5).all()  # one label is wrong, and stays so when the answer turns
    dark = table[table["kind"] == "darkness"].set_index("strength")
    assert dark.loc[0, "sure"] == 1 and dark.loc[60, "sure"] == 0 and dark.loc[90, "sure"] == 1
    assert (table["low"] < table["accuracy"]).all() and (table["accuracy"] < table["high"]).all()
