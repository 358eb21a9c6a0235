"""Augmentations: named, seeded by their key alone, whatever the threads do."""

import numpy as np
import pytest

from wastebook.errors import WastebookError
from wastebook.photos.augment import TRANSFORMS, transform_photo
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
