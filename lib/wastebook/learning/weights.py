"""Which weights a backbone gets: the same words with the same meaning for timm's networks and for Keras'."""

import zipfile
from collections.abc import Callable
from functools import cache
from itertools import product
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pandas as pd
import requests
import yaml

from wastebook import paths
from wastebook.cache import cache_folder
from wastebook.errors import WastebookError
from wastebook.files import atomic_write, file_hash
from wastebook.photos.decode import decode_photos

SETTLING_PHOTOS = 32  # that set the BatchNorm statistics of random weights


def choose_weights(weights: str, find_imagenet: Callable[[bool], Path | None]) -> tuple[str, Path | None]:
    """What `weights` comes to (`imagenet`, `random` or a path), and their file, None for random ones.

    `auto` is ImageNet's where they are to be had, else random. `find_imagenet(required)` gives their file, or
    None (an error where `required`). WastebookError for another word that is no file.
    """
    if weights == "random":
        return weights, None
    if weights in ("imagenet", "auto"):
        file = find_imagenet(weights == "imagenet")
        return ("imagenet" if file else "random"), file
    file = Path(weights).expanduser()
    if not file.is_file():
        names = "`auto`, `imagenet`, `random` or the path of a file"
        raise WastebookError(f"There are no weights {weights!r}: name {names}.")
    return weights, file


def settling_pixels(photos: pd.DataFrame, root: Path, image_size: tuple[int, int]) -> np.ndarray:
    """(at most `SETTLING_PHOTOS`, height, width, 3) uint8 of photos from all over the table."""
    rows = photos.iloc[:: max(1, len(photos) // SETTLING_PHOTOS)].head(SETTLING_PHOTOS)
    return np.stack(list(decode_photos([root / path for path in rows["path"]], image_size)))


@cache
def known_weights() -> dict[str, dict[str, Any]]:
    """The ImageNet weights of `data/weights/imagenet.yml` by their SHA-256."""
    cards = yaml.safe_load((paths.CARDS / "weights" / "imagenet.yml").read_text(encoding="utf-8"))
    return {card["sha256"]: card for card in cards}


def find_own(name: str, timm_name: str) -> Path | None:
    """The file in `WASTEBOOK_WEIGHTS` that is called like the network, with the tag of its training
    (`.aa_in1k`) or without; for a `name` with a tag, the latter only if its hash is known for it."""
    network = timm_name.split(".")[0]
    sizes = [card["size"] for card in known_weights().values() if card["backbone"].split(".")[0] == network]
    for place, called in product(paths.own_copies("WASTEBOOK_WEIGHTS"), dict.fromkeys((timm_name, network))):
        for file in files_called(f"{called}.safetensors", place):
            card = known_weights().get(file_hash(file))
            if card is None and file.stat().st_size in sizes:
                raise WastebookError(
                    f"{file} is damaged: its size is that of {network}'s weights, its SHA-256 is not.\n"
                    f"Get it anew, or name its path as `weights` to use it all the same."
                )
            if name in (called, name.split(".")[0]) or (card and card["backbone"] == name):
                return file
    return None


def files_called(name: str, place: Path) -> list[Path]:
    """The files called `name` in a folder, or in a zip (unpacked into the cache), or `place` itself."""
    if place.is_dir():
        return sorted(place.glob(f"**/{name}"))
    if not zipfile.is_zipfile(place):
        return [place] if place.name == name else []
    unpacked = cache_folder("weights", file_hash(place)[:16]) / name
    with zipfile.ZipFile(place) as archive:
        members = [member for member in archive.namelist() if PurePosixPath(member).name == name]
        if members and not unpacked.exists():
            with atomic_write(unpacked) as file:
                file.write_bytes(archive.read(members[0]))
    return [unpacked] if members else []


@cache
def server_answers(url: str) -> bool:
    """Whether a server of weights answers within five seconds; asked once a process."""
    try:
        return requests.head(url, timeout=5.0).ok
    except requests.RequestException:
        return False
