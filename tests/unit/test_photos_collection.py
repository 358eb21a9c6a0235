"""A chapter's photos in one call."""

import shutil

from wastebook.data.sample import draw_sample
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
