"""Layouts of folders as people have them: what is a class, a split, or neither; the counts add up."""

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
        (over("Entrenamiento", "Validacion", "Pruebas"), ALL),
        (over("Training Images", "Validation Images", "Testing Images"), ALL),
        (over("TrainImages", "ValImages", "TestImages"), ALL),
        (over("entraînement", "validation", "test"), ALL),
        (over("Training", "Validierung", "Prüfung"), ALL),
        (over("treino", "validação", "teste"), ALL),
        (over("训练集", "验证集", "测试集"), ALL),
        (over("train/train", "train/validation", "test"), ALL),
        (over("waste-3/train", "waste-3/valid", "waste-3/test"), ALL),
        (over("images/train", "images/val"), {"train", "validation"}),
        (files(*(f"{label}/DCIM/10{at}CANON" for at in range(2) for label in ("can", "jar"))), {None}),
        (over("train/100APPLE", "test/101_PANA"), {"train", "test"}),
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
        (["train/can/@eaDir/1.jpg/THUMB_XL.jpg", "$RECYCLE.BIN/1.jpg", "#recycle/can/1.jpg"], "hidden"),
        (["train/can/.ipynb_checkpoints/1-checkpoint.jpg", ".git/1.jpg"], "hidden"),
        (["read me.txt", "train/can/1.json"], "no photo by its suffix"),
        (["README.roboflow.txt", "train/Thumbs.db", "test/_classes.csv"], "no photo by its suffix"),
        (over("data/train", "data/test"), "in data/, neither a split nor a class"),
    ],
)  # fmt: skip
def test_what_is_beside_the_splits_is_no_class(beside, reason):
    assert taken([*over("train", "test"), *beside]) == ({"can", "jar"}, {"train", "test"}, {reason})


def test_an_unlabelled_test_folder_is_no_split():
    paths = [*over("train"), *files("test")]
    assert taken(paths) == ({"can", "jar"}, {None}, {"in no class folder"})


@pytest.mark.fault("own folders", "classes called as a camera calls its folders, 100GLASS", "classes")
@pytest.mark.parametrize(
    ("paths", "classes"),
    [
        (files("001GLASS", "002PAPER"), {"001GLASS", "002PAPER"}),
        (files("100GLASS", "101PAPER", "102METAL"), {"100GLASS", "101PAPER", "102METAL"}),
        (over("train", "test", classes=("100GLASS", "101PAPER")), {"100GLASS", "101PAPER"}),
        (files("100GLASS", "can"), {"100GLASS", "can"}),
        (files("DCIM/100CANON/can", "DCIM/101NIKON/jar"), {"can", "jar"}),
        (files("can/100CANON", "can/101CANON", "jar/100CANON"), {"can", "jar"}),
    ],
)
def test_a_cameras_folder_is_known_by_what_is_around_it(paths, classes):
    assert taken(paths)[0] == classes and not taken(paths)[2]


@pytest.mark.fault("own folders", "one folder below a split that is below no other", "left out, no class")
@pytest.mark.parametrize("odd", ["test/unknown", "test/images", "Test1/all"])
def test_what_is_alone_below_a_split_is_no_class(odd):
    assert taken([*over("train"), *files(odd)]) == ({"can", "jar"}, {None}, {"in no class folder"})
    both = [*over("train", "val"), *files(odd)]
    assert taken(both) == ({"can", "jar"}, {"train", "validation"}, {"in no class folder"})
    assert taken(files("train/can", "train/jar", "test/can"))[1] == {"train", "test"}


@pytest.mark.fault("own folders", "a class folder without a photo", "left out by name, with the count")
@pytest.mark.parametrize("split", ["", "train/"])
def test_a_class_without_a_photo_is_told(split):
    kept = [*over("train", "test")] if split else files("can", "jar")
    bare = [f"{split}cup/{number}.jp2" for number in range(3)]
    left_out = read_layout("root", [*kept, *bare, f"{split}can/1.txt", "a.txt", f"{split}.x/1.txt"])[2]
    assert {path for path, why in left_out.items() if why == "in cup/, no class: it holds no photo"} == {
        *bare
    }
    with pytest.raises(WastebookError, match=r"only one class folder, 'can' \(cup/0.jp2: in cup/, no class"):
        read_layout("root", [*files("can"), "cup/0.jp2"])


@pytest.mark.fault("own folders", "folders that may be splits or classes", "refused, with the way out")
@pytest.mark.parametrize(
    ("paths", "said"),
    [
        ([], "no photos: "),
        (["can/1", "jar/1"], r"no photos \(can/1: no photo by its suffix\): "),
        (["a.txt", "train.zip", "test.zip"], r"no photos \(train.zip: packed: unpack it\): "),
        (["photos.7z", "1.jpg"], r"only loose photos \(photos.7z: packed: unpack it\): "),
        (["a.jpg"], "only loose photos"),
        (files("DCIM/100CANON", "DCIM/101CANON"), "only loose photos"),
        (files("can"), "only one class folder, 'can'"),
        (files("train", "test"), "no class folders"),
        (files("can", "jar", "train"), "is it a split or a class"),
        ([*over("train"), *files("can", "jar")], "is it a split or a class"),
        (over("train", "training", "test"), "make one folder of those"),
        (over("fold_1", "fold_2"), "folds or sets side by side, fold_1, fold_2: name one, or join"),
        (over("fold1/train", "fold1/test", "fold2/train", "fold2/test"), "side by side, fold1, fold2"),
        (over("a/train", "a/test", "b/train", "b/val"), "side by side, a, b: name one, or join"),
        (over("a/train", "b/train"), "side by side, a, b: name one, or join"),
        (
            over("train", "test", classes=("train", "car")),
            "'(test|train)/train', called after a split, beside",
        ),
    ],
)
def test_what_is_doubtful_is_refused(paths, said):
    with pytest.raises(WastebookError, match=said) as caught:
        read_layout("root", paths)
    assert "\n" not in str(caught.value) and "folder" in str(caught.value)


@pytest.mark.fault("own folders", "one label by several spellings", "one class, and a line that says so")
@pytest.mark.parametrize("other", ["Cartón", "CARTÓN", "carto\u0301n", " cartón "])
def test_labels_that_differ_by_case_or_accents_are_one(other):
    _, rows, _, remarks = read_layout("root", [*files("cartón", other, "jar", each=3), "cartón/4.jpg"])
    assert {label for _, label, _ in rows} == {"cartón", "jar"} and len(rows) == 10
    assert remarks == ([] if other == "carto\u0301n" else [f"{other!r} and 'cartón' are taken for one class"])


@pytest.mark.fault(
    "own folders", "classes called by digits, words of YAML, emoji, from right to left", "kept"
)
@pytest.mark.parametrize("within", ["", "DCIM/"])
def test_a_class_may_be_called_anything(within):
    odd = {"0", "1", "007", "1e5", "None", "nan", "NA", "true", "no", "=1+1", "🗑️", "زجاج", "-", "x" * 200}
    flat, split = (
        [f"{top}{label}/{within}1.jpg" for top in tops for label in odd]
        for tops in ([""], ["train/", "test/"])
    )
    assert taken(flat) == (odd, {None}, set()) and taken(split) == (odd, {"train", "test"}, set())


@pytest.mark.fault("own folders", "a set packed twice, once within itself", "taken once")
def test_a_set_within_itself_is_taken_once():
    once = files("waste/can", "waste/jar")
    classes, _, reasons = taken(once + [f"waste/{path}" for path in once])
    assert classes == {"can", "jar"} and reasons == {"in waste/, neither a split nor a class"}
    assert taken([*files("can", "jar"), "0.jpg", "1.jpg"])[0] == {"can", "jar"}  # sorted copies of loose ones


@pytest.mark.fault(
    "own folders", "classes that hold folders, perhaps classes themselves", "a remark names them"
)
@pytest.mark.parametrize(
    ("paths", "remarks"),
    [
        (files("data/can", "data/jar", "figures"), {"data: 2"}),
        (files("day 1/can", "day 1/jar", "day 2/can", "day 2/jar"), {"day 1: 2", "day 2: 2"}),
        (over("train", "test", within="") + files("train/can/pet", "train/can/steel"), {"can: 2"}),
        (files("can/DCIM/100CANON", "can/DCIM/101CANON", "jar/DCIM/100CANON"), set()),
        (files("can/train", "can/test", "jar/train", "jar/test"), set()),
    ],
)
def test_folders_within_a_class_are_told(paths, remarks):
    told = read_layout("root", paths)[3]
    assert {line.partition(" folders in it")[0] for line in told} == remarks
