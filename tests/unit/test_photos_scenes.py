"""Photos changed one thing at a time: what changes, and what stays."""

import numpy as np
import pytest

from wastebook.photos.augment import transform_photo
from wastebook.photos.scenes import BOARD, MENDS, SCENES, change_scene, find_object

HEIGHT, WIDTH = 96, 128
INSIDE, CORNER = (slice(40, 56), slice(56, 72)), (slice(0, 12), slice(0, 12))


@pytest.fixture
def photo():
    """A red thing, 40 by 32 pixels, on a light board that is a little darker to the right."""
    board = np.linspace(210, 180, WIDTH)[None, :, None].repeat(HEIGHT, 0).repeat(3, 2)
    board[32:64, 44:84] = (200, 40, 40)
    return board.astype(np.uint8)


def redness(picture):
    return (picture[..., 0].astype(int) - picture[..., 1] > 80).mean()


def test_the_object_is_what_differs_from_the_board(photo):
    ground, mask = find_object(photo)
    assert mask[32:64, 44:84].mean() > 0.95 and mask.sum() < 1.2 * 32 * 40
    assert np.abs(ground[CORNER] - photo[CORNER]).max() < 2


@pytest.mark.parametrize("name", SCENES | MENDS)
def test_a_scene_is_the_same_for_the_same_seed_and_never_the_photo(photo, name):
    changed = change_scene(photo, name, 1)
    assert changed.shape == photo.shape and changed.dtype == np.uint8
    assert (changed == change_scene(photo, name, 1)).all()
    if name != "cut_out":  # the same board below the same thing
        assert np.abs(changed.astype(int) - photo).mean() > 0.5
    assert (transform_photo(photo, name, "key") == transform_photo(photo, name, "key")).all()


@pytest.mark.parametrize(
    ("name", "corner"), [("cut_out", 208), ("grey_ground", 120), ("white_board", np.mean(BOARD))]
)
def test_another_ground_lies_below_the_same_thing(photo, name, corner):
    changed = change_scene(photo, name, 0)
    assert np.abs(changed[INSIDE].astype(int) - photo[INSIDE]).max() <= 3
    assert changed[CORNER].mean() == pytest.approx(corner, abs=8)


@pytest.mark.parametrize(
    ("name", "times"),
    [("farther", 1 / 1.6**2), ("closer", 1 / 0.7**2), ("pressed", 1 / 0.75), ("box_crop", 6)],
)
def test_the_thing_is_so_much_larger(photo, name, times):
    larger = redness(change_scene(photo, name, 0)) / redness(photo)
    assert larger == pytest.approx(times, rel=0.15)


def test_colours_are_made_grey_and_light_is_lost(photo):
    assert np.ptp(change_scene(photo, "grey_world", 0).mean(axis=(0, 1))) < 2
    assert change_scene(photo, "other_light", 0).mean() < 0.95 * photo.mean()


def test_a_photo_of_one_tone_bears_every_scene():
    plain = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
    assert all(change_scene(plain, name, 0).shape == plain.shape for name in SCENES)
