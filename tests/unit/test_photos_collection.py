"""A chapter's photos in one call."""

import shutil

import pytest

from wastebook.data.cards import load_cards
from wastebook.data.sample import draw_sample
from wastebook.errors import WastebookError
from wastebook.photos.collection import load_photos


def test_photos_are_readable_drawn_and_grouped(tmp_path):
    whole = draw_sample(photos=30)
    root = shutil.copytree(whole, tmp_path / "some broken")
    for name in ("a", "b", "c"):
        (root / "glass" / f"{name}.jpg").write_bytes(b"<html>")
    data = load_photos(root, photos_per_class=3, seed=1)
    assert data.root == root and data.name == data.title == root.name
    assert len(data.files) == 32 + 3 and (~data.problems["readable"]).sum() == 3
    assert set(data.photos["label"].value_counts()) == {3} and data.photos["group"].notna().all()
    assert {*data.pairs["path_a"], *data.pairs["path_b"]} <= {*data.photos["path"]}
    assert load_photos(root, 3, seed=1).photos.equals(data.photos)
    assert not load_photos(root, 3, seed=2).photos.equals(data.photos)


@pytest.mark.parametrize(("per_class", "seed"), [(0, 0), (-3, 0), (None, -1)])
def test_numbers_that_draw_nothing_are_told(per_class, seed):
    with pytest.raises(WastebookError, match=f"photos_per_class={per_class}, seed={seed}: 1 or more, and 0"):
        load_photos("sample", per_class, seed)


@pytest.mark.fault("own folders", "learning from a set that is only to be tested on", "refused in a line")
def test_nothing_learns_from_a_set_for_testing(tmp_path):
    own = load_photos(shutil.copytree(draw_sample(photos=30), tmp_path / "own"))
    tests = [card for card in load_cards().values() if card.get("test_only")]
    assert {card["name"] for card in tests} == {"household", "realwaste", "sample-elsewhere"}
    assert len(own.for_learning("random").photos) > 0
    with pytest.raises(WastebookError, match="for testing only: nothing learns from it"):
        own._replace(card=own.card | {"test_only": True}).for_learning("random")
