"""The sample: photo-like pictures of waste that the library draws itself, from a seed.

A thing lies on a white board under uneven light, and a camera with a lens, a sensor and a mood takes it.
Everything is reckoned in float64 and rounded once, so that the last digits of a processor's sines do not
reach the picture: a seed gives one set of files.
"""

import io
import itertools
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple

import cv2
import joblib
import numpy as np
import pandas as pd
from PIL import Image
from tqdm import tqdm

from wastebook.cache import cache_folder, fill_once
from wastebook.data.cards import Card, load_cards
from wastebook.data.drawing import THINGS, Field, Random, make_noise
from wastebook.data.splits import split_photos

VERSION = 5  # raise it when the pictures change: it is in the name of the folder they are kept in
WIDTH, HEIGHT = 512, 384
Y, X = np.mgrid[-1 : 1 : HEIGHT * 1j, -1 : 1 : WIDTH * 1j]

# The board's tones, how rough it is, and how much warmer the light there.
STUDIO, FLOOR = (0.83, 0.82, 0.80, 0.0, 0.0), (0.46, 0.45, 0.44, 0.12, 0.1)


class Shot(NamedTuple):
    """One photograph: of which thing, and which of the photographs of it."""

    label: str
    thing: int
    take: int
    same_view: bool  # as in the first take: only the exposure is another


def _photograph(shot: Shot, seed: int, place: tuple[float, ...] = STUDIO) -> tuple[bytes, list[int]]:
    """A shot as a JPEG, with the thing's box: x, y, width, height in pixels."""
    parts = ((0,), (1,), (2, shot.take))
    make, scene, take = (np.random.default_rng((seed, shot.thing, *part)) for part in parts)
    turn, size, sun = scene.uniform((0, 1, 0), (2 * np.pi, 1.4, 2 * np.pi))
    centre = np.array((WIDTH, HEIGHT)) / 2 + scene.uniform(-1, 1, 2) * (45, 30)
    if shot.take and not shot.same_view:
        turn, size = turn + take.uniform(-0.5, 0.5), size * take.uniform(0.88, 1.1)
        centre, sun = centre + take.uniform(-30, 30, 2), sun + take.uniform(-0.5, 0.5)
    if size > 1.1:  # longer than the frame is high: it lies along it
        turn = np.arctan2(0.55 * np.sin(turn), np.cos(turn))
    low = scene.uniform(0.45, 0.75)
    lean = np.sqrt(1 - low * low)
    light = np.array((lean * np.cos(sun - turn), lean * np.sin(sun - turn), low))
    kinds = THINGS[shot.label]
    fields = kinds[make.integers(len(kinds))](make, light)
    cosine, sine = size * np.cos(turn), size * np.sin(turn)
    matrix = np.array([[cosine, -sine, 0], [sine, cosine, 0]])
    matrix[:, 2] = centre - matrix[:, :2] @ (np.array(fields[0].shape[::-1]) / 2)
    cover, *layers = (cv2.warpAffine(field, matrix, (WIDTH, HEIGHT)) for field in fields)

    rows, columns = (np.flatnonzero((cover > 0.5).any(axis=axis)) for axis in (1, 0))
    box = [int(side) for side in (columns[0], rows[0], np.ptp(columns) + 1, np.ptp(rows) + 1)]
    *tones, rough, warmth = place
    boards = np.array(tones) + scene.uniform(-0.025, 0.025, 3)
    grain = 0.0
    if rough:
        coarse, fine = (np.random.default_rng((seed, shot.thing, 3, cells)) for cells in (9, 120))
        grain = rough * cv2.resize(make_noise(coarse, 9) + make_noise(fine, 120), (WIDTH, HEIGHT))
    slope = scene.uniform(0.03, 0.12) * (X * np.cos(sun) + Y * np.sin(sun))
    light_there = (1 + slope) * (1 - scene.uniform(0.02, 0.08) * (X * X + Y * Y))
    lit = []
    for tone, own, through, warm in zip(boards, layers[:3], layers[3:], (1, 0, -1), strict=True):
        board = tone + grain
        lit.append((board + cover * (own + board * through - board)) * light_there * (1 + warmth * warm))
    pixels = _expose(lit, scene, take)
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "JPEG", quality=int(take.integers(84, 94)))
    return content.getvalue(), box


def _expose(planes: list[Field], scene: Random, take: Random) -> np.ndarray:
    """What the camera makes of red, green and blue light, as uint8: exposed, warm, out of focus, grainy."""
    exposure = scene.uniform(0.68, 1.02) * take.uniform(0.85, 1.15)
    warmth = scene.uniform(-0.06, 0.06) + take.uniform(-0.02, 0.02)
    gains = exposure * np.array((1 + warmth, 1 + take.uniform(-0.015, 0.015), 1 - warmth))
    blur, exposed = take.uniform(0.4, 1.0), []
    speckles = np.subtract(*take.integers(0, 256, (2, HEIGHT, WIDTH, 3), np.uint8), dtype=np.int16)
    grainy = take.uniform(0.01, 0.035) / 255
    for plane, gain, grain in zip(planes, gains, cv2.split(speckles), strict=True):
        plane = np.clip(cv2.GaussianBlur(plane * gain, (0, 0), blur), 0.02, 1.3)
        plane *= 1.32 - 0.32 * plane
        exposed.append(np.clip(255 * (plane + np.sqrt(plane) * (grainy * grain)) + 0.5, 0, 255))
    return np.dstack(exposed).astype(np.uint8)


# Which class takes a copy of whose photo, as TrashNet (and the Waste Classification data) have it.
EXACT_PAIRS = {
    "sample": [("glass", "plastic"), ("glass", "metal")],
    "sample-binary": [("organic", "organic"), ("organic", "recyclable")],
}


def draw_sample(
    name: str = "sample", seed: int = 0, photos: int | None = None, near_duplicates: int | None = None
) -> Path:
    """Draw the sample `name` (`sample` or `sample-binary`) into the cache, once, and give its folder.

    It holds a folder per class of JPEGs, 512 x 384, in the card's proportions: `photos` of them (by default
    the card's number), of which `near_duplicates` (by default one in fifteen, at most half) show another's
    thing once more, every second one in the very same view at another exposure, and two are another's bytes.
    Beside them `boxes.parquet` (see `true_boxes`) and `splits.csv`, a split of each file name, made as one
    makes them who has not looked for duplicates."""
    card = load_cards()[name]
    photos = photos or card["photos"]
    near_duplicates = photos // 15 if near_duplicates is None else near_duplicates
    key = f"{name}-v{VERSION}-{seed}-{photos}-{near_duplicates}"
    fill = partial(_write_sample, card, seed, photos, near_duplicates)
    return fill_once(cache_folder("datasets") / key, fill)


def _write_sample(card: Card, seed: int, photos: int, near: int, folder: Path) -> None:
    """The photos, their boxes, and a split of their names."""
    plan, boxes = _plan(card, np.random.default_rng(seed), photos, near), []
    with ThreadPoolExecutor(joblib.cpu_count()) as pool:
        place = FLOOR if card["name"] == "sample-elsewhere" else STUDIO
        drawn = pool.map(lambda shot: _photograph(shot, seed, place), plan.values())
        progress = tqdm(drawn, desc="Drawing the sample", total=len(plan), disable=None)
        for path, (content, box) in zip(plan, progress, strict=True):
            (folder / path).parent.mkdir(exist_ok=True)
            (folder / path).write_bytes(content)
            boxes.append((path, *box, plan[path].thing))
    columns = ["path", "x", "y", "width", "height", "thing"]
    pd.DataFrame(boxes, columns=columns).to_parquet(folder / "boxes.parquet")
    files = pd.DataFrame({"path": list(plan), "label": [path.split("/")[0] for path in plan]})
    split = split_photos(files, "random", seed)
    split["file"] = split["path"].str.split("/").str[1]
    split[["file", "split"]].to_csv(folder / "splits.csv", index=False)


def true_boxes(root: Path) -> pd.DataFrame | None:
    """The true box of each thing of a drawn set: `path`, `x`, `y`, `width`, `height` (pixels) and the number
    of the `thing`, the same for photos of one; None for a set that was not drawn."""
    file = root / "boxes.parquet"
    return pd.read_parquet(file) if file.exists() else None


def _plan(card: Card, random: Random, photos: int, near: int) -> dict[str, Shot]:
    """Which shot becomes which file."""
    sizes = {label: max(round(n * photos / card["photos"]), 3) for label, n in card["per_class"].items()}
    labels = [label for label, size in sizes.items() for _ in range(size)]
    shots = [Shot(label, thing, 0, False) for thing, label in enumerate(labels)]
    order = random.permutation(len(shots)).tolist()
    firsts = {one: [at for at in order if labels[at] == one][: (n + 1) // 2] for one, n in sizes.items()}
    for number, place in enumerate([place for place in order if place not in firsts[labels[place]]][:near]):
        originals = firsts[labels[place]]
        original = shots[originals[random.integers(len(originals))]]
        shots[place] = original._replace(take=number + 1, same_view=number % 2 == 0)
    for source, copy in EXACT_PAIRS.get(card["name"], []):
        given, copied = firsts[source].pop(), firsts[copy].pop()
        shots[copied] = shots[given]
    numbers = {label: itertools.count(1) for label in sizes}
    return {f"{labels[at]}/{labels[at]}{next(numbers[labels[at]])}.jpg": shots[at] for at in order}
