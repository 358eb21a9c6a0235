"""What `wastebook data check` says of a set."""

import shutil

import numpy as np
import pandas as pd
import pytest

from wastebook import paths
from wastebook.data.checkup import examine
from wastebook.errors import WastebookError
from wastebook.photos.collection import load_photos


@pytest.fixture
def folder(sample, tmp_path):
    """Four photos of three classes of the sample, as one's own."""
    for label, photos in sample.photos.groupby("label"):
        for path in photos["path"][:4] if label in ("glass", "metal", "trash") else ():
            (tmp_path / label).mkdir(exist_ok=True)
            shutil.copy(sample.root / path, tmp_path / path)
    return tmp_path


def test_counts_and_remarks(folder):
    found = examine(load_photos(folder))
    assert found["photos"] == {"glass": 4, "metal": 4, "trash": 4}
    assert found["told"][0] == f"{folder}: a folder per class"
    assert found["told"][1].startswith("12 files: 12 photos in 3 classes")
    for _ in range(2):
        next((folder / "trash").iterdir()).unlink()
    (folder / "glass" / "text.jpg").write_text("<html>")
    (folder / "loose.jpg").write_text("x")
    found = examine(load_photos(folder))
    assert "13 files" not in found["told"][1] and "12 files: 11 photos" in found["told"][1]
    said = "; ".join(found["remarks"])
    assert "left out, in no class folder: loose.jpg" in said
    assert "unreadable: 1 (glass/text.jpg: no picture" in said
    assert "too few photos of different things for train, validation and test: trash" in said


@pytest.mark.fault(
    "own folders", "photos that are another set's, byte for byte", "told how many, and not to test"
)
@pytest.mark.parametrize(
    "known_set, told",
    [
        ("trashnet", "5 of your 12 photos are TrashNet's, byte for byte: do not test on it"),
        ("household", "5 of your 12 photos are Household's, byte for byte: do not learn from it"),
        ("some+set", "5 of your 12 photos are some/set's, byte for byte: do not test on it"),
    ],
)
def test_photos_of_a_known_set_are_told(folder, monkeypatch, tmp_path_factory, known_set, told):
    data, cards = load_photos(folder), tmp_path_factory.mktemp("cards")
    (cards / "audit").mkdir()
    known = [int(sha256[:16], 16) for sha256 in data.files["sha256"][:5]]
    np.array(sorted(known), ">u8").tofile(cards / "audit" / f"{known_set}.sha256")
    monkeypatch.setattr(paths, "CARDS", cards)
    found = examine(data)
    assert found["others"] == {known_set: 5}
    assert told in found["remarks"]
    assert examine(data._replace(name=known_set))["others"] == {}


@pytest.mark.real
def test_the_hashes_kept_are_trashnets(trashnet):
    kept = np.fromfile(paths.CARDS / "audit" / "trashnet.sha256", ">u8")
    assert kept.tolist() == sorted({int(sha256[:16], 16) for sha256 in trashnet.photos["sha256"]})


def test_one_readable_class_is_not_usable(folder):
    for label in ("metal", "trash"):
        for file in (folder / label).iterdir():
            file.write_text("<html>")
    with pytest.raises(WastebookError, match="of one class only"):
        examine(load_photos(folder))


def test_the_tables_of_the_family_agree():
    """Of each public set the same number, in the list of sets, of links and, where it is kept, of hashes."""
    audit = paths.CARDS / "audit"
    family = pd.read_csv(audit / "family.csv").set_index("set")
    links = pd.read_csv(audit / "family-links.csv").set_index(["set_a", "set_b"])
    assert (links["exact"] + links["again"] == links["shared"]).all()
    sets = {"TrashNet": ["trashnet", "trashnet_again"], "Waste Classification": ["waste-classification"]}
    for known, columns in sets.items():
        linked = links.xs(known, level="set_b")["shared"]
        told = family[columns].sum(axis=1)
        assert told[told > 0].astype(int).to_dict() == linked[linked > 0].to_dict()
    for name, row in family.iterrows():
        kept = audit / f"{name.replace('/', '+')}.sha256"
        assert not kept.exists() or kept.stat().st_size == 8 * row["photos"]
