"""Augmentations, seeded by their key alone, whatever the threads do; photos made worse, and changed
one thing at a time."""

import subprocess
import sys

import cv2
import numpy as np
import pytest

from wastebook.errors import WastebookError
from wastebook.photos.augment import (
    BOARD,
    KINDS,
    MENDS,
    SCENES,
    TRANSFORMS,
    change_scene,
    corrupt,
    find_object,
    transform_photo,
)
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


def test_a_turned_photo_has_black_corners_unless_they_are_filled():
    light, keys = np.full_like(PHOTO, 200), [str(key) for key in range(12)]
    darkest = [transform_photo(light, "rotation", key).min() for key in keys]
    assert 0 in darkest
    assert all((transform_photo(light, "filled_rotation", key) == light).all() for key in keys)
    turned = [transform_photo(PHOTO, "filled_rotation", key) for key in keys]
    assert len({view.tobytes() for view in turned}) == len(keys)


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


HEIGHT, WIDTH = 96, 128
INSIDE, CORNER = (slice(40, 56), slice(56, 72)), (slice(0, 12), slice(0, 12))


@pytest.fixture
def red_thing():
    """A red thing, 40 by 32 pixels, on a light board that is a little darker to the right."""
    board = np.linspace(210, 180, WIDTH)[None, :, None].repeat(HEIGHT, 0).repeat(3, 2)
    board[32:64, 44:84] = (200, 40, 40)
    return board.astype(np.uint8)


def redness(picture):
    return (picture[..., 0].astype(int) - picture[..., 1] > 80).mean()


def test_the_object_is_what_differs_from_the_board(red_thing):
    ground, mask = find_object(red_thing)
    assert mask[32:64, 44:84].mean() > 0.95 and mask.sum() < 1.2 * 32 * 40
    assert np.abs(ground[CORNER] - red_thing[CORNER]).max() < 2


@pytest.mark.parametrize("name", SCENES | MENDS)
def test_a_scene_is_the_same_for_the_same_seed_and_never_the_photo(red_thing, name):
    changed = change_scene(red_thing, name, 1)
    assert changed.shape == red_thing.shape and changed.dtype == np.uint8
    assert (changed == change_scene(red_thing, name, 1)).all()
    if name != "cut_out":  # the same board below the same thing
        assert np.abs(changed.astype(int) - red_thing).mean() > 0.5
    assert (transform_photo(red_thing, name, "key") == transform_photo(red_thing, name, "key")).all()


@pytest.mark.parametrize(
    ("name", "corner"), [("cut_out", 208), ("grey_ground", 120), ("white_board", np.mean(BOARD))]
)
def test_another_ground_lies_below_the_same_thing(red_thing, name, corner):
    changed = change_scene(red_thing, name, 0)
    assert np.abs(changed[INSIDE].astype(int) - red_thing[INSIDE]).max() <= 3
    assert changed[CORNER].mean() == pytest.approx(corner, abs=8)


@pytest.mark.parametrize(
    ("name", "times"),
    [("farther", 1 / 1.6**2), ("closer", 1 / 0.7**2), ("pressed", 1 / 0.75), ("box_crop", 6)],
)
def test_the_thing_is_so_much_larger(red_thing, name, times):
    larger = redness(change_scene(red_thing, name, 0)) / redness(red_thing)
    assert larger == pytest.approx(times, rel=0.15)


def test_colours_are_made_grey_and_light_is_lost(red_thing):
    assert np.ptp(change_scene(red_thing, "grey_world", 0).mean(axis=(0, 1))) < 2
    assert change_scene(red_thing, "other_light", 0).mean() < 0.95 * red_thing.mean()


def test_a_photo_of_one_tone_bears_every_scene():
    plain = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
    assert all(change_scene(plain, name, 0).shape == plain.shape for name in SCENES)
