"""Folders of one's own photos, each of another shape, drawn by the library: what the book must take."""

import shutil
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from wastebook.data.sample import draw_sample

SHAPES = ("flat", "split", "hole", "burst", "few", "one-thing", "names", "odd")
LONG = (
    "a bottle of a kind that has a name as long as those in catalogues are, with a cap and a label, number "
)
NAMES = (  # what a page, a figure, a sheet or a terminal might take for more than a name
    "<img src=x onerror=alert(1)> `<svg onload=alert(2)>\"'",
    "$x_1$ & \\frac{a} {{< meta title >}} ${7*7}",
    "=1+cmd|' C'!A1\n[a](javascript:alert(3))",
    "زجاج \u202egpj",
    LONG + "one",
    LONG + "two",
)
ODD = ("no", "1e5", "None", "nan", "=1+1", "🗑️ 007")  # what YAML, pandas or a sheet take for no text
FORMATS = (".webp", ".avif", ".tif", ".png", ".bmp", ".gif", ".jpeg", ".JPG")


def make_folder(shape: str, place: Path) -> Path:
    """A folder of one of the `SHAPES` in `place`, named after it."""
    drawn = draw_sample("sample", photos=120, near_duplicates=0)
    photos = {label.name: sorted(label.glob("*.jpg")) for label in sorted(drawn.iterdir()) if label.is_dir()}
    folder = place / shape

    def copy(label: str, first: int, count: int, split: str = "") -> None:
        for file in photos[label][first : first + count]:
            (folder / split / label).mkdir(parents=True, exist_ok=True)
            shutil.copy(file, folder / split / label)

    match shape:
        case "flat":
            for label in ("glass", "metal", "paper"):
                copy(label, 0, 14)
        case "split":
            for label in ("paper", "plastic"):
                copy(label, 0, 12, "train")
                copy(label, 12, 5, "test")
        case "hole":
            for label in ("glass", "metal", "plastic"):
                copy(label, 0, 12, "train")
            for label in ("glass", "metal"):
                copy(label, 12, 4, "test")
        case "burst":
            for label in ("glass", "paper"):
                copy(label, 0, 14)
            take_burst(photos["metal"][0], folder / "battery", 10)
            copy("trash", 0, 2)
        case "few":
            for label in photos:
                copy(label, 0, 5)
        case "names":
            for name, drawn_as in zip(NAMES, photos, strict=True):
                (folder / name).mkdir(parents=True)
                for file in photos[drawn_as][:8]:
                    shutil.copy(file, folder / name / f"<b>{file.name}")
        case "odd":  # a camera's folders, other formats, turned photos, copies of another class, one photo
            for label, drawn_as, count in zip(ODD, photos, (12, 8, 8, 0, 1, 8), strict=True):
                for at, file in enumerate(photos[drawn_as][:count]):
                    place = folder / label / "DCIM" / f"10{at % 2}CANON"
                    place.mkdir(parents=True, exist_ok=True)
                    turned = Image.Exif()
                    turned[0x0112] = at % 8 + 1
                    Image.open(file).save(place / f"{at}{FORMATS[at % 8]}", exif=turned)
            shutil.copytree(folder / ODD[0], folder / ODD[3])
            (folder / ODD[0] / "@eaDir").mkdir()
            shutil.copy(photos["glass"][0], folder / ODD[0] / "@eaDir")
            (folder / "card.yaml").write_text("title: On\nclasses: [{name: no, spanish: sí}]\n", "utf-8")
        case "one-thing":
            for label in ("glass", "paper"):
                take_burst(photos[label][0], folder / label, 8)
    return folder


def take_burst(photo: Path, folder: Path, count: int) -> None:
    """One thing photographed again and again: a little nearer or further to the side, a little lighter."""
    folder.mkdir(parents=True)
    whole, random = cv2.imread(str(photo)), np.random.default_rng(0)
    for number in range(count):
        row, column = random.integers(0, 6, 2)
        take = whole[row : row + whole.shape[0] - 6, column : column + whole.shape[1] - 6]
        light = cv2.convertScaleAbs(take, alpha=float(random.uniform(0.97, 1.03)))
        cv2.imwrite(str(folder / f"frame-{number}.jpg"), light, [cv2.IMWRITE_JPEG_QUALITY, 92])
