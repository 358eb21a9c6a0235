"""Things that look a little like waste, drawn from random numbers, each on a canvas of its own, lit from one
side."""

from functools import partial
from typing import NamedTuple

import cv2
import numpy as np

UNIT = 170  # pixels of half a thing's length
V, U = np.mgrid[-136:136, -187:187] / UNIT  # the canvas: along the thing -1.1 to 1.1, across it -0.8 to 0.8
Random = np.random.Generator
Light = np.ndarray  # where it comes from: along, across, up
Field = np.ndarray  # a float64 number per pixel of the canvas


class Stuff(NamedTuple):
    """What a thing is made of: its colours, and each 0 to 1 how crumpled it is, how it shines, how
    clear it is, how much of it is printed on."""

    tones: tuple[tuple[float, float, float], ...]
    crumpled: float
    gloss: float = 0.1
    clear: float = 0.0
    printed: float = 0.0


BROWN = ((0.68, 0.52, 0.36), (0.62, 0.46, 0.31), (0.74, 0.6, 0.44))
WHITE = ((0.92, 0.92, 0.9), (0.84, 0.82, 0.77), (0.9, 0.86, 0.76))
GREEN = ((0.82, 0.9, 0.87), (0.78, 0.86, 0.84), (0.45, 0.22, 0.06), (0.2, 0.42, 0.14))
BLUE = ((0.85, 0.92, 0.95), (0.86, 0.9, 0.88), (0.6, 0.78, 0.85), (0.5, 0.75, 0.5))
GREY = ((0.7, 0.7, 0.72), (0.8, 0.79, 0.77))
FRUIT = ((0.7, 0.1, 0.08), (0.5, 0.6, 0.15), (0.85, 0.7, 0.2), (0.45, 0.28, 0.12))


def make_noise(random: Random, cells: int) -> Field:
    """A smooth random field, -1 to 1, with about `cells` bumps along the canvas."""
    grid = random.uniform(-1, 1, (cells * V.shape[0] // V.shape[1] + 2, cells + 2))
    return cv2.resize(grid, V.shape[::-1], interpolation=cv2.INTER_CUBIC)


def _facets(random: Random, depth: float, count: int = 60) -> Field:
    """The slopes, (H, W, 2), of a surface crumpled into flat facets."""
    seeds = np.full((V.shape[0] // 2, V.shape[1] // 2), 255, np.uint8)
    seeds[random.integers(0, seeds.shape[0], count), random.integers(0, seeds.shape[1], count)] = 0
    _, cells = cv2.distanceTransformWithLabels(seeds, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    slopes = cv2.GaussianBlur(random.uniform(-depth, depth, (count + 1, 2))[cells], (0, 0), 1.2)
    return cv2.resize(slopes, V.shape[::-1], interpolation=cv2.INTER_LINEAR)


def _form(random: Random, round_: float, edges: float, necked: bool) -> tuple[Field, Field, Field]:
    """How far inside a thing each pixel lies, and how it leans along and across: a `round_` lump or a flat
    sheet, its edges torn, perhaps with a neck at one end."""
    body, neck, shoulder = random.uniform((0.42, 0.35, 0.1), (0.72, 0.6, 0.5))
    places, along = (-1.1, shoulder, shoulder + 0.3, 1.1), U * random.uniform(1.0, 1.5 if round_ else 1.1)
    wide = np.interp(U[0], places, body * np.array((1, 1, neck, neck) if necked else (1, 1, 1, 1)))
    x, y = along * along, (V / wide) ** 2
    for _ in range(0 if round_ > 0.5 and not necked else 2):  # to the eighth power: corners
        x, y = x * x, y * y
    outwards = np.sqrt(x + y) + edges * make_noise(random, 6) + edges / 6 * make_noise(random, 24)
    leaning = round_ * np.clip(outwards, 0, 1)
    return (1 - outwards) * wide, leaning * U * (not necked), leaning * np.clip(V / wide, -1, 1)


def _print(random: Random) -> np.ndarray:
    """A printed page over the canvas, (H, W, 3), its stretch and face its own: not to look like another."""
    page = np.full((256, int(random.integers(150, 400)), 3), random.integers(120, 250, 3), np.uint8)
    for _ in range(3):
        x, y, wide, high, turn, *ink = random.integers(8, (256, 256, 100, 45, 180, 256, 256, 256)).tolist()
        cv2.ellipse(page, (x, y), (wide, high), turn, 0, 360, ink, -1, cv2.LINE_AA)
    face = int(random.choice([0, 2, 3, 4])) | cv2.FONT_ITALIC * int(random.integers(2))
    for _ in range(4):
        x, y, heavy, length, ink = random.integers((0, 30, 1, 3, 0), (120, 250, 6, 7, 256)).tolist()
        word = "".join(random.choice(list("ABCDEFGHIKLMNOPRSTUVXZ"), length))
        cv2.putText(page, word, (x, y), face, random.uniform(0.7, 2.2), [ink] * 3, heavy, cv2.LINE_AA)
    return cv2.resize(page, V.shape[::-1], interpolation=cv2.INTER_LINEAR) / 255.0


def _draw(form: tuple[float, float, bool], stuff: Stuff, random: Random, light: Light) -> list[Field]:
    """A thing of a form and a stuff under the light: ambient, diffuse and a shine. Gives where it is, then in
    red, green and blue its colour, then what share of the board's light comes through it."""
    inside, along, across = _form(random, *form)
    slopes = _facets(random, stuff.crumpled)
    along, across = along + slopes[..., 0], across + slopes[..., 1]
    steep = np.maximum(1, np.sqrt(along * along + across * across) / 0.97)
    along, across = along / steep, across / steep
    up, half = np.sqrt(1 - along * along - across * across), light + np.array((0, 0, 1))
    half = half / np.sqrt(2 + 2 * light[2])
    shade, shine = (np.clip(along * x + across * y + up * z, 0, 1) for x, y, z in (light, half))
    for _ in range(4):  # to the power of 16, the same on every processor
        shine *= shine
    tones = np.array(stuff.tones[int(random.integers(len(stuff.tones)))])
    tones = np.clip(tones * random.uniform(0.85, 1.12) + random.uniform(-0.03, 0.03, 3), 0.02, 0.97)
    mottled = 1 + 0.07 * (make_noise(random, 70) + 2 * make_noise(random, 12))
    place = random.uniform(-0.7, -0.3)
    label = stuff.printed * ((place < U) & (place + random.uniform(0.5, 1.2) > U))
    clear, thick, lit = stuff.clear * (1 - label), 0.5 + np.abs(across), 0.42 + 0.72 * shade
    colour = []
    for tone, printed in zip(tones, cv2.split(_print(random)), strict=True):
        own = tone * mottled
        own = own + label * (printed - own)
        colour.append((1 - clear) * own * lit + stuff.gloss * shine)
    through = [clear * np.exp(np.log(tone) * thick) for tone in tones]
    return [np.clip(inside * UNIT + 0.5, 0, 1), *colour, *through]


SHEET, LUMP, BOTTLE = (0.1, 0.12, False), (0.8, 0.2, False), (0.9, 0.0, True)
MATERIALS = {
    "cardboard": [partial(_draw, SHEET, Stuff(BROWN, 0.08, printed=0.3))],
    "glass": [partial(_draw, BOTTLE, Stuff(GREEN, 0.03, gloss=0.7, clear=0.8, printed=0.9))],
    "metal": [partial(_draw, LUMP, Stuff(GREY, 0.45, gloss=0.5, printed=0.3))],
    "paper": [partial(_draw, form, Stuff(WHITE, 0.3, printed=0.8)) for form in (SHEET, LUMP)],
    "plastic": [partial(_draw, f, Stuff(BLUE, 0.3, 0.5, clear=0.6, printed=0.8)) for f in (BOTTLE, LUMP)],
}
THINGS = MATERIALS | {
    "trash": [partial(_draw, SHEET, Stuff(WHITE + BROWN + BLUE, 0.4, gloss=0.3, printed=0.9))],
    "organic": [partial(_draw, LUMP, Stuff(FRUIT, 0.15, gloss=0.4))],
    "recyclable": [draw for kinds in MATERIALS.values() for draw in kinds],
}
