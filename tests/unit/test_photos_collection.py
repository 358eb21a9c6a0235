"""A chapter's photos in one call."""

from wastebook.data import draw_sample
from wastebook.photos.collection import load_photos


def test_photos_are_readable_drawn_and_grouped():
    root = draw_sample(photos=30, broken=4)
    data = load_photos(root, photos_per_class=3, seed=1)
    assert data.root == root and data.name == data.title == root.name
    assert len(data.files) == 32 + 4 and (~data.problems["readable"]).sum() >= 3
    assert set(data.photos["label"].value_counts()) == {3} and data.photos["group"].notna().all()
    assert {*data.pairs["path_a"], *data.pairs["path_b"]} <= {*data.photos["path"]}
    assert load_photos(root, 3, seed=1).photos.equals(data.photos)
    assert not load_photos(root, 3, seed=2).photos.equals(data.photos)
