"""Bringing a data set to this machine: a copy at hand, else the web, checked against its card."""

import hashlib
import os
from pathlib import Path
from urllib.parse import urlsplit

import pooch
import requests
from filelock import FileLock
from tqdm import tqdm

from wastebook import paths
from wastebook.data import copies as store
from wastebook.data.cards import Card, load_cards
from wastebook.data.sample import draw_sample
from wastebook.errors import WastebookError
from wastebook.files import room_for

TIMEOUT = (3.05, 20)  # seconds to connect, and between two pieces of data
TRIES = 3  # connections that bring nothing before a source is given up


def fetch(name: str) -> Path:
    """The root folder of the data set `name`: of a copy named in `WASTEBOOK_DATA`, else in the cache, else
    from the web; the samples are drawn. WastebookError, with the ways out, where none of them will do."""
    card = load_cards()[name]
    if "seed" in card:
        return draw_sample(name, seed=card["seed"])
    copy, doubts = store.find_copy(card, paths.own_copies("WASTEBOOK_DATA"))
    if copy is None:
        try:
            place = _kept(card) or (
                _from_kaggle(card) if "kaggle" in card else download_file(card["files"][0])
            )
        except (requests.RequestException, ValueError) as error:
            raise WastebookError(_ways_out(card, error, doubts)) from error
        copy, doubts = store.find_copy(card, [place])
        if copy is None:
            raise WastebookError(
                f"{place} is not {card['title']} ({'; '.join(doubts)}): delete it, try again."
            )
    return store.unpacked(copy, card)


def at_hand(card: Card) -> store.Copy | None:
    """The copy of a set that `fetch` would take without a download, or None."""
    copy, _ = store.find_copy(card, paths.own_copies("WASTEBOOK_DATA"))
    if copy is None and (place := _kept(card)):
        copy, _ = store.find_copy(card, [place])
    return copy


def split_lists(card: Card) -> dict[str, Path]:
    """The authors' list of each split: beside a copy at hand, else downloaded; none of them where they
    cannot be had, or where the set has none."""
    wanted = {entry["name"]: entry for entry in card.get("split_lists", [])}
    found: dict[str, Path] = {}
    for place in paths.own_copies("WASTEBOOK_DATA") if wanted else []:
        for path in store.list_files(place, store.SEARCH_DEPTH):
            entry = wanted.get(Path(path).name)
            if entry and _same_text(place / path, entry["sources"][0]["sha256"]):
                found[entry["split"]] = place / path
    try:
        return found | {
            entry["split"]: download_file(entry) for entry in wanted.values() if entry["split"] not in found
        }
    except (requests.RequestException, ValueError):
        return {}


def _kept(card: Card) -> Path | None:
    """Where a set that was downloaded before lies, the zip or the folder; None where it was not."""
    if "kaggle" in card:
        cache = os.environ.get("KAGGLEHUB_CACHE") or Path.home() / ".cache" / "kagglehub"
        folder = Path(cache, "datasets", card["kaggle"])
        return folder if (folder.parents[1] / f"{folder.name}.complete").exists() else None
    files = [_place_of(card["files"][0], source) for source in card["files"][0]["sources"]]
    return next((file for file in files if file.exists()), None)


def download_file(entry: Card) -> Path:
    """A file of a card (`name`, and `sources` each with `url` and `sha256`), downloaded into the cache once.

    The sources are tried in their order. An interrupted download is carried on from where it stopped, now or
    the next time. Raises requests.RequestException where no source answers, ValueError where none has the
    right hash, WastebookError where the disk is full.
    """
    failure: Exception = ValueError(f"{entry['name']} has no sources")
    for source in sorted(entry["sources"], key=lambda source: not _place_of(entry, source).exists()):
        place = _place_of(entry, source)
        try:
            with FileLock(place.with_name(f"{place.name}.lock")), room_for(place):
                pooch.get_logger().setLevel("WARNING")
                pooch.retrieve(
                    source["url"],
                    known_hash=f"sha256:{source['sha256']}",
                    fname=place.name,
                    path=place.parent,
                    downloader=_carry_on,
                )
            return place
        except (requests.RequestException, ValueError) as error:
            failure = error
    raise failure


def _place_of(entry: Card, source: Card) -> Path:
    return paths.cache_folder("downloads") / f"{source['sha256'][:8]}-{entry['name']}"


def _carry_on(url: str, output_file: str, manager: object) -> None:
    """Download `url` to `output_file`, for pooch: a `.part` file beside it keeps what came before a break."""
    part = paths.cache_folder("downloads") / f"{pooch.utils.unique_file_name(url)}.part"
    failures = 0
    while True:
        have = part.stat().st_size if part.exists() else 0
        try:
            _continue_part(url, part, have)
            break
        except requests.RequestException:
            failures = failures + 1 if not part.exists() or part.stat().st_size <= have else 0
            if failures == TRIES or not (have or part.exists()):
                raise
    part.replace(output_file)


def _continue_part(url: str, part: Path, have: int) -> None:
    """One connection: append to `part` what is missing after its `have` bytes (all of it where the server
    cannot begin in the middle)."""
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as response:
        if response.status_code == requests.codes.requested_range_not_satisfiable:
            part.unlink()  # whole but for its move, or of another file: begin anew
        response.raise_for_status()
        resumed = response.status_code == requests.codes.partial_content
        have = have if resumed else 0
        size = int(response.headers.get("Content-Length", 0)) + have
        with (
            part.open("ab" if resumed else "wb") as file,
            tqdm(
                desc=part.name, total=size, initial=have, unit="B", unit_scale=True, disable=None
            ) as progress,
        ):
            for piece in response.iter_content(1 << 16):
                file.write(piece)
                progress.update(len(piece))


def _from_kaggle(card: Card) -> Path:
    """The folder of a set on Kaggle, in kagglehub's own cache; ValueError where it is not to be had."""
    import kagglehub  # slow to import, seldom wanted

    try:
        with room_for(Path(card["kaggle"])):
            folder = Path(kagglehub.dataset_download(card["kaggle"]))
    except (requests.RequestException, WastebookError):
        raise
    except Exception as error:  # kagglehub passes on many kinds
        raise ValueError(error) from error
    store.make_read_only(folder)
    return folder


def _ways_out(card: Card, error: Exception, doubts: list[str]) -> str:
    """What to tell a user who has no copy of a set and cannot download it, in two lines."""
    named = [part for part in os.environ.get("WASTEBOOK_DATA", "").split(os.pathsep) if part]
    doubts = [*doubts, *(f"{part} does not exist" for part in named if not Path(part).expanduser().exists())]
    seen = f" In WASTEBOOK_DATA: {'; '.join(doubts)}." if doubts else ""
    reason = " ".join(str(error).split())[:120]
    if isinstance(error, requests.RequestException) and error.request is not None:
        host = urlsplit(str(error.request.url)).hostname
        answer = error.response
        reason = (
            f"no connection to {host}" if answer is None else f"{host}: {answer.status_code} {answer.reason}"
        )
    return (
        f"{card['title']} is not on this machine and could not be downloaded ({reason}).{seen}\n"
        f"Set WASTEBOOK_DATA to a folder or zip of it, got from {card['homepage']}, or use `sample`."
    )


def _same_text(file: Path, sha256: str) -> bool:
    """Whether a text file has the hash, line ends put aside."""
    return hashlib.sha256(file.read_bytes().replace(b"\r\n", b"\n")).hexdigest() == sha256
