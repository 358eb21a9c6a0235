"""Layouts of folders as people have them: what is a class, a split, or neither; the counts add up."""

import numpy as np
import pytest

from wastebook.data.layout import read_layout
from wastebook.errors import WastebookError


def files(*folders, each=2):
    return [f"{folder}/{number}.jpg" for folder in folders for number in range(each)]


def over(*splits, classes=("can", "jar"), within=""):
    return files(*(f"{split}/{within}{label}" for split in splits for label in classes))


def taken(paths):
    """The classes, the splits and the reasons to leave files out, where the counts add up."""
    _, rows, left_out, _ = read_layout("root", paths)
    used = {path for path, *_ in rows}
    assert used | left_out.keys() == set(paths) and not used & left_out.keys()
    return {label for _, label, _ in rows}, {split for *_, split in rows}, set(left_out.values())


ALL = {"train", "validation", "test"}


@pytest.mark.fault(
    "own folders", "train, validation and test folders by other names, or deeper", "they are known"
)
@pytest.mark.parametrize(
    ("paths", "splits"),
    [
        (files("can", "jar"), {None}),
        (files(*(f"class {number}" for number in range(40))), {None}),
        (over("train", "valid", "test"), ALL),
        (over("Train", "VAL", "Test_Set"), ALL),
        (over("training_set", "validation_set", "test_set"), ALL),
        (over("training", "validation", "evaluation"), ALL),
        (over("train", "dev", "testing"), ALL),
        (over("train", "eval", "test"), ALL),
        (over("train2017", "val2017"), {"train", "validation"}),
        (over("seg_train", "seg_test"), {"train", "test"}),
        (over("seg_train/seg_train", "seg_test/seg_test"), {"train", "test"}),
        (over("waste_train", "waste_test"), {"train", "test"}),
        (over("entrenamiento", "validación", "prueba"), ALL),
        (over("train", "test", within="images/"), {"train", "test"}),
        (over("archive/data/train", "archive/data/test"), {"train", "test"}),
        (files("Garbage/Garbage/can", "Garbage/Garbage/jar"), {None}),
        (files("can/train", "can/test", "jar/train", "jar/test"), {"train", "test"}),
        (files("can/batch 1", "can/batch 2", "jar"), {None}),
        (over("train"), {None}),
    ],
)  # fmt: skip
def test_usual_layouts_are_known(paths, splits):
    classes, found, reasons = taken(paths)
    assert len(classes) in (2, 40) and found == splits and not reasons
    assert {"can", "jar"} <= classes or len(classes) == 40


@pytest.mark.fault(
    "own folders", "unlabelled, loose, hidden and other files beside", "left out, each with its reason"
)
@pytest.mark.parametrize(
    ("beside", "reason"),
    [
        (files("pred"), "in pred/, unlabelled by its name"),
        (files("seg_pred/seg_pred"), "in seg_pred/, unlabelled by its name"),
        (files("train/unlabelled"), "in unlabelled/, unlabelled by its name"),
        (files("extra"), "in extra/, neither a split nor a class"),
        (["1.jpg", "test/2.jpg"], "in no class folder"),
        ([".DS_Store", "train/can/._1.jpg", "__MACOSX/train/can/2.jpg"], "hidden"),
        (["read me.txt", "train/can/1.json"], "no photo by its suffix"),
    ],
)  # fmt: skip
def test_what_is_beside_the_splits_is_no_class(beside, reason):
    assert taken([*over("train", "test"), *beside]) == ({"can", "jar"}, {"train", "test"}, {reason})


def test_an_unlabelled_test_folder_is_no_split():
    paths = [*over("train"), *files("test")]
    assert taken(paths) == ({"can", "jar"}, {None}, {"in no class folder"})


@pytest.mark.fault("own folders", "folders that may be splits or classes", "refused, with the way out")
@pytest.mark.parametrize(
    ("paths", "said"),
    [
        ([], "no photos"),
        (["a.jpg"], "only loose photos"),
        (files("can"), "only one class folder, 'can'"),
        (files("train", "test"), "no class folders"),
        (files("can", "jar", "train"), "is it a split or a class"),
        ([*over("train"), *files("can", "jar")], "is it a split or a class"),
        (over("train", "training", "test"), "make one folder of those"),
    ],
)
def test_what_is_doubtful_is_refused(paths, said):
    with pytest.raises(WastebookError, match=said) as caught:
        read_layout("root", paths)
    assert "\n" not in str(caught.value) and "folder" in str(caught.value)


@pytest.mark.fault("own folders", "one label by several spellings", "one class, and a line that says so")
@pytest.mark.parametrize("other", ["Cartón", "CARTÓN", "carto\u0301n"])
def test_labels_that_differ_by_case_or_accents_are_one(other):
    _, rows, _, remarks = read_layout("root", [*files("cartón", other, "jar", each=3), "cartón/4.jpg"])
    assert {label for _, label, _ in rows} == {"cartón", "jar"} and len(rows) == 10
    assert remarks == ([] if other == "carto\u0301n" else [f"{other} and cartón are taken for one class"])


def test_any_tree_is_read_or_refused_and_its_counts_add_up():
    random = np.random.default_rng(0)
    names = [
        "train",
        "Test",
        "val",
        "can",
        "jar",
        "pred",
        "images",
        "Can",
        ".hidden",
        "seg_train",
        "a b",
        "data",
    ]
    read = 0
    for _ in range(1500):
        picked = random.choice(names, (int(random.integers(1, 12)), 3))
        paths = {"/".join([*some[: random.integers(0, 4)], f"{n}.jpg"]) for n, some in enumerate(picked)}
        try:
            assert len(taken(sorted(paths))[0]) >= 2
            read += 1
        except WastebookError as error:
            assert str(error).count("\n") == 0
    assert read > 100
