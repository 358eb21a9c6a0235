"""Which weights a backbone gets: the same words with the same meaning for timm's networks and for Keras'."""

import hashlib
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
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


def choose_weights(
    weights: str, wanted: str, at_hand: Callable[[], Path | None], server: str, download: Callable[[], Any]
) -> tuple[str, Path | None]:
    """What `weights` comes to (`imagenet`, `random` or a path), and their file, None for random ones.

    `imagenet` is the file called `wanted`, that is `at_hand()` or had by `download()` where `server` (none,
    if empty) answers; `auto` is that where it is to be had, else random. WastebookError where it is required
    and is not, where the download fails, and for another word that is no file.
    """
    if weights == "random":
        return weights, None
    if weights not in ("imagenet", "auto"):
        file = Path(weights).expanduser()
        if not file.is_file():
            names = "`auto`, `imagenet`, `random` or the path of a file"
            raise WastebookError(f"There are no weights {weights!r}: name {names}.")
        return weights, file
    found = at_hand()
    if found is None and server and server_answers(server):
        try:
            found = Path(download())
        except Exception as error:  # plain ones too, for a bad hash and a broken connection
            told = f"Could not download {wanted} from {server} ({type(error).__name__})"
            raise WastebookError(f"{told}: try again, or set WASTEBOOK_WEIGHTS.") from error
    if found is None and weights == "imagenet":
        way = "Set WASTEBOOK_WEIGHTS to a folder with that file, or use `random`."
        raise WastebookError(f"No ImageNet weights, {wanted}: no server has them, or none answers.\n{way}")
    return ("imagenet" if found else "random"), found


def wants_bf16(precision: str, able: bool) -> bool:
    """Whether to compute in bfloat16 under `precision`: `bf16`, `fp32`, or `auto`, where the machine is
    `able` to. WastebookError for another word."""
    if precision not in ("auto", "bf16", "fp32"):
        raise WastebookError(f"There is no precision {precision!r}: name `auto`, `bf16` or `fp32`.")
    return precision == "bf16" or (precision == "auto" and able)


def settling_pixels(photos: pd.DataFrame, root: Path, image_size: tuple[int, int]) -> np.ndarray:
    """(at most `SETTLING_PHOTOS`, height, width, 3) uint8 of photos from all over the table."""
    rows = photos.iloc[:: max(1, len(photos) // SETTLING_PHOTOS)].head(SETTLING_PHOTOS)
    return np.stack(list(decode_photos([root / path for path in rows["path"]], image_size)))


@cache
def known_weights(whose: str = "imagenet") -> list[dict[str, Any]]:
    """The cards of ImageNet weights: `imagenet`'s are for networks of torch, `keras`' for Keras'."""
    return yaml.safe_load((paths.CARDS / "weights" / f"{whose}.yml").read_text(encoding="utf-8"))


def own_weights(names: Iterable[str], cards: list[dict[str, Any]]) -> Iterator[tuple[Path, dict[str, Any]]]:
    """The files of these names in `WASTEBOOK_WEIGHTS`, each with the one of the `cards` that knows its hash
    (empty, where none does). WastebookError for one that a card knows by its size (its name, where the card
    gives none) and not by its hash."""
    for place, name in product(paths.own_copies("WASTEBOOK_WEIGHTS"), names):
        for file in _files_called(name, place):
            card = next((card for card in cards if is_whole(file, card)), {})
            if not card and any(
                card.get("size", size) == size for size in [file.stat().st_size] for card in cards
            ):
                raise WastebookError(
                    f"{file} is damaged: its hash is not that of the weights that it seems to be.\n"
                    f"Get it anew, or name its path as `weights` to use it all the same."
                )
            yield file, card


def is_whole(file: Path, card: dict[str, Any]) -> bool:
    """Whether a file has the hash on its card."""
    if "sha256" in card:
        return file_hash(file) == card["sha256"]
    return hashlib.md5(file.read_bytes()).hexdigest() == card["md5"]  # what Keras gives


def _files_called(name: str, place: Path) -> list[Path]:
    """The files called `name` in a folder, or in a zip (unpacked into the cache), or `place` itself."""
    if place.is_dir():
        return sorted(place.glob(f"**/{name}"))
    if not zipfile.is_zipfile(place):
        return [place] if place.name == name else []
    unpacked = cache_folder("weights", file_hash(place)[:16]) / name
    with zipfile.ZipFile(place) as archive:
        members = [member for member in archive.infolist() if PurePosixPath(member.filename).name == name]
        # Compared by their checksum: the cache may have been damaged since.
        if members and not (unpacked.exists() and zlib.crc32(unpacked.read_bytes()) == members[0].CRC):
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
