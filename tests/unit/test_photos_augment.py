"""Augmentations, seeded by their key alone, whatever the threads do; and photos made worse."""

import subprocess
import sys

import cv2
import numpy as np
import pytest

from wastebook.errors import WastebookError
from wastebook.photos.augment import KINDS, TRANSFORMS, corrupt, transform_photo
from wastebook.photos.decode import parallel_map

PHOTO = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)


@pytest.mark.parametrize("name", TRANSFORMS)
def test_a_view_depends_on_its_key_alone(name):
    keys = [f"photo {number}" for number in range(12)]
    alone = [transform_photo(PHOTO, name, key) for key in keys]
    together = list(parallel_map(lambda key: transform_photo(PHOTO, name, key), reversed(keys)))
    assert all(np.array_equal(*pair) for pair in zip(alone, reversed(together), strict=True))
    assert {(view.shape, view.dtype) for view in alone} == {(PHOTO.shape, PHOTO.dtype)}
    different = {view.tobytes() for view in alone}
    assert len(different) == {"none": 1, "horizontal_flip": 2, "vertical_flip": 2}.get(name, len(different))
    assert name == "none" or len(different) > 1


def test_flips_flip():
    flipped = {transform_photo(PHOTO, "horizontal_flip", str(key)).tobytes() for key in range(12)}
    assert flipped == {PHOTO.tobytes(), PHOTO[:, ::-1].tobytes()}


def test_an_unknown_name_gets_the_nearest():
    with pytest.raises(WastebookError, match="horizontal_flip"):
        transform_photo(PHOTO, "horizontl_flip", "key")


def test_torch_is_not_imported_before_it_is_wanted():
    code = "import sys, wastebook.photos.augment; print('torch' in sys.modules)"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "False"


@pytest.fixture(scope="module")
def photo():
    noise = np.random.default_rng(0).integers(0, 256, (384, 512, 3)).astype(np.uint8)
    return cv2.GaussianBlur(noise, (0, 0), 2) // 2 + noise // 2


@pytest.mark.parametrize("kind", KINDS)
def test_worse_and_worse(photo, kind):
    strengths = KINDS[kind][1]
    assert (corrupt(photo, kind, strengths[0]) == photo).all()
    away = [np.abs(corrupt(photo, kind, strength).astype(int) - photo).mean() for strength in strengths]
    assert away == sorted(away) or kind == "rotation"
    assert min(away[1:]) > 1
    worst = corrupt(photo, kind, strengths[-1])
    assert worst.shape == photo.shape and worst.dtype == np.uint8
    assert (worst == corrupt(photo, kind, strengths[-1])).all()


def test_what_each_kind_does(photo):
    assert abs(corrupt(photo, "darkness", 60).mean() / photo.mean() - 0.4) < 0.01
    assert corrupt(photo, "blur", 1).std() < 0.7 * photo.std()
    red = np.zeros((64, 64, 3), np.uint8)
    red[..., 0] = 200
    assert corrupt(red, "JPEG", 50)[..., 0].mean() > 150
