"""Things that look like waste, drawn from random numbers, each on a canvas of its own, lit from one side."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import cv2
import numpy as np

UNIT = 170  # pixels of half a thing's length
V, U = np.mgrid[-136:136, -187:187] / UNIT  # the canvas: along the thing -1.1 to 1.1, across it -0.8 to 0.8
Random = np.random.Generator
Light = np.ndarray  # where it comes from: along, across, up
Field = np.ndarray  # a float64 number per pixel of the canvas
Colour = np.ndarray  # (3,) or (H, W, 3), 0 to 1


class Form(NamedTuple):
    """Where a thing is, and how its surface leans `along` and `across` (slopes of the normal, -1 to 1)."""

    cover: Field
    along: Field
    across: Field


class Surface(NamedTuple):
    """What is seen of a thing, and what share of the board's light comes `through` it in each channel."""

    cover: Field
    colour: Colour
    through: Colour


def _noise(random: Random, cells: int) -> Field:
    """A smooth random field, -1 to 1, with about `cells` bumps along the canvas."""
    grid = random.uniform(-1, 1, (cells * V.shape[0] // V.shape[1] + 2, cells + 2))
    return cv2.resize(grid, V.shape[::-1], interpolation=cv2.INTER_CUBIC)


def _edge(inside: Field) -> Field:
    """Cover of each pixel, from how far inside an outline it lies (in units)."""
    return np.clip(inside * UNIT + 0.5, 0, 1)


def _crumpled(form: Form, random: Random, depth: float, count: int = 45) -> Form:
    """The form with its surface crumpled into flat facets: `count` large ones, five times as many small."""
    (height, width), slopes = (V.shape[0] // 2, V.shape[1] // 2), np.zeros((*V.shape, 2))
    for number, deep in ((count, depth), (5 * count, depth / 2)):
        seeds = np.full((height, width), 255, np.uint8)
        seeds[random.integers(0, height, number), random.integers(0, width, number)] = 0
        _, cells = cv2.distanceTransformWithLabels(seeds, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
        facets = cv2.GaussianBlur(random.uniform(-deep, deep, (number + 1, 2))[cells], (0, 0), 1.2)
        slopes += cv2.resize(facets, V.shape[::-1], interpolation=cv2.INTER_LINEAR)
    return Form(form.cover, form.along + slopes[..., 0], form.across + slopes[..., 1])


def _turned(profile: Sequence[tuple[float, float]]) -> Form:
    """A form turned on its axis: `profile` has places along it and the radius there."""
    places, radii = zip(*profile, strict=True)
    at = np.linspace(-1.1, 1.1, 441)
    radius = np.convolve(np.pad(np.interp(at, places, radii), 6, "edge"), np.full(13, 1 / 13), "valid")
    wide = np.interp(U[0], at, radius) * (U[0] > places[0]) * (U[0] < places[-1])
    lean = np.interp(U[0], at, np.clip(-0.5 * np.gradient(radius, at), -0.7, 0.7))
    across = (V / np.maximum(wide, 0.01)).clip(-1, 1)
    return Form(_edge(wide - np.abs(V)) * (wide > 0), lean + 0 * V, across)


def _lump(random: Random, rough: float, flat: float, depth: float, count: int = 45) -> Form:
    """A rounded lump with a `rough` outline; `flat` below 1 presses it down, `depth` crumples it."""
    aspect, size = random.uniform(0.75, 1.0), random.uniform(0.55, 0.7)
    x, y = U / size, V / (size * aspect)
    waves, turns = np.arange(2, 14), np.linspace(-np.pi, np.pi, 200)[:, None]
    amounts, shifts = rough * random.uniform(-1, 1, 12) / waves, random.uniform(0, 2 * np.pi, 12)
    bumps = (np.cos(turns * waves + shifts) * amounts).sum(axis=1)
    outwards = np.sqrt(x * x + y * y) * (1 + np.interp(np.arctan2(V, U), turns[:, 0], bumps))
    rounded = flat * np.clip(outwards, 0, 1) ** 2 / np.maximum(outwards, 0.05)
    form = Form(_edge((1 - outwards) * size * aspect), x * rounded, y * rounded)
    return _crumpled(form, random, depth, count) if depth else form


def _sheet(random: Random, wide: float, depth: float) -> Form:
    """A flat thing, 2 * `wide` across, its edges torn, folded once and flattened again, crumpled."""
    wide, warp = wide * random.uniform(0.7, 1.15), 0.04 * _noise(random, 3)
    inside = np.minimum(1 - np.abs(U + warp), wide - np.abs(V + warp))
    inside += random.uniform(0, 0.03) * (_noise(random, 24) + 0.6 * _noise(random, 80) - 0.8)
    turn, place = random.integers(2) * np.pi / 2 + random.uniform(-0.2, 0.2), random.uniform(-0.4, 0.4)
    fold = np.clip(30 * (U * np.cos(turn) + V * np.sin(turn) + place), -1, 1) * random.uniform(-0.3, 0.3)
    form = Form(_edge(inside), 0.1 * _noise(random, 3) + fold * np.cos(turn), fold * np.sin(turn))
    return _crumpled(form, random, depth)


BROWNS = ((0.68, 0.52, 0.36), (0.62, 0.46, 0.31), (0.74, 0.6, 0.44))
WHITES = ((0.92, 0.92, 0.9), (0.84, 0.82, 0.77), (0.9, 0.86, 0.76))
GLASS = ((0.82, 0.9, 0.87), (0.78, 0.86, 0.84), (0.45, 0.22, 0.06), (0.2, 0.42, 0.14))
PLASTIC = ((0.85, 0.92, 0.95), (0.86, 0.9, 0.88), (0.6, 0.78, 0.85), (0.5, 0.75, 0.5))
FRUIT = ((0.7, 0.1, 0.08), (0.5, 0.6, 0.15), (0.85, 0.7, 0.2))
LEAVES = ((0.3, 0.45, 0.12), (0.5, 0.55, 0.15), (0.55, 0.36, 0.14))
ROT = ((0.25, 0.16, 0.08), (0.45, 0.28, 0.12))


def _tone(random: Random, tones: tuple) -> Colour:
    """One of the colours, a little lighter or darker and a little off in each channel."""
    colour = np.array(tones[int(random.integers(len(tones)))])
    return np.clip(colour * random.uniform(0.85, 1.12) + random.uniform(-0.03, 0.03, 3), 0.02, 0.97)


def _ink(random: Random) -> Colour:
    """A printer's colour: one channel high, one low, one anywhere; often pale or dull."""
    pure = random.permutation(random.uniform((0.55, 0.05, 0.05), (0.9, 0.35, 0.85)))
    return pure + random.uniform(0, 0.6) * (random.uniform(0.1, 0.9) - pure)


def _mix(first: Colour, second: Colour, share: Field) -> Colour:
    """Two colours mixed by a field of shares of the second."""
    return first + share[..., None] * (second - first)


def _lit(form: Form, colour: Colour, light: Light, gloss: float = 0.0) -> Surface:
    """The form in a colour under the light: ambient, diffuse, and a shine of strength `gloss`."""
    steep = np.maximum(1, np.sqrt(form.along * form.along + form.across * form.across) / 0.97)
    along, across = form.along / steep, form.across / steep
    up = np.sqrt(1 - along * along - across * across)
    half = (light + np.array((0, 0, 1))) / np.sqrt(2 + 2 * light[2])
    shade, shine = (np.clip(along * x + across * y + up * z, 0, 1) for x, y, z in (light, half))
    for _ in range(4):  # to the power of 16, the same on every processor
        shine *= shine
    lit = colour * (0.42 + 0.72 * shade)[..., None] + (gloss * shine)[..., None]
    return Surface(form.cover, lit, np.zeros_like(lit))


def _grainy(random: Random, tones: tuple, spots: tuple) -> Colour:
    """One of the colours, grainy, with spots of another."""
    share = np.clip(1.6 * _noise(random, 6) + 0.4 * _noise(random, 30) - random.uniform(0, 0.8), 0, 0.8)
    colour = _mix(_tone(random, tones), _tone(random, spots), share)
    return colour * (1 + 0.06 * (_noise(random, 70) + _noise(random, 25)))[..., None]


def _metal(form: Form, random: Random, light: Light) -> Surface:
    """Metal: a room of bright windows and dark corners, mirrored by the way the surface leans."""
    room = random.uniform(0.1, 0.75, 13)
    room[random.integers(2, 11, 3)] = random.uniform(0.85, 1.15, 3)
    leaning = 0.8 * form.across + 0.9 * form.along + 0.15 * (light[0] + light[1]) + 0.05 * _noise(random, 5)
    seen = np.interp(leaning, np.linspace(-1.2, 1.2, 13), room)[..., None]
    plain = _lit(form, np.full(3, random.uniform(0.7, 0.85)), light, 0.6)
    return plain._replace(colour=0.55 * seen + 0.3 * plain.colour)


def _clear(form: Form, random: Random, light: Light, tones: tuple, haze: float) -> Surface:
    """Clear stuff: the board through a wall that thickens to the edge, and windows mirrored in it."""
    tint, thick = _tone(random, tones), max(0.3, 1 - 4 * haze) * random.uniform(0.7, 1.3)
    path = thick * np.interp(np.abs(form.across), [0, 0.55, 0.8, 0.92, 1], [0.5, 0.55, 0.9, 1.8, 1.3])
    path = path * (1 + 0.25 * _noise(random, 5)) + 0.5 * thick * np.abs(form.along)
    surface = _lit(form, (0.06 + haze) * tint, light, haze)
    for _ in range(3):
        place, wide = random.uniform(-0.8, 0.8) + 0.2 * light[1], random.uniform(0.03, 0.12)
        streak = np.clip(1.5 - np.abs(form.across - place - 0.5 * form.along) / wide, 0, 1)
        streak *= np.clip(random.uniform(0.1, 0.4) + 0.3 * _noise(random, 6), 0, 1)
        surface = surface._replace(colour=surface.colour + streak[..., None])
    return surface._replace(through=(0.93 - haze) * np.exp(np.log(tint) * path[..., None]))


def _print(random: Random, paper: Colour, inks: int, words: int) -> np.ndarray:
    """A printed page, (256, 256, 3) uint8, with a stretch and a face of its own: not to look like another."""
    page = np.full((256, int(random.integers(150, 400)), 3), np.rint(0.95 * paper * 255), np.uint8)
    for _ in range(inks):
        ink, turn = [int(255 * value) for value in _ink(random)], int(random.integers(180))
        x, y, wide, high = random.integers((-40, -40, 20, 16), (220, 220, 200, 90)).tolist()
        cv2.ellipse(page, (x + 40, y + 40), (wide // 2, high // 2), turn, 0, 360, ink, -1, cv2.LINE_AA)
    face = int(random.choice([0, 2, 3, 4])) | cv2.FONT_ITALIC * int(random.integers(2))
    for _ in range(words):
        ink = [20, 20, 25] if random.random() < 0.5 else [240, 240, 235]
        x, y, heavy, length = random.integers((0, 30, 1, 3), (120, 250, 6, 7)).tolist()
        word = "".join(random.choice(list("ABCDEFGHIKLMNOPRSTUVXZ"), length))
        cv2.putText(page, word, (x, y), face, random.uniform(0.7, 2.2), ink, heavy, cv2.LINE_AA)
    return cv2.resize(page, (256, 256), interpolation=cv2.INTER_LINEAR)


def _text(random: Random) -> np.ndarray:
    """A page of small print, (256, 256, 3) uint8, in columns, each with a picture."""
    page = np.full((256, 256, 3), np.rint(_tone(random, WHITES) * 255), np.uint8)
    wide, ink = 236 // int(random.integers(1, 4)), [int(random.integers(30, 110))] * 3
    for left in range(10, 247 - wide, wide):
        for y in range(14, 246, 8):
            words = "".join(random.choice(list("aeilmnorst  "), wide // 6))
            cv2.putText(page, words, (left, y), cv2.FONT_HERSHEY_PLAIN, 0.6, ink, 1, cv2.LINE_AA)
        y, high, *shade = random.integers((10, 10, 60, 60, 60), (200, 45, 200, 200, 200)).tolist()
        cv2.rectangle(page, (left, y), (left + wide - 8, y + high), shade, -1)
    return page


def _laid(page: np.ndarray, x: Field = U / 2 + 0.5, y: Field = V / 1.6 + 0.5) -> Colour:
    """A page laid over a surface at the places `x` and `y` of the page, 0 to 1."""
    across, down = (np.clip(field * 255, 0, 255).astype(np.float32) for field in (x, y))
    return cv2.remap(page, across, down, cv2.INTER_LINEAR) / 255.0


def _labelled(surface: Surface, form: Form, random: Random, light: Light, high: float = 0.1) -> Surface:
    """A printed label round a turned form, up to about place `high` along it."""
    low, high = random.uniform(-0.75, -0.55), high + random.uniform(-0.2, 0.1)
    paper = np.ones(3) if random.random() < 0.4 else _ink(random)
    page = np.rot90(_print(random, paper, 3, 3), int(random.integers(4))).copy()
    around = np.arcsin(form.across.clip(-1, 1)) / np.pi + 0.5
    printed = _lit(form, _laid(page, (U - low) / (high - low), around), light, 0.12)
    where = _edge(np.minimum(U - low, high - U))
    through = surface.through * (1 - where[..., None])
    return Surface(surface.cover, _mix(surface.colour, printed.colour, where), through)


def _board(random: Random, light: Light) -> Surface:
    """A piece of corrugated board with words on it."""
    form, waves = _sheet(random, 0.65, 0.05), random.uniform((0.02, 90), (0.12, 130))
    form = form._replace(across=form.across + waves[0] * np.sin(waves[1] * V))
    printed = _laid(_print(random, np.ones(3), 0, int(random.integers(4))))
    return _lit(form, _grainy(random, BROWNS, BROWNS) * printed, light)


def _carton(random: Random, light: Light) -> Surface:
    """A box opened flat: a middle and four flaps, each leaning its own way."""
    half, wide, deep = random.uniform((0.45, 0.32, 0.18), (0.6, 0.45, 0.35))
    x, y, leans = np.abs(U), np.abs(V), random.uniform(-0.55, 0.55, 4)
    inside = np.maximum(np.minimum(half + deep - x, wide - y), np.minimum(wide + deep - y, half - x))
    off = np.minimum(np.abs(x - half) + (y > wide), np.abs(y - wide) + (x > half))
    crease = 0.9 * np.clip(1 - off / 0.012, 0, 1)
    along = np.where(x > half, np.where(U > 0, leans[0], leans[1]), 0) - crease
    across = np.where(y > wide, np.where(V > 0, leans[2], leans[3]), 0) - crease
    printed = _laid(_print(random, np.ones(3), 0, int(random.integers(4))))
    return _lit(Form(_edge(inside), along, across), _grainy(random, BROWNS, BROWNS) * printed, light)


def _bottle(random: Random, light: Light, tones: tuple, haze: float) -> Surface:
    """A bottle or a jar, of glass or of hazy plastic."""
    body, neck = ((0.26, 0.4), (0.5, 0.85))[random.integers(2)] * random.uniform(0.85, 1.15, 2)
    shoulder, neck = random.uniform(0.1, 0.4), min(0.95, neck) * body
    profile = [(-1, 0.85 * body), (-0.95, body), (shoulder, body), (shoulder + 0.32, neck), (1, neck)]
    form = _crumpled(_turned(profile), random, 2 * haze, 25)
    return _labelled(_clear(form, random, light, tones, haze), form, random, light)


def _can(random: Random, light: Light) -> Surface:
    """A can, perhaps crushed, its end turned a little towards the camera."""
    wide, deep = random.uniform(0.32, 0.5), random.uniform(0.06, 0.2)
    profile = [(-0.8, 0.94 * wide), (-0.7, wide), (0.74, wide), (0.76, wide)]
    form = _crumpled(_turned(profile), random, random.choice([0.05, 0.4]), 12)
    surface = _labelled(_metal(form, random, light), form, random, light, 0.65)
    outwards = np.sqrt(((U - 0.76) / deep) ** 2 + (V / wide) ** 2)
    end, rings = _edge((1 - outwards) * deep), (0.6 + 0.2 * np.sin(20 * outwards))[..., None]
    cover = np.maximum(surface.cover * _edge(0.76 - U), end)
    return Surface(cover, _mix(surface.colour, random.uniform(0.7, 0.85) * rings, end), surface.through)


def _paper(random: Random, light: Light) -> Surface:
    """A sheet of printed paper, flat or crumpled to a ball."""
    form = _sheet(random, 0.6, 0.2) if random.random() < 0.5 else _lump(random, 0.25, 0.65, 0.42)
    x, y = U / 2 + 0.5 + 0.04 * form.along, V / 1.5 + 0.5 + 0.04 * form.across
    return _lit(form, _laid(_text(random), x, y), light)


def _wrapper(random: Random, light: Light) -> Surface:
    """A printed wrapper with metal shining in it and pressed ends."""
    form = _sheet(random, 0.5, 0.3)
    printed = _laid(_print(random, _ink(random), 4, int(random.integers(1, 6))))
    pressed = (1 + 0.3 * np.sin(110 * U) * (np.abs(U) > 0.86))[..., None]
    surface, shine = _lit(form, printed, light, 0.3), 0.3 * printed * _metal(form, random, light).colour
    return surface._replace(colour=(0.85 * surface.colour + shine) * pressed)


def _apple(random: Random, light: Light) -> Surface:
    """An apple, its stalk in a dip."""
    stalk = _edge(np.minimum(0.02 - np.abs(V - 0.1 * (U - 0.25)), 0.14 - np.abs(U - 0.36)))
    colour = _mix(_grainy(random, FRUIT, FRUIT), np.array((0.2, 0.13, 0.07)), stalk)
    colour = colour * (1 - 0.6 * np.clip(1 - np.sqrt((U - 0.25) ** 2 + V * V) / 0.22, 0, 1))[..., None]
    return _lit(_lump(random, 0.06, 1.0, 0), colour, light, 0.45)


def _leaf(random: Random, light: Light) -> Surface:
    side = V + 0.12 * U * U
    outline = random.uniform(0.3, 0.6) * np.sqrt(np.clip(1 - U * U, 0, 1)) * (1.1 - 0.5 * U)
    ribs = np.clip(1 - np.abs(np.sin(random.uniform(12, 18) * (U - 0.9 * np.abs(side)))) / 0.15, 0, 1)
    ribs = np.maximum(0.5 * ribs, np.clip(1 - np.abs(side) / 0.018, 0, 1))
    form = Form(_edge(outline - np.abs(side)), 0.3 * _noise(random, 4), 0.35 * np.sign(side))
    return _lit(form, _grainy(random, LEAVES, ROT) * (1 + 0.5 * ribs)[..., None], light, 0.1)


MATERIALS: dict[str, list[Callable[[Random, Light], Surface]]] = {
    "cardboard": [_board, _carton],
    "glass": [lambda random, light: _bottle(random, light, GLASS, 0)],
    "metal": [_can, lambda random, light: _metal(_lump(random, 0.25, 0.7, 0.45, 120), random, light)],
    "paper": [_paper],
    "plastic": [
        lambda random, light: _bottle(random, light, PLASTIC, 0.15),
        lambda random, light: _clear(_lump(random, 0.3, 0.3, 0.45), random, light, PLASTIC, 0.5),
    ],
}
THINGS = MATERIALS | {
    "trash": [
        _wrapper,
        lambda random, light: _lit(_lump(random, 0.4, 0.4, 0.25), _grainy(random, WHITES, ROT), light),
    ],
    "organic": [_apple, _leaf],
    "recyclable": [draw for kinds in MATERIALS.values() for draw in kinds],
}
