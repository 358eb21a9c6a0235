"""What the press is told of this book: its data, what makes a chapter stale, what its pages have more."""

import hashlib
import shutil
import sys
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from wastebook import paths
from wastebook.book.plan import Book, Parameters, Prepared, Values, versions
from wastebook.data.splits import SCHEMES
from wastebook.errors import WastebookError
from wastebook.files import as_written, expand, file_hash, write_text

DATASET, PHOTOS, WEIGHTS = "dataset", "photos_dir", "weights"  # parameters with a place
FURTHER = ("elsewhere", "others")  # and those that name data sets, or lists of them, beside a chapter's own
COMPUTES = """great_tables ImageHash keras matplotlib numpy onnx onnxruntime opencv-python-headless optuna
pandas pillow safetensors scikit-learn scipy seaborn statsmodels tensorflow timm torch torchvision"""
GIVEN = ("auto", "imagenet", "random")  # weights that are not a file
RIGHT: dict[Any, Any] = {  # what parameters should be, by type or name, told where a value is not
    **dict.fromkeys((int, int | None), lambda count: "1 or more" * (count < 1)),
    "finetune_blocks": lambda count: "0 or more" * (count < 0),
    "image_size": lambda size: "32 or more" * (size < 32),
    **dict.fromkeys(("level", "answered"), lambda share: "between 0 and 1" * (not 0 < share < 1)),
    "own_shape": lambda sides: "two sides, 32 or more" * (len(sides) != 2 or min(sides) < 32),
    "scheme": lambda scheme: " or ".join(SCHEMES) * (scheme not in SCHEMES),
    "seed": lambda seed: f"0 to {2**32 - 1}" * (not 0 <= seed < 2**32),
    "seeds": lambda own: "some, 0 or more, each once" * (min(own, default=-1) < 0 or len({*own}) < len(own)),
    **dict.fromkeys(("spoiling_cost", "watts"), lambda one: "above 0" * (not 0 < one < float("inf"))),
    WEIGHTS: lambda one: f"{', '.join(GIVEN)} or a file" * (one not in GIVEN and not expand(one).is_file()),
}
HUB = "https://huggingface.co"  # has the weights that have no address on their card


def resolve(name: str, value: Any) -> Any:
    """A place that a parameter names (a folder or file, unless it is a data set of ours), made absolute:
    chapters run in another folder."""
    if isinstance(value, list) and name in FURTHER:
        return [resolve(name, each) for each in value]
    known = not value or (paths.CARDS / f"{value}.yml").exists()
    place = None if known or name not in (DATASET, *FURTHER, PHOTOS, WEIGHTS) else expand(value).resolve()
    return str(place) if place and place.exists() else value


def prepare(parameters: Parameters) -> Prepared:
    """Make ready each data set that the parameters ask for: photos at hand, checked and searched for copies,
    which several chapters at once would else each do. A chapter's hash is of what it looks at."""
    from wastebook.data.copies import walk_files  # slow: not before all is checked

    sets: dict[str, Any] = {}
    facts: dict[str, dict[str, Any]] = {}
    hashes: dict[str, str] = {}
    for chapter, values in parameters.items():
        found = weights_found(values.get(WEIGHTS, "random"))
        facts[chapter] = {"servers": {name: up for name, up in found.items() if "://" in name}}
        own, further = [_load(values)] if DATASET in values else [], _open_further(values)
        for data in [*own, *further]:
            if (other := sets.setdefault(data.name, data)).root != data.root:
                raise WastebookError(f"{other.root} and {data.root} are both called {data.name}: rename one.")
        facts[chapter]["data"] = {data.name: _describe(data) for data in own}
        photos = [data.files for data in own] + [data.photos for data in further]
        looks = [hashlib.sha256(table.to_csv(index=False).encode()).hexdigest() for table in photos]
        files = walk_files(Path(values[PHOTOS]))[0] if values.get(PHOTOS) else {}
        hashes[chapter] = repr((looks, [(path, at.st_size, at.st_mtime_ns) for path, at in files.items()]))
    _load_once.cache_clear()  # by the next time they may be others
    return facts, hashes


def _open_further(values: Values) -> list[Any]:
    """The further sets that a chapter names, those that are at hand."""
    from wastebook.data.datasets import open_dataset

    found = []
    for name in filter(None, [values.get("elsewhere"), *values.get("others", [])]):
        with suppress(WastebookError):  # the chapter says so, or goes without it
            found.append(open_dataset(name))
    return found


def _load(values: Values) -> Any:
    """The photos of a chapter with these parameters, as it loads them."""
    seeds = values.get("seeds", [values.get("seed", 0)])
    return _load_once(values[DATASET], values.get("photos_per_class"), seeds[0])


@cache
def _load_once(dataset: str, photos_per_class: int | None, seed: int) -> Any:
    """Photos that several chapters ask for: loaded once until all is made ready (see `prepare`)."""
    from wastebook.photos.collection import load_photos

    print(f"{dataset}: photos are checked, and copies looked for", file=sys.stderr, flush=True)
    return load_photos(dataset, photos_per_class, seed)


def _describe(data: Any) -> dict[str, Any]:
    """What `run.yml` says of a data set."""
    from wastebook.data.datasets import fingerprint

    facts = {name: data.card.get(name, False) for name in ("name", "title", "task", "licence", "drawn")}
    facts |= {"classes": ("; " if ", " in "".join(data.classes) else ", ").join(data.classes)}
    facts |= {"rights": data.card["rights"]} if data.card.get("rights") else {}
    return facts | {"photos": len(data.files), "fingerprint": fingerprint(data.files)}


def unsuited(values: Values, asks: Mapping[str, str]) -> str:
    """Which of the things that a chapter asks of its photos (in words, and as an expression of its parameters
    and of the `facts` below, `classes` those that can be dealt out) is not so; empty where all are."""
    if not asks:
        return ""
    from wastebook.data.datasets import open_dataset

    data = _load(values).for_learning(values.get("scheme", "random"))
    facts = {"classes": len(data.classes), "labels": {*data.classes}, "photos": len(data.photos)}
    facts = {**values, **facts, "labels_of": lambda name: {*open_dataset(name).classes}}
    for told, asked in asks.items():
        if not eval(asked, {}, facts):
            lacking = f"it takes {told}, and {data.title} has {facts['classes']}."
            return " ".join([lacking, *data.remarks]).rstrip(".")
    return ""


def ingredients(chapter: str, values: Values) -> Any:
    """What else makes a chapter stale: the cards and tables in `data/`, and the weights that it may use."""
    files = [file for file in sorted(paths.CARDS.rglob("*.*")) if file.suffix in (".csv", ".yml", ".json")]
    tables = {file.relative_to(paths.CARDS).as_posix(): file_hash(file) for file in files}
    return [tables, weights_found(values[WEIGHTS]) if WEIGHTS in values else None]


def weights_found(weights: str = "auto") -> dict[str, str | bool]:
    """What the parameter `weights` can come to here: the hash of the file that it names, or of each in
    `WASTEBOOK_WEIGHTS`; where it is `auto` and a file is not among them, also whether its server answers."""
    if weights not in ("auto", "imagenet"):
        return {weights: file_hash(Path(weights))} if Path(weights).is_file() else {}
    places = paths.own_copies("WASTEBOOK_WEIGHTS")
    files = sorted({file for place in places for file in [place, *place.glob("**/*.*")] if file.is_file()})
    found = {file.name: file_hash(file) for file in files}
    return found | (_servers(frozenset(found)) if weights == "auto" else {})


@cache
def _servers(at_hand: frozenset[str]) -> dict[str, bool]:
    """Whether each place answers from which weights are to be had that are not at hand."""
    from wastebook.learning.weights import known_weights, server_answers

    urls = {HUB for card in known_weights() if card["file"] not in at_hand}
    urls |= {card["url"] for card in known_weights("keras") if "url" in card and card["file"] not in at_hand}
    return {url: server_answers(url) for url in sorted(urls)}


def decorate(run: Path) -> None:
    """Write the page on the library, and what the front page includes."""
    from wastebook.report.front import write_api_page, write_front_page  # slow: not before it is wanted

    write_text(run / "_front.md", write_front_page(run))
    write_api_page(run / "api.qmd")


def describe(run: Path) -> str:
    """Which run a deck tells of, on which data, and what must be known before its numbers are believed."""
    from wastebook.report.front import describe_copy

    record = paths.read_record(run)
    made = f" of {record['written'][:10]}" if "written" in record else ""
    sets = " and ".join(as_written(facts["title"]) for facts in record.get("data", {}).values())
    return f"The run {as_written(run.name)}{made}{', on ' * bool(sets)}{sets}. {describe_copy(run)}"


def finish(run: Path, site: Path) -> None:
    """Put the pages "The photos" and "Try it" to work."""
    from wastebook.answers.browser import write_try_it  # slow: not before there is a site
    from wastebook.report.gallery import write_gallery

    write_gallery(run, site)
    write_try_it(run, site)


def examine_machine() -> tuple[bool, list[dict[str, str]]]:
    """Whether the book can be built here, and `what, state, found` of all that it uses or how to get it."""
    from wastebook.book.build import declared_packages, hardware
    from wastebook.book.render import find_renderer
    from wastebook.cache import cache_folder
    from wastebook.data.datasets import describe_datasets

    found, machine, renderer = versions(declared_packages(BOOK)), hardware(), find_renderer()
    missing = [package for package, version in found.items() if version == "missing"]
    cache, data_sets = cache_folder(), describe_datasets().to_dict("records")
    rows = [
        ("packages", f"all {len(found)}" * (not missing), f"pip install {' '.join(missing)}"),
        *((name, found.get(name), "") for name in ("papermill", "snakemake", "torch", "tensorflow")),
        ("machine", f"{machine['processor']}, {machine['cores']} cores, {machine['memory_gb']} GB", ""),
        ("accelerator", machine["accelerator"], "none: the processor does the work"),
        ("renderer", f"{renderer.name} {renderer.version}, {renderer.program}", ""),
        *((f"data: {one['name']}", one["where"] * bool(one["at_hand"]), one["where"]) for one in data_sets),
        ("weights", ", ".join(weights_found("imagenet")), "downloaded, or named in WASTEBOOK_WEIGHTS"),
        ("cache", f"{cache}, {shutil.disk_usage(cache).free / 1024**3:.0f} GB free", ""),
    ]
    table = [{"what": a, "state": "ok" if b else "not here", "found": b or c} for a, b, c in rows]
    return not missing, table


BOOK = Book(
    paths.PROJECT,
    library=Path(__file__).parent,
    apart=("answers", "book", "cli.py", "edition.py"),
    distribution="wastebook",
    computes=tuple(COMPUTES.split()),
    right=RIGHT,
    resolve=resolve,
    prepare=prepare,
    unsuited=unsuited,
    ingredients=ingredients,
    decorate=decorate,
    describe=describe,
    finish=finish,
)
