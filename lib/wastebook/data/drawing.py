"""Things that look like waste in a photo, drawn from random numbers: what the sample is made of.

A thing has a form (turned on an axis, a sheet, a lump) and a look (a material), lit from one side. It is
drawn lying along a canvas of its own; the camera (see `sample`) puts it on a board, turned and sized.
"""

import itertools
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import cv2
import numpy as np

UNIT = 170  # pixels of half a thing's length, on the canvas where it is drawn before it is put into a picture
V, U = (
    np.mgrid[-136:136, -187:187] / UNIT
)  # the canvas: along the thing (-1.1 to 1.1), across it (-0.8 to 0.8)
TURN = np.arctan2(V, U)  # the direction from its middle

Random = np.random.Generator
Light = np.ndarray  # where it comes from: along, across, up
Field = np.ndarray  # a float64 number a pixel of the canvas
Colour = np.ndarray  # (3,) or (H, W, 3), 0 to 1
Tones = tuple[tuple[float, float, float], ...]
Profile = Sequence[tuple[float, float]]  # places along a thing, and its radius there


class Form(NamedTuple):
    """Where a thing is, and how its surface leans `along` and `across` (slopes of the normal, -1 to 1)."""

    cover: Field
    along: Field
    across: Field


class Surface(NamedTuple):
    """What is seen of a thing: its `cover` of each pixel, its `colour`, and, where it is clear, what share of
    the board's light comes `through` it in each channel."""

    cover: Field
    colour: Colour
    through: Colour | None = None


# Fields


def _noise(random: Random, cells: int) -> Field:
    """A smooth random field, -1 to 1, with about `cells` bumps along the canvas."""
    grid = random.uniform(-1, 1, (cells * V.shape[0] // V.shape[1] + 2, cells + 2))
    return cv2.resize(grid, V.shape[::-1], interpolation=cv2.INTER_CUBIC)


def _edge(inside: Field) -> Field:
    """Cover of each pixel, from how far inside an outline it lies (in units)."""
    return np.clip(inside * UNIT + 0.5, 0, 1)


def _band(field: Field, low: float, high: float) -> Field:
    """Cover of the pixels where a field of places lies between two."""
    return _edge(np.minimum(field - low, high - field))


def _facets(random: Random, count: int, soft: float) -> np.ndarray:
    """The slopes (H, W, 2), along and across, of a surface crumpled into about `count` flat facets."""
    height, width = V.shape[0] // 2, V.shape[1] // 2
    seeds = np.full((height, width), 255, np.uint8)
    seeds[random.integers(0, height, count), random.integers(0, width, count)] = 0
    _, cells = cv2.distanceTransformWithLabels(seeds, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    slopes = cv2.GaussianBlur(random.uniform(-1, 1, (count + 1, 2))[cells], (0, 0), soft)
    return cv2.resize(slopes, V.shape[::-1], interpolation=cv2.INTER_LINEAR)


def _crumpled(form: Form, random: Random, depth: float, count: int = 40, soft: float = 1.2) -> Form:
    """The form with its surface crumpled, in large facets and in small."""
    slopes = depth * (_facets(random, count, soft) + 0.5 * _facets(random, count * 5, soft * 0.7))
    return Form(form.cover, form.along + slopes[..., 0], form.across + slopes[..., 1])


# Forms


def _turned(profile: Profile, v: Field = V, soft: int = 7) -> Form:
    """A form turned on its axis to a `profile`, whose corners are rounded by `soft`."""
    at = np.linspace(-1.1, 1.1, 441)
    places, radii = zip(*profile, strict=True)
    radius = np.interp(at, places, radii)
    for _ in range(2):
        radius = np.convolve(np.pad(radius, soft // 2, "edge"), np.full(soft, 1 / soft), "valid")
    wide = np.interp(U[0], at, radius) * (U[0] > places[0]) * (U[0] < places[-1])
    lean = np.interp(U[0], at, np.clip(-0.5 * np.gradient(radius, at), -0.7, 0.7))
    cover = _edge(wide - np.abs(v)) * (wide > 0)
    return Form(cover, np.broadcast_to(lean, V.shape), np.clip(v / np.maximum(wide, 0.01), -1, 1))


def _bottle(random: Random, body: float, neck: float, dents: float = 0.0, ribs: float = 0.0) -> Form:
    """A bottle or a jar: half as wide as `body`, its neck a share of that."""
    body, shoulder = body * random.uniform(0.85, 1.15), random.uniform(0.1, 0.4)
    neck = neck * body * random.uniform(0.9, 1.1)
    top = [(0.84, neck), (0.86, 1.15 * neck), (1, 1.1 * neck)]
    waist = (-0.3, body * random.uniform(0.9, 1))
    form = _turned([(-1, 0.85 * body), (-0.95, body), waist, (shoulder, body), (shoulder + 0.32, neck), *top])
    ribbed = form.along + ribs * np.sin(random.uniform(25, 60) * U) * (_noise(random, 2) > 0)
    return _crumpled(form._replace(along=ribbed), random, dents * random.random(), 25)


def _cylinder(random: Random, taper: float, lip: float, dents: float, ribs: float = 0.0) -> Form:
    """A can, a cup, a tube: `taper` is its narrow end's share of the wide one."""
    wide, crushed = random.uniform(0.32, 0.55), dents * random.choice([0.1, 0.2, 1.0])
    profile = [(-0.8, taper * wide), (0.74, wide), (0.75, wide + lip), (0.8, wide + lip)]
    form = _turned(profile, V + 0.25 * crushed * _noise(random, 4))
    ribbed = form.along + ribs * np.sin(random.uniform(40, 80) * U) * _band(np.abs(U), -1, 0.6)
    return _crumpled(form._replace(along=ribbed), random, crushed, 12, 4.0)


def _lump(random: Random, rough: float = 0.1, flat: float = 1.0, depth: float = 0.0, count: int = 45) -> Form:
    """A rounded lump with a `rough` outline; `flat` below 1 presses it down, `depth` crumples it."""
    aspect, size = random.uniform(0.75, 1.0), random.uniform(0.55, 0.7)
    x, y = U / size, V / (size * aspect)
    waves, amounts = np.arange(2, 14), rough * random.uniform(-1, 1, (2, 12)) / np.arange(2, 14)
    turns = np.linspace(-np.pi, np.pi, 200)[:, None] * waves
    bumps = (amounts[0] * np.cos(turns) + amounts[1] * np.sin(turns)).sum(axis=1)
    outwards = np.sqrt(x * x + y * y) * (1 + np.interp(TURN, np.linspace(-np.pi, np.pi, 200), bumps))
    rounded = flat * np.clip(outwards, 0, 1) ** 2 / np.maximum(outwards, 0.05)
    form = Form(_edge((1 - outwards) * size * aspect), x * rounded, y * rounded)
    return _crumpled(form, random, depth, count) if depth else form


def _sheet(random: Random, wide: float, ragged: float = 0.0, depth: float = 0.1, flutes: float = 0.0) -> Form:
    """A flat thing, 2 * `wide` across, folded and flattened again, perhaps with `ragged` edges, crumpled to a
    `depth`, or with the `flutes` of corrugated board showing through."""
    wide, ragged = wide * random.uniform(0.7, 1.15), ragged * random.choice([0.0, 0.5, 1.0])
    warp = 0.04 * _noise(random, 3)
    inside = np.minimum(1 - np.abs(U + warp), wide - np.abs(V + warp))
    inside = inside + ragged * (_noise(random, 24) + 0.6 * _noise(random, 80) - 0.8)
    along = 0.1 * _noise(random, 3)
    across = 0.1 * _noise(random, 3) + flutes * random.random() * np.sin(random.uniform(90, 130) * V)
    for _ in range(random.integers(4)):
        turn, place = random.integers(2) * np.pi / 2 + random.uniform(-0.2, 0.2), random.uniform(-0.4, 0.4)
        side = np.clip(30 * (U * np.cos(turn) + V * np.sin(turn) - place + 0.2 * warp), -1, 1)
        side *= random.uniform(-0.3, 0.3)
        along, across = along + side * np.cos(turn), across + side * np.sin(turn)
    return _crumpled(Form(_edge(inside), along, across), random, depth * random.choice([0.1, 0.4, 1.0]))


def _disc(random: Random) -> Form:
    """A lid seen from above, rings pressed into it."""
    form = _lump(random, 0.0, 0.15)
    outwards = np.sqrt(form.along**2 + form.across**2) / 0.15
    rings = np.interp(outwards, np.linspace(0, 1, 24), random.uniform(-0.3, 0.3, 24)) * (outwards > 0.15)
    rings = (rings + 0.6 * _band(outwards, 0.93, 1)) / np.maximum(np.sqrt(U * U + V * V), 0.01)
    return form._replace(along=form.along + rings * U, across=form.across + rings * V)


def _shard(random: Random) -> Form:
    """A broken piece: five straight sides, thick at the rim."""
    inside = np.full_like(U, 1.0)
    for turn in np.linspace(0, 2 * np.pi, 6)[:-1] + random.uniform(-0.5, 0.5, 5):
        inside = np.minimum(inside, random.uniform(0.3, 0.65) - U * np.cos(turn) - V * np.sin(turn))
    rim = np.clip(1 - inside / 0.05, 0, 1)
    return _crumpled(Form(_edge(inside), 0.5 * U, 0.5 * V + 0.9 * rim), random, 0.2, 8)


def _carton(random: Random) -> Form:
    """A box opened flat: a middle and four flaps, each leaning its own way."""
    half, wide, deep, taper = random.uniform((0.45, 0.32, 0.18, 0), (0.6, 0.45, 0.35, 0.15))
    x, y = np.abs(U), np.abs(V)
    ends = np.minimum(half + deep - x, wide - y - taper * np.maximum(x - half, 0))
    sides = np.minimum(wide + deep - y, half - x - taper * np.maximum(y - wide, 0))
    leans = random.uniform(-0.55, 0.55, 4)
    along = np.where(x > half, np.where(U > 0, leans[0], leans[1]), 0.05 * _noise(random, 4))
    across = np.where(y > wide, np.where(V > 0, leans[2], leans[3]), 0.05 * _noise(random, 4))
    crease = np.clip(
        1 - np.minimum(np.abs(x - half) + (y > wide), np.abs(y - wide) + (x > half)) / 0.012, 0, 1
    )
    return Form(_edge(np.maximum(ends, sides)), along - 0.9 * crease, across - 0.9 * crease)


def _curved(profile: Profile, random: Random, bend: float) -> Form:
    """A long thing turned to `profile`, thicker or thinner, and bent."""
    v = V + bend * (random.uniform(0.6, 1.2) * (U * U - 0.45) + 0.1 * _noise(random, 6))
    return _turned(profile, v * random.uniform(0.8, 1.2), 21)


LEAF = V + 0.12 * U * U  # how far across a leaf, which curves a little
SLICE = np.sqrt(np.sqrt((U / 0.68) ** 4 + (V / 0.6) ** 4))  # how far out in a slice of bread, 1 at its rim


def _leaf(random: Random) -> Form:
    outline = random.uniform(0.3, 0.6) * np.sqrt(np.clip(1 - U * U, 0, 1)) * (1.1 - 0.5 * U)
    outline = np.minimum(outline * (1 + 0.06 * _noise(random, 30)), 20 * (0.95 - U))
    cover = np.maximum(_edge(outline - np.abs(LEAF)), _edge(0.016 - np.abs(LEAF)) * (np.abs(U) < 1.05))
    return Form(cover, 0.3 * _noise(random, 4), 0.35 * np.sign(LEAF))


def _slice(random: Random) -> Form:
    holes = np.clip(1.3 * _noise(random, 70) + _noise(random, 30) - 0.4, 0, 1)
    outwards = SLICE * (1 + 0.05 * _noise(random, 5))
    return Form(_edge((1 - outwards) * 0.6), 0.4 * holes + 0.1 * _noise(random, 4), 0.2 * _noise(random, 40))


# Looks

BROWNS: Tones = ((0.68, 0.52, 0.36), (0.62, 0.46, 0.31), (0.74, 0.6, 0.44))
WHITES: Tones = ((0.92, 0.92, 0.9), (0.86, 0.85, 0.82))
SILVER: Tones = ((0.8, 0.8, 0.8), (0.72, 0.72, 0.7))
GOLD: Tones = (*SILVER, (0.8, 0.68, 0.38))
GLASS: Tones = ((0.82, 0.9, 0.87), (0.78, 0.86, 0.84), (0.45, 0.22, 0.06), (0.2, 0.42, 0.14))
PLASTIC: Tones = ((0.85, 0.92, 0.95), (0.86, 0.9, 0.88), (0.6, 0.78, 0.85), (0.5, 0.75, 0.5))
FILM: Tones = ((0.9, 0.9, 0.92), (0.88, 0.88, 0.86), (0.45, 0.6, 0.8), (0.2, 0.2, 0.22))
APPLE: Tones = ((0.7, 0.1, 0.08), (0.5, 0.6, 0.15), (0.8, 0.65, 0.25))
YELLOWS: Tones = ((0.85, 0.7, 0.2), (0.65, 0.65, 0.2))
ROOT: Tones = ((0.85, 0.42, 0.1), (0.8, 0.74, 0.56))
LEAVES: Tones = ((0.3, 0.45, 0.12), (0.5, 0.55, 0.15), (0.55, 0.36, 0.14))
SHELL: Tones = ((0.85, 0.65, 0.48), (0.93, 0.9, 0.85))
FLESH: Tones = ((0.9, 0.55, 0.12), (0.88, 0.8, 0.3), (0.8, 0.3, 0.25))
CRUMB: Tones = ((0.88, 0.78, 0.58), (0.7, 0.52, 0.34))
IVORY: Tones = ((0.88, 0.82, 0.7), (0.8, 0.72, 0.58))
ROT: Tones = ((0.25, 0.16, 0.08), (0.45, 0.28, 0.12))
MOULD: Tones = ((0.4, 0.47, 0.36), (0.6, 0.62, 0.55))


def _tone(random: Random, tones: Tones) -> Colour:
    """One of the colours, a little lighter or darker and a little off in each channel."""
    colour = np.array(tones[random.integers(len(tones))])
    return np.clip(colour * random.uniform(0.85, 1.12) + random.uniform(-0.05, 0.05, 3), 0.02, 0.97)


def _ink(random: Random) -> Colour:
    """A printer's colour: one channel high, one low, one anywhere; often pale or dull."""
    pure = random.permutation(random.uniform((0.55, 0.05, 0.05), (0.9, 0.35, 0.85)))
    return pure + random.uniform(0, 0.6) * (random.uniform(0.1, 0.9) - pure)


def _mix(first: Colour, second: Colour, share: Field) -> Colour:
    """Two colours mixed by a field of shares of the second."""
    return first + share[..., None] * (second - first)


def _lit(form: Form, colour: Colour, light: Light, gloss: float = 0.0, sharp: int = 4) -> Colour:
    """A colour under the light: ambient, diffuse, and a shine whose exponent is two to the power `sharp`."""
    steep = np.sqrt(form.along * form.along + form.across * form.across)
    tamed = np.minimum(1, 0.97 / np.maximum(steep, 0.01))
    along, across = form.along * tamed, form.across * tamed
    up = np.sqrt(1 - along * along - across * across)
    shade = np.clip(along * light[0] + across * light[1] + up * light[2], 0, 1)
    lit = colour * (0.42 + 0.72 * shade)[..., None]
    if gloss:
        half = light + np.array((0, 0, 1))
        half = half / np.sqrt((half * half).sum())
        shine = np.clip(along * half[0] + across * half[1] + up * half[2], 0, 1)
        for _ in range(sharp):
            shine *= shine
        lit += (gloss * shine)[..., None]
    return lit


def _plain(
    form: Form,
    random: Random,
    light: Light,
    tones: Tones = (),
    spots: Tones = (),
    grain: float = 0.03,
    gloss: float = 0.1,
) -> Surface:
    """One colour (a printer's where none is given), grainy, with spots of others."""
    colour = _tone(random, tones) if tones else _ink(random)
    colour = colour * (1 + grain * (_noise(random, 70) + _noise(random, 25)))[..., None]
    if spots:
        share = (
            1.6 * _noise(random, int(random.integers(3, 9)))
            + 0.4 * _noise(random, 30)
            - random.uniform(0, 0.8)
        )
        colour = _mix(colour, _tone(random, spots), np.clip(share, 0, 0.8))
    return Surface(form.cover, _lit(form, colour, light, gloss))


def _metal(form: Form, random: Random, light: Light, tones: Tones = SILVER, mirror: float = 0.8) -> Surface:
    """Metal: a room of bright windows and dark corners, mirrored by the way the surface leans."""
    room = random.uniform(0.1, 0.75, 13)
    room[random.integers(2, 11, 3)] = random.uniform(0.85, 1.15, 3)
    leaning = form.across * 0.8 + form.along * 0.9 + 0.15 * (light[0] + light[1]) + 0.05 * _noise(random, 5)
    seen = np.interp(leaning, np.linspace(-1.2, 1.2, 13), room)[..., None]
    tint = _tone(random, tones)
    return Surface(form.cover, tint * mirror * seen + (1 - mirror) * _lit(form, tint, light, 0.6, 3))


def _clear(
    form: Form, random: Random, light: Light, tones: Tones, thick: float = 1.0, haze: float = 0.0
) -> Surface:
    """Clear stuff: the board through a wall that thickens to the edge, and windows mirrored in it."""
    tint, thick = _tone(random, tones), thick * random.uniform(0.7, 1.3)
    path = thick * np.interp(np.abs(form.across), [0, 0.55, 0.8, 0.92, 1], [0.5, 0.55, 0.9, 1.8, 1.3])
    path = path * (1 + 0.25 * _noise(random, 5)) + 0.5 * thick * np.abs(form.along)
    shine = np.zeros_like(U)
    for _ in range(3):
        place, wide = random.uniform(-0.8, 0.8) + 0.2 * light[1], random.uniform(0.03, 0.12)
        streak = np.clip(1.5 - np.abs(form.across - place - 0.5 * form.along) / wide, 0, 1)
        shine += streak * np.clip(random.uniform(0.1, 0.6) + 0.5 * _noise(random, 6), 0, 1)
    colour = _lit(form, (0.06 + haze) * tint, light, haze, 3) + (0.6 * shine)[..., None]
    return Surface(form.cover, colour, (0.93 - haze) * np.exp(np.log(tint) * path[..., None]))


CONSONANTS, VOWELS = "BCDFGKLMNPRSTVXZ", "AEIOU"
FACES = (
    cv2.FONT_HERSHEY_SIMPLEX,
    cv2.FONT_HERSHEY_DUPLEX,
    cv2.FONT_HERSHEY_COMPLEX,
    cv2.FONT_HERSHEY_TRIPLEX,
)


def _print(random: Random, paper: Colour, inks: int, words: int) -> np.ndarray:
    """A printed page, (256, 256, 3) uint8: blocks and blobs of ink, and words.

    In a face and a stretch of its own: two things whose words share letters must not look like one.
    """
    page = np.full((256, int(random.integers(150, 400)), 3), np.rint(paper * 255), np.uint8)
    for _ in range(inks):
        ink = [int(255 * value) for value in _ink(random)]
        x, y, width, height = (
            int(value) for value in random.integers((-40, -40, 20, 16), (220, 220, 200, 90))
        )
        if random.random() < 0.5:
            cv2.rectangle(page, (x, y), (x + width, y + height), ink, -1)
        else:
            turn = int(random.integers(180))
            cv2.ellipse(page, (x + 40, y + 40), (width // 2, height // 2), turn, 0, 360, ink, -1, cv2.LINE_AA)
    face = FACES[random.integers(len(FACES))] | cv2.FONT_ITALIC * int(random.integers(2))
    for _ in range(words):
        ink = [20, 20, 25] if random.random() < 0.5 else [240, 240, 235]
        at = (int(random.integers(0, 120)), int(random.integers(30, 250)))
        size, heavy = random.uniform(0.7, 2.2), int(random.integers(1, 6))
        sounds = random.choice(list(CONSONANTS), 3), random.choice(list(VOWELS), 3)
        word = "".join(itertools.chain(*zip(*sounds, strict=True)))[: random.integers(3, 7)]
        cv2.putText(page, word, at, face, size, ink, heavy, cv2.LINE_AA)
    return cv2.resize(page, (256, 256), interpolation=cv2.INTER_LINEAR)


def _text(random: Random, paper: Colour) -> np.ndarray:
    """A page of small print, (256, 256, 3) uint8, in columns, with a picture here and there."""
    page = np.full((256, 256, 3), np.rint(paper * 255), np.uint8)
    wide, heavy = 236 // int(random.integers(1, 4)), 1 + int(random.random() < 0.25)
    ink = [int(random.integers(30, 110))] * 3
    for left in range(10, 247 - wide, wide):
        right, y = left + wide - 8, 14
        while y < 246:
            if random.random() < 0.06:
                shade = [int(value) for value in random.integers(60, 200, 3)]
                cv2.rectangle(page, (left, y), (right, y + int(random.integers(10, 45))), shade, -1)
                y += 50
            x = left
            while x < right - 4 and random.random() < 0.97:
                word = int(random.integers(4, 16))
                cv2.line(page, (x, y), (min(x + word, right), y), ink, heavy)
                x += word + 4
            y += 6
    return page


def _laid(page: np.ndarray, x: Field, y: Field) -> Colour:
    """A page laid over a surface at the places `x` and `y` of the page, 0 to 1."""
    across, down = ((np.clip(field, 0, 1) * 255).astype(np.float32) for field in (x, y))
    return cv2.remap(page, across, down, cv2.INTER_LINEAR) / 255.0


def _paper(form: Form, random: Random, light: Light) -> Surface:
    """Paper: blank, a page of small print, or printed all over."""
    colour = _tone(random, ((0.93, 0.93, 0.91), (0.8, 0.79, 0.74), (0.9, 0.86, 0.76)))
    kind = random.integers(5)
    if kind:
        page = _text(random, colour) if kind < 4 else _print(random, _ink(random), 6, 5)
        colour = _laid(page, U / 2 + 0.5 + 0.04 * form.along, V / 1.5 + 0.5 + 0.04 * form.across)
    return Surface(form.cover, _lit(form, colour, light, 0.04, 2))


def _printed(
    form: Form, random: Random, light: Light, paper: Tones = (), inks: int = 4, shine: float = 0.0
) -> Surface:
    """Something printed all over: cartons and, with metal shining in them, wrappers."""
    page = _print(random, _tone(random, paper) if paper else _ink(random), inks, int(random.integers(1, 6)))
    printed = _laid(page, U / 2 + 0.5, V / 1.6 + 0.5) * (1 + 0.04 * _noise(random, 60))[..., None]
    colour = _lit(form, printed, light, 0.05 + shine)
    if shine:
        colour = 0.85 * colour + shine * printed * _metal(form, random, light).colour
    return Surface(form.cover, colour)


# Finishes, put on a surface


def _overlaid(surface: Surface, colour: Colour, where: Field) -> Surface:
    """The surface with something opaque on it."""
    through = None if surface.through is None else surface.through * (1 - where[..., None])
    return Surface(surface.cover, _mix(surface.colour, colour, where), through)


def _label(surface: Surface, form: Form, random: Random, light: Light, low: float, high: float) -> Surface:
    """A printed label round most turned forms, about from place `low` to `high` along them."""
    if random.random() < 0.3:
        return surface
    low, high = low + random.uniform(-0.1, 0.1), high + random.uniform(-0.2, 0.1)
    paper = np.full(3, random.uniform(0.75, 0.95)) if random.random() < 0.4 else _ink(random)
    page = np.ascontiguousarray(np.rot90(_print(random, paper, 3, 3), int(random.integers(4))))
    printed = _laid(page, (U - low) / (high - low), np.arcsin(np.clip(form.across, -1, 1)) / np.pi + 0.5)
    return _overlaid(surface, _lit(form, printed, light, 0.12), _band(U, low, high))


def _cap(
    surface: Surface, form: Form, random: Random, light: Light, start: float = 0.86, tones: Tones = ()
) -> Surface:
    """A ribbed cap on most, from `start` on."""
    if random.random() < 0.3:
        return surface
    ribbed = form._replace(across=form.across + 0.15 * np.sin(60 * form.across))
    colour = _tone(random, tones) if tones else _ink(random)
    return _overlaid(surface, _lit(ribbed, colour, light, 0.25), _band(U, start, 1.1))


def _end(surface: Surface, form: Form, random: Random, light: Light, dark: float) -> Surface:
    """The end turned a little towards the camera: an oval, `dark` inside or with a can's rings."""
    wide = np.abs(V[form.cover[:, 315] > 0.5, 0]).max(initial=0.1)
    deep = wide * random.uniform(0.15, 0.45)
    outwards = np.sqrt(((U - 0.76) / deep) ** 2 + (V / wide) ** 2)
    oval = _edge((1 - outwards) * deep)
    surface = surface._replace(cover=np.maximum(surface.cover * _edge(0.76 - U), oval))
    surface = _overlaid(surface, 0.7 * surface.colour + 0.25, oval)
    inside = surface.colour * (dark + 0.15 * dark * np.sin(20 * outwards))[..., None]
    return _overlaid(surface, inside, _edge((0.9 - outwards) * deep))


def _crimped(surface: Surface, form: Form, random: Random, light: Light) -> Surface:
    """The pressed ends of a wrapper."""
    return surface._replace(
        colour=surface.colour * (1 + 0.3 * np.sin(110 * U) * (np.abs(U) > 0.86))[..., None]
    )


def _stem(surface: Surface, form: Form, random: Random, light: Light) -> Surface:
    """An apple's dip and stalk."""
    dip = np.clip(1 - np.sqrt((U - 0.25) ** 2 + V * V) / 0.22, 0, 1)
    stalk = _edge(0.02 - np.abs(V - 0.1 * (U - 0.25))) * _band(U, 0.22, random.uniform(0.45, 0.6))
    surface = surface._replace(colour=surface.colour * (1 - 0.6 * dip)[..., None])
    return _overlaid(surface, np.array((0.2, 0.13, 0.07)), stalk)


def _veins(surface: Surface, form: Form, random: Random, light: Light) -> Surface:
    """A leaf's ribs."""
    side = np.abs(LEAF)
    veins = np.clip(1 - np.abs(np.sin(random.uniform(12, 18) * (U - 0.9 * side))) / 0.15, 0, 1)
    ridge = np.maximum(0.5 * veins, np.clip(1 - side / 0.018, 0, 1))
    return surface._replace(colour=surface.colour * (1 + 0.5 * ridge)[..., None])


def _hollow(surface: Surface, form: Form, random: Random, light: Light) -> Surface:
    """The inside of an egg shell, behind a jagged rim."""
    rim = random.uniform(-0.15, 0.2) + 0.08 * _noise(random, 24) + 0.1 * _noise(random, 8)
    turned_in = form._replace(along=-0.6 * form.along, across=-0.6 * form.across)
    inside = (
        _lit(turned_in, np.array((0.9, 0.88, 0.84)), light) * (0.7 + 0.3 * np.sqrt(U * U + V * V))[..., None]
    )
    surface = _overlaid(surface, inside, _edge(U - rim))
    return _overlaid(surface, np.array((0.95, 0.94, 0.9)), np.clip(1 - np.abs(U - rim) / 0.015, 0, 1))


def _segments(surface: Surface, form: Form, random: Random, light: Light) -> Surface:
    """The pith of half an orange."""
    outwards = np.sqrt(form.along**2 + form.across**2) / 0.2
    turns = random.integers(4, 6) * TURN + 0.2 * _noise(random, 3)
    walls = np.clip(1 - np.abs(np.sin(turns)) * outwards / 0.1, 0, 1)
    pith = _lit(form, np.array((0.93, 0.88, 0.72)), light)
    return _overlaid(surface, pith, np.maximum(walls, _band(outwards, 0.8, 0.93)))


def _crust(surface: Surface, form: Form, random: Random, light: Light) -> Surface:
    """A slice of bread's."""
    crust = _lit(form, np.array((0.5, 0.28, 0.12)), light)
    return _overlaid(surface, crust, np.clip((SLICE - 0.86) / 0.07, 0, 1))


# What there is, by material


class Thing(NamedTuple):
    """A kind of thing: how its form is made, how that looks, and what is put on it."""

    form: Callable[..., Form]
    look: Callable[..., Surface]
    finishes: tuple[Callable[..., Surface], ...] = ()

    def make(self, random: Random, light: Light) -> Surface:
        """One of the kind, under the light."""
        form = self.form(random)
        surface = self.look(form, random, light)
        for finish in self.finishes:
            surface = finish(surface, form, random, light)
        return surface


BOTTLE, JAR = partial(_bottle, body=0.24, neck=0.38), partial(_bottle, body=0.5, neck=0.85)
TORN, CUT = partial(_sheet, wide=0.65, ragged=0.035, flutes=0.12), partial(_sheet, wide=0.65, flutes=0.05)
TUBE = partial(_cylinder, taper=1.0, lip=0.0, dents=0.1)
CAN = partial(_cylinder, taper=0.9, lip=-0.04, dents=0.5)
TIN = partial(_cylinder, taper=1.0, lip=0.015, dents=0.1, ribs=0.15)
CUP = partial(_cylinder, taper=0.7, lip=0.03, dents=0.1, ribs=0.06)
BANANA = partial(
    _curved, ((-1, 0.04), (-0.85, 0.1), (-0.3, 0.17), (0.4, 0.17), (0.8, 0.08), (1, 0.03)), bend=0.45
)
CARROT = partial(
    _curved, ((-1, 0.02), (-0.6, 0.09), (0.5, 0.17), (0.68, 0.15), (0.72, 0.05), (1, 0.06)), bend=0.1
)
BONE = partial(_curved, ((-1, 0.12), (-0.9, 0.2), (-0.6, 0.1), (0.5, 0.1), (0.8, 0.2), (1, 0.1)), bend=0.1)
PEN = partial(_curved, ((-1, 0.03), (-0.8, 0.06), (0.2, 0.06), (0.4, 0.04), (1, 0.06)), bend=0.05)

BOARD = partial(_plain, tones=BROWNS, grain=0.05, gloss=0.0)
BOTTLE_GLASS, JAR_GLASS = partial(_clear, tones=GLASS), partial(_clear, tones=GLASS[:2])
CLEAR, GLOSSY = partial(_clear, tones=PLASTIC, thick=0.4, haze=0.12), partial(_plain, gloss=0.35)
BAG = partial(_clear, tones=FILM, thick=0.3, haze=0.5)
SKIN, PULP = partial(_plain, tones=APPLE, spots=APPLE, gloss=0.45), partial(_plain, tones=FLESH, grain=0.1)

FRONT, BAND = partial(_label, low=-0.65, high=0.1), partial(_label, low=-0.65, high=0.65)
LID, COVER = partial(_cap, start=0.8, tones=GOLD), partial(_cap, start=0.56, tones=WHITES + ROT)
GREEN, GRIP = partial(_cap, start=0.69, tones=LEAVES[:2]), partial(_cap, start=0.1)

THINGS = {
    "cardboard": [
        Thing(TORN, BOARD),
        Thing(CUT, partial(_printed, paper=BROWNS, inks=0)),
        Thing(_carton, BOARD),
        Thing(_carton, _printed),
        Thing(TUBE, BOARD, (partial(_end, dark=0.4),)),
    ],
    "glass": [
        Thing(BOTTLE, BOTTLE_GLASS, (FRONT,)),
        Thing(BOTTLE, BOTTLE_GLASS, (FRONT, LID)),
        Thing(JAR, JAR_GLASS, (FRONT, LID)),
        Thing(_shard, BOTTLE_GLASS),
    ],
    "metal": [
        Thing(CAN, _metal, (BAND, partial(_end, dark=0.9))),
        Thing(TIN, _metal, (BAND,)),
        Thing(partial(_lump, rough=0.25, flat=0.7, depth=0.45, count=120), partial(_metal, mirror=0.45)),
        Thing(_disc, partial(_metal, tones=GOLD, mirror=0.5)),
    ],
    "paper": [
        Thing(partial(_sheet, wide=0.65, ragged=0.02, depth=0.3), _paper),
        Thing(partial(_sheet, wide=0.4, depth=0.3), _paper),
        Thing(partial(_lump, rough=0.25, flat=0.65, depth=0.42), _paper),
    ],
    "plastic": [
        Thing(partial(_bottle, body=0.26, neck=0.38, dents=0.3, ribs=0.15), CLEAR, (FRONT, _cap)),
        Thing(partial(_bottle, body=0.36, neck=0.4, dents=0.1), GLOSSY, (FRONT, _cap)),
        Thing(CUP, CLEAR),
        Thing(CUP, GLOSSY, (BAND,)),
        Thing(partial(_lump, rough=0.3, flat=0.3, depth=0.45), BAG),
        Thing(_disc, GLOSSY),
    ],
    "trash": [
        Thing(partial(_sheet, wide=0.5, ragged=0.02, depth=0.4), partial(_printed, shine=0.3), (_crimped,)),
        Thing(partial(_lump, rough=0.4, flat=0.4, depth=0.25), partial(_plain, tones=WHITES, spots=ROT)),
        Thing(CUP, partial(_plain, tones=WHITES + BROWNS), (BAND, COVER)),
        Thing(partial(_sheet, wide=0.6, ragged=0.02), partial(_plain, spots=ROT, grain=0.1)),
        Thing(PEN, partial(_plain, gloss=0.5), (GRIP,)),
    ],
    "organic": [
        Thing(partial(_lump, rough=0.06), SKIN, (_stem,)),
        Thing(BANANA, partial(_plain, tones=YELLOWS, spots=ROT)),
        Thing(CARROT, partial(_plain, tones=ROOT, spots=ROT), (GREEN,)),
        Thing(BONE, partial(_plain, tones=IVORY, spots=ROT)),
        Thing(_leaf, partial(_plain, tones=LEAVES, spots=BROWNS), (_veins,)),
        Thing(partial(_lump, rough=0.03, flat=0.9), partial(_plain, tones=SHELL), (_hollow,)),
        Thing(partial(_lump, rough=0.04, flat=0.2), PULP, (_segments,)),
        Thing(_slice, partial(_plain, tones=CRUMB, spots=MOULD), (_crust,)),
    ],
}
MATERIALS = ("cardboard", "glass", "metal", "paper", "plastic")
THINGS["recyclable"] = [thing for material in MATERIALS for thing in THINGS[material]]
