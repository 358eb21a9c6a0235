"""Bringing a data set to this machine: a copy at hand, else the web, checked against its card."""

import hashlib
import os
import shutil
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pooch
import requests
from filelock import FileLock

from wastebook import paths
from wastebook.cache import cache_folder, fill_once, make_read_only
from wastebook.data.cards import Card, load_cards
from wastebook.data.copies import SEARCH_DEPTH, Copy, find_copy, unpack_zip, walk_files
from wastebook.data.sample import draw_sample
from wastebook.errors import WastebookError
from wastebook.files import expand, explain_full_disk

TIMEOUT = (3.05, 20)  # seconds to connect, and between two pieces of data


def fetch(name: str) -> Path:
    """The root folder of the data set `name`: of a copy named in `WASTEBOOK_DATA`, else in the cache, else
    from the web; the samples are drawn. WastebookError, with the ways out, where none of them will do."""
    card = load_cards()[name]
    if card.get("drawn"):
        return draw_sample(name, seed=card["seed"])
    copy, doubts = find_copy(card, paths.own_copies("WASTEBOOK_DATA"))
    if copy is None:
        bring = _download if card.get("files") else _from_kaggle
        try:
            place = _kept(card) or bring(card)
        except (requests.RequestException, ValueError) as error:
            raise WastebookError(_ways_out(card, error, doubts)) from error
        copy, doubts = find_copy(card, [place])
        if copy is None:
            seen = "; ".join(doubts)
            raise WastebookError(f"{place} is not {card['title']} ({seen}): delete it, try again.")
    return copy.place / copy.root if copy.place.is_dir() else unpack_zip(copy.place, copy.root)[0]


def at_hand(card: Card) -> Copy | None:
    """The copy of a set that `fetch` would take without a download, or None."""
    return find_copy(card, [*paths.own_copies("WASTEBOOK_DATA"), *filter(None, [_kept(card)])])[0]


def split_lists(card: Card) -> dict[str, Path]:
    """The authors' list of each split: beside a copy at hand, else downloaded; none of them where they
    cannot be had, or where the set has none."""
    wanted = {entry["name"]: entry for entry in card.get("split_lists", [])}
    places = paths.own_copies("WASTEBOOK_DATA") if wanted else []
    beside = (place / path for place in places for path in walk_files(place, SEARCH_DEPTH)[0])
    found = {file.name: file for file in beside if file.name in wanted and _is_list(file, wanted[file.name])}
    try:
        return {entry["split"]: found.get(name) or download_file(entry) for name, entry in wanted.items()}
    except (requests.RequestException, ValueError):
        return {}


def _kept(card: Card) -> Path | None:
    """Where a set that was downloaded before lies, the zip or the folder; None where it was not."""
    if "kaggle" in card:
        cache = os.environ.get("KAGGLEHUB_CACHE") or Path.home() / ".cache" / "kagglehub"
        folder = Path(cache, "datasets", card["kaggle"])
        return folder if (folder.parents[1] / f"{folder.name}.complete").exists() else None
    if len(files := card.get("files", [])) > 1:
        return folder if (folder := _folder_of(card)).is_dir() else None
    places = [_place_of(file, source) for file in files for source in file["sources"]]
    return next((file for file in places if file.exists()), None)


def _download(card: Card) -> Path:
    """The zip of a set, or, where its photos lie one by one, the folder of them all."""
    if len(card["files"]) == 1:
        return download_file(card["files"][0])

    def gather(folder: Path) -> None:
        for entry in card["files"]:
            (target := folder / entry["name"]).parent.mkdir(exist_ok=True)
            shutil.copyfile(download_file(entry), target)

    return fill_once(_folder_of(card), gather)


def download_file(entry: Card) -> Path:
    """A file of a card (`name`, and `sources` each with `url` and `sha256`), downloaded into the cache once.

    The sources are tried in their order, each a second time where it breaks off. Raises
    requests.RequestException where no source answers, ValueError where none has the right hash,
    WastebookError where the disk is full."""
    failure: Exception = ValueError(f"{entry['name']} has no sources")
    pooch.get_logger().setLevel("WARNING")
    downloader = pooch.HTTPDownloader(progressbar=sys.stderr.isatty(), timeout=TIMEOUT)
    for source in sorted(entry["sources"], key=lambda source: not _place_of(entry, source).exists()):
        place = _place_of(entry, source)
        known, urls = {place.name: f"sha256:{source['sha256']}"}, {place.name: source["url"]}
        files = pooch.create(place.parent, base_url="", registry=known, urls=urls, retry_if_failed=1)
        try:
            with FileLock(place.with_name(f"{place.name}.lock")), explain_full_disk(place):
                files.fetch(place.name, downloader=downloader)
            return place
        except (requests.RequestException, ValueError) as error:
            failure = error
    raise failure


def _place_of(entry: Card, source: Card) -> Path:
    return cache_folder("downloads") / f"{source['sha256'][:8]}-{Path(entry['name']).name}"


def _folder_of(card: Card) -> Path:
    return cache_folder("datasets") / f"{card['name']}-{card['fingerprint'][:16]}"


def _from_kaggle(card: Card) -> Path:
    """The folder of a set on Kaggle, in kagglehub's own cache; ValueError where it is not to be had."""
    if "kaggle" not in card:
        raise ValueError("its card names no file")
    import kagglehub  # slow to import, seldom wanted

    try:
        with explain_full_disk(Path(card["kaggle"])):
            folder = Path(kagglehub.dataset_download(card["kaggle"]))
    except (requests.RequestException, WastebookError):
        raise
    except Exception as error:  # kagglehub passes on many kinds
        raise ValueError(error) from error
    make_read_only(folder)
    return folder


def _ways_out(card: Card, error: Exception, doubts: list[str]) -> str:
    """What to tell a user who has no copy of a set and cannot download it, in two lines."""
    named = [part for part in os.environ.get("WASTEBOOK_DATA", "").split(os.pathsep) if part]
    doubts = [*doubts, *(f"{part} does not exist" for part in named if not expand(part).exists())]
    seen = f" In WASTEBOOK_DATA: {'; '.join(doubts)}." if doubts else ""
    reason = " ".join(str(error).split())[:120]
    if isinstance(error, requests.RequestException) and error.request is not None:
        host, answer = urlsplit(str(error.request.url)).hostname, error.response
        refusal = "" if answer is None else f"{host}: {answer.status_code} {answer.reason}"
        reason = refusal or f"no connection to {host}"
    way = f"Set WASTEBOOK_DATA to a folder or zip of it, got from {card['homepage']}, or use `sample`."
    return f"{card['title']} is not on this machine and could not be downloaded ({reason}).{seen}\n{way}"


def _is_list(file: Path, entry: Card) -> bool:
    """Whether a text file has the hash of a card's, line ends put aside."""
    lines = file.read_bytes().replace(b"\r\n", b"\n")
    return hashlib.sha256(lines).hexdigest() == entry["sources"][0]["sha256"]
