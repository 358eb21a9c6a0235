"""How a folder of one's own is laid out: what is a class, what is a split, and what is neither."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from itertools import takewhile
from pathlib import Path, PurePosixPath

from wastebook.data.cards import plain_name
from wastebook.data.copies import PACKED, why_no_photo
from wastebook.errors import WastebookError

SPLITS = {
    "train": "train training trn entrenamiento",
    "validation": "val valid validation dev validación validacion",
    "test": "test tests testing tst holdout prueba pruebas",
    "eval": "eval evaluation evaluación evaluacion",  # where there is a test as well, the validation
}
WORDS = {word: split for split, words in SPLITS.items() for word in words.split()}
FILLERS = {"", "folder", "image", "images", "img", "imgs", "photos", "seg", "split"}
UNLABELLED = {"pred", "predict", "prediction", "predictions", "unlabelled", "unlabeled", "unsorted"}
CAMERA = re.compile(r"(?<![^/])(DCIM|\d{3}[A-Z_]{4}[A-Z\d_])/")  # a camera's own folders, as 100CANON
SHAPE = "it should hold one folder of photos per class, or train and test folders over them"

Folders = tuple[str, ...]
Row = tuple[str, str, str | None]


def read_layout(root: Path, files: Iterable[str]) -> tuple[str, list[Row], dict[str, str], list[str]]:
    """What files (POSIX paths below `root`) are taken for: that in a line; each photo's path, label and split
    (or None); why each other file is left out; and remarks on labels joined, and on folders within a class.
    Known are a folder per class; train, validation and test folders, by any usual names, over the classes or
    within each; and all of that within other folders or not.

    WastebookError, with the way out, where that is doubtful or there are fewer than two classes.
    """
    left_out = {path: why for path in files if (why := why_no_photo(path))}
    folders = {one: PurePosixPath(CAMERA.sub("", one)).parts[:-1] for one in files if one not in left_out}
    plain = {path: each for path, each in folders.items() if not any(map(_is_unlabelled, each))}
    chains = [each[:-1] for each in plain.values() if each] or [()]
    pairs = zip(min(chains), max(chains), strict=False)
    around = tuple(name for name, other in takewhile(lambda pair: pair[0] == pair[1], pairs))
    inner = {path: each[len(around) :] for path, each in plain.items() if each[: len(around)] == around}
    inner = _take_once(inner)
    named = _name_splits(root, inner)
    rows = [(path, *_label(each, named)) for path, each in inner.items()]
    _refuse_doubtful(root, rows, inner, named)
    dealt = {split for _, label, split in rows if label and split}
    over = any(each and each[0] in named for each in inner.values())
    if len(dealt) < 2 or not (over or all(split for *_, split in rows)):  # one alone splits nothing
        rows, dealt = [(path, label, None) for path, label, _ in rows], set()
    rows = [row for row in rows if row[1] and (row[2] or not dealt)]
    remarks = _remark_parts(rows, inner, named)
    rows, joined = _spell_alike(rows)
    if len(labels := {label for _, label, _ in rows}) < 2:
        has = f"only one class folder, {min(labels)!r}" if labels else "no class folders"
        has = has if any(folders.values()) else "only loose photos" if folders else "no photos"
        first = min(left_out, key=lambda path: left_out[path] != PACKED, default="")
        if first and (not folders or left_out[first] == PACKED):
            has += f" ({first}: {left_out[first]})"
        raise WastebookError(f"{root} has {has}: {SHAPE}.")
    unused = folders.keys() - {path for path, *_ in rows}
    left_out |= {path: _why(folders[path], around, named) for path in unused}
    splits = ", ".join(f"{name}/ ({split})" for name, split in sorted(named.items()) if split in dealt)
    told = f", in {splits}" * bool(splits) + f", within {'/'.join(around)}/" * bool(around)
    return f"a folder per class{told}", rows, left_out, joined + remarks


def _take_once(inner: dict[str, Folders]) -> dict[str, Folders]:
    """Without the folders at the top that only hold once more what lies beside them, as some sets are packed;
    those called after a split may be others."""
    places = {path: (*each, PurePosixPath(path).name) for path, each in inner.items()}
    known = {*places.values()}
    once = {
        top for top, *rest in known if len(rest) < 2 or tuple(rest) not in known or _words(top) & {*WORDS}
    }
    return {path: inner[path] for path, place in places.items() if place[0] in once}


def _remark_parts(rows: list[Row], inner: dict[str, Folders], named: dict[str, str]) -> list[str]:
    """A remark on each class that holds several folders: perhaps these are the classes."""
    below = {(label, *inner[path][inner[path].index(label) + 1 :][:1]) for path, label, _ in rows}
    parts = Counter(label for label, *part in sorted(below) if part and part[0] not in named)
    told = "folders in it are taken for parts of it, not for classes"
    return [f"{label}: {number} {told}" for label, number in parts.items() if number > 1]


def _words(name: str) -> set[str]:
    """The words of a folder's name that say something: of `Training_Set2`, `training`."""
    words = re.split(r"[\W\d_]+", unicodedata.normalize("NFC", name).casefold())
    return {word.removesuffix("set").removesuffix("data") for word in words} - FILLERS


def _is_unlabelled(name: str) -> bool:
    return set() < _words(name) <= UNLABELLED


def _name_splits(root: Path, inner: dict[str, Folders]) -> dict[str, str]:
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


def _refuse_doubtful(root: Path, rows: list[Row], inner: dict[str, Folders], named: dict[str, str]) -> None:
    """WastebookError where folders may be splits or classes."""
    tops = {each[0] for each in inner.values() if each}
    over, others = tops & named.keys(), tops - named.keys()
    dealt = {split for path, label, split in rows if label and inner[path][0] in over}
    classed = {inner[path][0] for path, label, _ in rows if label}
    doubtful = {inner[path] for path, label, _ in rows if not label and classed & {*inner[path][:-1]}}
    doubtful |= {(one,) for one in over if others and len(dealt) < 2}
    for one in sorted(doubtful)[:1]:
        message = (
            f"{root} has {'/'.join(one)!r}, called after a split, beside classes: is it a split or a class?"
        )
        raise WastebookError(f"{message} Rename it, or move it out; {SHAPE}.")


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
