"""How a folder of one's own is laid out: what is a class, what is a split, and what is neither."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from posixpath import commonpath

from wastebook.data.cards import plain_name
from wastebook.data.copies import HIDDEN, NO_PHOTO, PACKED, Row, why_no_photo
from wastebook.errors import WastebookError

SPLITS = {  # in English, Spanish, French, German, Italian, Portuguese and Chinese, without accents
    "train": "train training trn entrenamiento entrainement addestramento treino treinamento 训练 训练集",
    "validation": "val valid validation dev validacion validierung validazione validacao 验证 验证集",
    "test": "test tests testing tst holdout prueba pruebas prufung pruefung prova teste testes 测试 测试集",
    "eval": "eval evaluation evaluacion",  # where there is a test as well, the validation
}
WORDS = {word: split for split, words in SPLITS.items() for word in words.split()}
FILLERS = {"", "folder", "image", "images", "img", "imgs", "photos", "seg", "split"}
UNLABELLED = {"pred", "predict", "prediction", "predictions", "unlabelled", "unlabeled", "unsorted"}
CAMERA = re.compile(r"^(?:DCIM|[1-9]\d\d([A-Z_]{4}[A-Z\d_]))\Z")  # a camera's own folders, as 100CANON
SHAPE = "it should hold one folder of photos per class, or train and test folders over them"

Folders = tuple[str, ...]
Placed = dict[str, Folders]  # a file's folders, by its path


def read_layout(root: Path, files: Iterable[str]) -> tuple[str, list[Row], dict[str, str], list[str]]:
    """What files (POSIX paths below `root`) are taken for: that in a line; each photo's path, label and split
    (or None); why each other file is left out; and remarks on labels joined, and on folders within a class.
    Known are a folder per class; train, validation and test folders, by any usual names, over the classes or
    within each; and all of that within other folders or not.

    WastebookError, with the way out, where that is doubtful or there are fewer than two classes."""
    every = _without_cameras({path: PurePosixPath(path).parts[:-1] for path in files})
    left_out = {path: why for path in every if (why := why_no_photo(path))}
    folders = {path: each for path, each in every.items() if path not in left_out}
    plain = {path: each for path, each in folders.items() if not any(map(_is_unlabelled, each))}
    above = ["/".join(each[:-1]) for each in plain.values() if each]
    around = PurePosixPath(commonpath(above or [""])).parts
    inner = {path: each[len(around) :] for path, each in plain.items() if each[: len(around)] == around}
    inner = _take_once(inner)
    named = _name_splits(root, inner)
    rows = _without_unknown([(path, *_label(each, named)) for path, each in inner.items()], inner)
    _refuse_doubtful(root, rows, inner, named)
    dealt = {split for _, label, split in rows if label and split}
    over = any(each and each[0] in named for each in inner.values())
    if len(dealt) < 2 or not (over or all(split for *_, split in rows)):  # one alone splits nothing
        rows, dealt = [(path, label, None) for path, label, _ in rows], set()
    rows = [row for row in rows if row[1] and (row[2] or not dealt)]
    remarks = _remark_parts(rows, inner, named)
    rows, joined = _spell_alike(rows)
    _tell_bare(left_out, every, around, named)
    if len(labels := {label for _, label, _ in rows}) < 2:
        has = f"only one class folder, {min(labels)!r}" if labels else "no class folders"
        has = has if any(folders.values()) else "only loose photos" if folders else "no photos"
        first = min(left_out, key=lambda path: left_out[path] in (NO_PHOTO, HIDDEN), default="")
        if first and (not folders or left_out[first] not in (NO_PHOTO, HIDDEN)):
            has += f" ({first}: {left_out[first]})"
        raise WastebookError(f"{root} has {has}: {SHAPE}.")
    left_out |= {path: _why(folders[path], around, named) for path in {*folders} - {row[0] for row in rows}}
    splits = ", ".join(f"{name}/ ({split})" for name, split in sorted(named.items()) if split in dealt)
    told = f", in {splits}" * bool(splits) + f", within {'/'.join(around)}/" * bool(around)
    return f"a folder per class{told}", rows, left_out, joined + remarks


def _without_cameras(placed: Placed) -> Placed:
    """Without the folders that a camera makes: DCIM, and such as 100CANON within that, or where all beside it
    differ in their number only (`100GLASS` beside `101PAPER` is a class)."""
    tree = {each[: at + 1] for each in placed.values() for at in range(len(each))}
    kinds = Counter(each[:-1] for each in {(*each[:-1], CAMERA.sub(r"\1", each[-1])) for each in tree})
    made = {each for each in tree if CAMERA.match(each[-1]) and ("DCIM" in each or kinds[each[:-1]] == 1)}
    kept = {one: [name for at, name in enumerate(one) if one[: at + 1] not in made] for one in {*tree, ()}}
    return {path: tuple(kept[each]) for path, each in placed.items()}


def _without_unknown(rows: list[Row], inner: Placed) -> list[Row]:
    """The rows without those of the one folder below a split that is below no other, where that has several:
    `test/unknown`, as Keras wants it, is no class."""
    below = {(inner[path][0], plain_name(label)) for path, label, _ in rows if label}
    tops, labels = Counter(top for top, _ in below), Counter(label for _, label in below)
    odd = {(top,) for top, label in below if tops[top] == labels[label] == 1 and max(tops.values()) > 1}
    return [row for row in rows if inner[row[0]][:1] not in odd]


def _tell_bare(left_out: dict[str, str], every: Placed, around: Folders, named: dict[str, str]) -> None:
    """Make it the reason of files that they lie where those of classes do, in a folder without a photo."""
    used = {name for path, each in every.items() if path not in left_out for name in each}
    for path in [path for path, why in left_out.items() if why in (NO_PHOTO, PACKED) and used]:
        name = next((name for name in every[path] if name not in {*around, *named}), "")
        if name and name not in used and every[path][: len(around)] == around:
            left_out[path] = f"in {name}/, no class: it holds no photo"


def _take_once(inner: Placed) -> Placed:
    """Without the folders at the top that only hold once more what lies beside them, as some sets are packed;
    those called after a split may be others."""
    places = {path: (*each, PurePosixPath(path).name) for path, each in inner.items()}
    known = {*places.values()}
    once = {top for top, *rest in known if len(rest) < 2 or (*rest,) not in known or _words(top) & {*WORDS}}
    return {path: inner[path] for path, place in places.items() if place[0] in once}


def _remark_parts(rows: list[Row], inner: Placed, named: dict[str, str]) -> list[str]:
    """A remark on each class that holds several folders: perhaps these are the classes."""
    below = {(label, *inner[path][inner[path].index(label) + 1 :][:1]) for path, label, _ in rows}
    parts = Counter(label for label, *part in sorted(below) if part and part[0] not in named)
    told = "folders in it are taken for parts of it, not for classes"
    return [f"{label}: {number} {told}" for label, number in parts.items() if number > 1]


def _words(name: str) -> set[str]:
    """The words of a folder's name that say something, without accents: of `Training_Set2`, `training`."""
    letters = re.sub(r"[\u0300-\u036f]", "", unicodedata.normalize("NFKD", name))
    words = re.split(r"[\W\d_]+|(?<=[a-z])(?=[A-Z])", letters)
    return {word.casefold().removesuffix("set").removesuffix("data") for word in words} - FILLERS


def _is_unlabelled(name: str) -> bool:
    return set() < _words(name) <= UNLABELLED


def _name_splits(root: Path, inner: Placed) -> dict[str, str]:
    """The split of each folder that is called after one: at the top or just below, and after nothing else; or
    at the top and also after something else, where two or more are (`waste_train`, `waste_test`)."""
    near = {name: _words(name) for each in inner.values() for name in each[:2]}
    found = {name: WORDS[min(words & {*WORDS})] for name, words in near.items() if words & {*WORDS}}
    over = {each[0] for each in inner.values() if len(each) > 1} & found.keys()
    loosely = over if len({found[name] for name in over}) > 1 else set()
    named = {name: found[name] for name in found if name in loosely or near[name] <= {*WORDS}}
    other = "validation" if "test" in named.values() else "test"
    named = {name: other if split == "eval" else split for name, split in named.items()}
    if twice := [name for name in over & {*named} for one in over - {name} if named.get(one) == named[name]]:
        raise WastebookError(f"{root}: make one folder of those called after one split, {sorted(twice)}.")
    return named if len({*named.values()}) > 1 else dict.fromkeys(named, "")


def _label(folders: Folders, named: dict[str, str]) -> tuple[str, str | None]:
    """The label and the split of a photo in these folders: the first that is called after no split (nor just
    `images`, below one), and the split that the deeper of the first two is called after."""
    split = next((named[name] for name in folders[1::-1] if name in named), None)
    names = [name for name in folders if name not in named]
    if split is not None and len(names) > 1 and not _words(names[0]) and re.search(r"[^\W\d_]", names[0]):
        names = names[1:]
    return (names[0] if names else ""), split or None


def _refuse_doubtful(root: Path, rows: list[Row], inner: Placed, named: dict[str, str]) -> None:
    """WastebookError where folders may be splits or classes, or are folds or sets side by side."""
    tops = {each[0] for each in inner.values() if each}
    over, others = tops & named.keys(), tops - named.keys()
    deep = (each for each in inner.values() if len(each) > 2 and each[0] in others and each[1] in named)
    shared = Counter(name for _, name in {(each[0], each[2]) for each in deep})
    folds = [top for top in others if _words(top) == {"fold"}]
    if len(folds) > 1 or len(shared) - [*shared.values()].count(1) > 1:
        some = f"folds or sets side by side, {', '.join(sorted(others)[:3])}"
        raise WastebookError(f"{root} has {some}: name one, or join them; {SHAPE}.")
    dealt = {split for path, label, split in rows if label and inner[path][0] in over}
    classed = {inner[path][0] for path, label, _ in rows if label}
    doubtful = {inner[path] for path, label, _ in rows if not label and classed & {*inner[path][:-1]}}
    doubtful |= {(one,) for one in over if others and len(dealt) < 2}
    for one in sorted(doubtful)[:1]:
        message = f"{root} has {'/'.join(one)!r}, called after a split, beside classes"
        raise WastebookError(f"{message}: is it a split or a class? Rename it, or move it out; {SHAPE}.")


def _why(folders: Folders, around: Folders, named: dict[str, str]) -> str:
    """Why a photo in these folders is left out."""
    if unlabelled := next(filter(_is_unlabelled, folders), ""):
        return f"in {unlabelled}/, unlabelled by its name"
    beside = folders[len(around) :][:1]
    if beside and beside[0] not in named:
        return f"in {beside[0]}/, neither a split nor a class"
    return "in no class folder"


def _spell_alike(rows: list[Row]) -> tuple[list[Row], list[str]]:
    """The rows with the commonest spelling of labels of one `plain_name`, and a remark on each other one."""
    rows = [(path, unicodedata.normalize("NFC", label), split) for path, label, split in rows]
    counts = Counter(label for _, label, _ in rows)
    common = {plain_name(label): label for label in sorted(counts, key=lambda label: (counts[label], label))}
    other = [label for label in sorted(counts) if common[plain_name(label)] != label]
    remarks = [f"{label!r} and {common[plain_name(label)]!r} are taken for one class" for label in other]
    return [(path, common[plain_name(label)], split) for path, label, split in rows], remarks
