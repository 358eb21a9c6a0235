"""Which photos show the same: the same file, the same shot, or the same object photographed again."""

import itertools
import math
import tempfile
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

import cv2
import imagehash
import numpy as np
import pandas as pd
from PIL import Image
from safetensors import numpy as safetensors
from scipy import sparse
from scipy.sparse.csgraph import connected_components
from threadpoolctl import threadpool_limits

from wastebook.cache import cache_folder, cached_table
from wastebook.files import explain_full_disk
from wastebook.photos.decode import PhotoError, parallel_map, read_photo

VERSION = 6  # raised when the search changes, so that kept results are found anew
NEAR_BITS = 10  # of 64 bits of perceptual hash
NEAR_CORRELATION = 0.97  # of the grey pictures at 64 x 64
MOST_NEAR = 50  # photos behind it that one is paired with: all of a fixed camera's are near
SEARCH_PIXELS = 62_208  # photos are searched at this size (288 x 216): half the time, most of the objects
KEYPOINTS = 200  # the strongest of a photo
COARSE = 32  # principal components of a descriptor, halved into the two parts of a word
CANDIDATES = 12  # photos of the class, most alike by words, that each photo is compared with
DISTINCT = 0.8  # Lowe's ratio: a match is at most this far, beside the second nearest
TOLERANCE = 3.0  # pixels that a match may lie off the common rotation, scale and shift
INLIERS = 8  # matches that agree for it to be the same object
LEVEL = 1.5  # degrees off the upright or a right angle that two photos by hand hardly ever stay below
SAME_COLOUR = 10.0  # a* and b* of CIELAB that matches of one object may be apart, in the median
PATCH = 8  # pixels a side over which a keypoint's colour is averaged
ALIKE = 0.8  # correlation, one laid over the other, from which two level pictures show the same


class Look(NamedTuple):
    """What is kept of a photo for the search."""

    bits: np.ndarray  # (64,) bool, perceptual hash
    thumb: np.ndarray  # (64, 64) uint8 grey
    points: np.ndarray  # (n, 2) float32 pixels
    descriptors: np.ndarray  # (n, 128) uint8, RootSIFT
    colours: np.ndarray  # (n, 2) float32, a* and b* of CIELAB around the points
    size: np.ndarray  # width and height in pixels that the points refer to


class _Looks(Sequence[Look]):
    """Looks kept in a file and taken one at a time: those of many photos would fill the memory."""

    def __init__(self, file: IO[bytes]):
        self.file, self.ends = file, [0]

    def keep(self, look: Look | None) -> bool:
        if look is not None:
            self.file.write(safetensors.save(look._asdict()))
            self.ends.append(self.file.tell())
        return look is not None

    def __len__(self) -> int:
        return len(self.ends) - 1

    def __getitem__(self, at: Any) -> Any:
        self.file.seek(self.ends[at])
        return Look(**safetensors.load(self.file.read(self.ends[at + 1] - self.ends[at])))


def find_duplicates(photos: pd.DataFrame, root: Path) -> pd.DataFrame:
    """Pairs of photos that show the same: `path_a, path_b, kind, similarity, same_label, same_split` (missing
    where there is no official split). Kept on disk by content, so the second call is instant.

    - `exact`: the same bytes; each copy is paired with the first. Photos that cannot be read have these only.
    - `near`: one shot saved twice: perceptual hashes at most 10 bits apart, then a normalised correlation of
      at least 0.97, which is the similarity. Each with the next 50 at most, which holds groups together.
    - `object`: the same object or print photographed again, within a class: SIFT keypoints (Lowe, 2004; as
      RootSIFT, Arandjelović and Zisserman, 2012) of which at least 8 agree on one rotation, scale and shift
      (RANSAC); the similarity is how many do. Only the photos with most words in common are compared (Sivic
      and Zisserman, 2003; Babenko and Lempitsky, 2012). Colours must agree as well, since one word may be
      printed on two things; and, since it may be a watermark, the pictures laid over one another where
      nothing is turned but by right angles. A lower bound."""
    facts = (VERSION, sorted(photos[["path", "label", "sha256"]].itertuples(index=False, name=None)))
    in_order = photos.sort_values("path", ignore_index=True)
    pairs = cached_table("duplicates", facts, lambda: _search(in_order, root))
    known = photos.set_index("path")[["label", "split"]]
    a, b = (known.loc[pairs[side]].reset_index(drop=True) for side in ("path_a", "path_b"))
    same_split = (a["split"] == b["split"]).astype("boolean").mask(a["split"].isna() | b["split"].isna())
    return pairs.assign(same_label=a["label"] == b["label"], same_split=same_split)


def pairs_among(photos: pd.DataFrame, pairs: pd.DataFrame) -> pd.DataFrame:
    """The pairs of which both are among the photos."""
    return pairs[pairs["path_a"].isin(photos["path"]) & pairs["path_b"].isin(photos["path"])]


def group_photos(photos: pd.DataFrame, pairs: pd.DataFrame) -> pd.DataFrame:
    """The photos with `group` filled: a number shared by all that any chain of pairs connects, whose other
    ends are among the photos too."""
    place = pd.Series(range(len(photos)), index=photos["path"])
    pairs = pairs_among(photos, pairs)
    ends = [place.loc[pairs[side]].to_numpy() for side in ("path_a", "path_b")]
    links = sparse.coo_array((np.ones(len(pairs)), ends), shape=(len(photos), len(photos)))
    _, groups = connected_components(links, directed=False)
    return photos.assign(group=pd.array(groups, dtype="Int64"))


def _search(photos: pd.DataFrame, root: Path) -> pd.DataFrame:
    """The pairs, `path_a, path_b, kind, similarity`, of photos sorted by path."""
    first = photos.groupby("sha256", sort=False)["path"].transform("first")
    copies = first != photos["path"]
    exact = zip(first[copies], photos.loc[copies, "path"], itertools.repeat("exact"), itertools.repeat(1.0))
    singles = photos[~copies]
    place, alone = cache_folder("duplicates"), threadpool_limits(1)  # the threads are ours: one a photo
    with alone, explain_full_disk(place), tempfile.TemporaryFile(dir=place) as file:
        looks, seen = _Looks(file), parallel_map(lambda path: _look(root / path), singles["path"])
        singles = singles[[*map(looks.keep, seen)]].reset_index(drop=True)
        near, alike = _near_pairs(looks), _object_pairs(looks, singles["label"])
    named = singles["path"].to_numpy()
    found = [(named[a], named[b], "near", value) for (a, b), value in near.items()]
    found += [(named[a], named[b], "object", value) for (a, b), value in alike.items() if (a, b) not in near]
    pairs = pd.DataFrame([*exact, *found], columns=["path_a", "path_b", "kind", "similarity"])
    return pairs.sort_values(["kind", "path_a", "path_b"], ignore_index=True)


def _look(file: Path) -> Look | None:
    """The look of a photo, None where it cannot be read."""
    try:
        photo = read_photo(file)
    except PhotoError:
        return None
    scale = min(1.0, (SEARCH_PIXELS / (photo.shape[0] * photo.shape[1])) ** 0.5)
    height, width = (max(1, round(side * scale)) for side in photo.shape[:2])
    grey = _shrink(cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY), (height, width))
    bits = imagehash.phash(Image.fromarray(grey)).hash.ravel()
    thumb = _shrink(grey, (64, 64))
    sift = cv2.SIFT.create(nfeatures=KEYPOINTS, contrastThreshold=0.02)
    keypoints, found = sift.detectAndCompute(grey, None)
    strongest = np.argsort([-keypoint.response for keypoint in keypoints], kind="stable")[:KEYPOINTS]
    points = np.array([keypoints[at].pt for at in strongest], np.float32).reshape(-1, 2)
    found = np.zeros((0, 128), np.float32) if found is None else found[strongest]
    rooted = np.sqrt(found / np.maximum(found.sum(axis=1, keepdims=True), 1e-9))
    coarse = _shrink(photo, (math.ceil(height / PATCH), math.ceil(width / PATCH)))
    column, row = (points / PATCH).astype(int).T
    colours = cv2.cvtColor(coarse, cv2.COLOR_RGB2LAB)[row, column, 1:].astype(np.float32)
    return Look(
        bits, thumb, points, (rooted * 255).round().astype(np.uint8), colours, np.array([width, height])
    )


def _shrink(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """At `size` (height, width): by areas where it shrinks, in one of the two ways that keypoints stay."""
    shrinks = size[0] <= picture.shape[0] and size[1] <= picture.shape[1]
    return cv2.resize(picture, size[::-1], interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def _near_pairs(looks: _Looks) -> dict[tuple[int, int], float]:
    """Correlation of each pair (a < b) of places in `looks` that is one shot saved twice."""
    signs = np.array([look.bits for look in looks], np.float32).reshape(-1, 64) * 2 - 1
    pairs: dict[tuple[int, int], float] = {}
    for start in range(0, len(looks), 256):
        for a, agreement in enumerate(signs[start : start + 256] @ signs.T, start):
            behind = a + 1 + np.flatnonzero(agreement[a + 1 :] >= 64 - 2 * NEAR_BITS)
            alike = (((a, int(b)), _correlation(looks[a].thumb, looks[b].thumb)) for b in behind)
            near = (each for each in alike if each[1] >= NEAR_CORRELATION)
            pairs |= dict(itertools.islice(near, MOST_NEAR))
    return pairs


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Normalised cross-correlation of two grey pictures, -1 to 1; 0 where one is of a single grey."""
    a, b = a - a.mean(), b - b.mean()
    return float((a * b).sum() / max(np.sqrt((a * a).sum() * (b * b).sum()), 1e-9))


def _object_pairs(looks: _Looks, labels: pd.Series) -> dict[tuple[int, int], int]:
    """Inliers of each pair (a < b) of places in `looks` that shows one object, within a label."""
    (words, weights), places = _words(looks), [np.flatnonzero(labels == label) for label in labels.unique()]
    pairs = np.concatenate([np.empty((0, 2), int), *(_candidates(words[at] @ weights, at) for at in places)])
    inliers = parallel_map(lambda pair: _inliers(*pair), ((looks[a], looks[b]) for a, b in pairs))
    return {(a, b): count for (a, b), count in zip(pairs, inliers, strict=True) if count >= INLIERS}


def _words(looks: _Looks) -> tuple[sparse.csr_array, sparse.dia_array]:
    """Which visual words each photo has, (photos, words), and on a diagonal their weights, by how rare they
    are: a descriptor's main components are cut in halves, each named by the nearest two of some examples;
    the four pairs of names are its words, which need no training."""
    total = sum(len(look.descriptors) for look in looks)
    if total == 0:
        return sparse.csr_array((len(looks), 1), dtype=np.float32), sparse.eye_array(1)
    sample = np.concatenate([look.descriptors[:: total // 100_000 or 1].astype(np.float32) for look in looks])
    centre = sample.mean(axis=0)
    axes = np.linalg.eigh(np.cov(sample - centre, rowvar=False))[1][:, : -COARSE - 1 : -1].astype(np.float32)
    halves = [axes[:, half::2] for half in (0, 1)]  # every second one, so both halves carry as much
    number = int(np.clip((total / 25) ** 0.5, 4, min(2048, len(sample))))
    examples = np.random.default_rng(0).choice(sample, number, replace=False) - centre
    codes = [examples @ half for half in halves]

    def words_of(look: Look) -> np.ndarray:
        centred = look.descriptors - centre
        nearest = []
        for half, code in zip(halves, codes, strict=True):
            distance = (code * code).sum(axis=1) - 2 * (centred @ half) @ code.T
            nearest.append(np.argpartition(distance, 1, axis=1)[:, :2])
        return np.unique(nearest[0][:, :, None] * number + nearest[1][:, None, :]).astype(np.int32)

    columns, starts = array("i"), [0]  # a list of arrays would take twice the memory
    for names in parallel_map(words_of, looks):
        columns.frombytes(names.tobytes())
        starts.append(len(columns))
    rarity = np.log1p(len(looks) / np.bincount(columns, minlength=number**2).clip(1)).astype(np.float32)
    words = sparse.csr_array((np.ones(len(columns), np.int8), columns, starts), shape=(len(looks), number**2))
    return words, sparse.diags_array(rarity)  # weighted one label at a time: floats take as much again


def _candidates(words: sparse.csr_array, places: np.ndarray) -> np.ndarray:
    """Each photo with the `CANDIDATES` others that share most words, (n, 2); row i is that at `places[i]`."""
    length = np.sqrt(np.maximum(np.sqrt((words * words).sum(axis=1)), 1e-9))
    across, pairs, most = words.T.tocsr(), [], min(CANDIDATES, len(places))
    for start in range(0, len(places), 256):
        shared = (words[start : start + 256] @ across).toarray() / length
        np.fill_diagonal(shared[:, start:], 0)
        least = np.partition(shared, -most, axis=1)[:, [-most]]
        row, column = np.nonzero((shared >= least) & (shared > 0))
        best = np.lexsort([column, -shared[row, column], row])  # of equals the first
        best = best[np.arange(len(best)) - np.searchsorted(row, row) < most]
        pairs.append(np.sort(places[np.stack([start + row[best], column[best]], axis=1)]))
    return np.unique(np.concatenate(pairs), axis=0)


def _inliers(a: Look, b: Look) -> int:
    """How many matches of two photos agree on one rotation, scale and shift."""
    if min(len(a.points), len(b.points)) < INLIERS:
        return 0
    from_a, from_b = (look.descriptors.astype(np.float32) for look in (a, b))
    distances = (from_b * from_b).sum(axis=1) - 2 * from_a @ from_b.T + (from_a * from_a).sum(axis=1)[:, None]
    rows, nearest = np.arange(len(distances)), distances.argmin(axis=1)
    shortest = distances[rows, nearest].copy()
    distances[rows, nearest] = np.inf
    matched = np.flatnonzero(shortest < DISTINCT**2 * distances.min(axis=1))
    matched = matched[np.unique(nearest[matched], return_index=True)[1]]  # a keypoint of b answers once
    if len(matched) < INLIERS:
        return 0
    motion, agree = cv2.estimateAffinePartial2D(
        a.points[matched], b.points[nearest[matched]], ransacReprojThreshold=TOLERANCE, maxIters=500
    )
    agree = np.flatnonzero(agree)
    off = a.colours[matched[agree]] - b.colours[nearest[matched[agree]]]
    if len(agree) < INLIERS or np.median(np.hypot(*off.T)) > SAME_COLOUR:
        return 0
    turn = np.degrees(np.arctan2(motion[1, 0], motion[0, 0]))
    return 0 if abs((turn + 45) % 90 - 45) < LEVEL and _laid_over(a, b, motion) < ALIKE else len(agree)


def _laid_over(a: Look, b: Look, motion: np.ndarray) -> float:
    """Correlation of b with a, moved onto it by `motion` (2 x 3), where they overlap."""
    of_a, of_b = (np.diag([*(np.array(look.thumb.shape) / look.size), 1.0]) for look in (a, b))
    onto = of_b[:2, :2] @ motion @ np.linalg.inv(of_a)
    moved = cv2.warpAffine(a.thumb, onto, a.thumb.shape)
    reached = cv2.warpAffine(np.ones_like(a.thumb), onto, a.thumb.shape) > 0
    return _correlation(moved[reached], b.thumb[reached])
