"""The command line. Each command imports what it needs when it is called, so that help comes at once."""

import errno
import json
import os
import shutil
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from wastebook import paths
from wastebook.errors import WastebookError

commands = typer.Typer(
    name="wastebook",
    help="A reproducible report book on telling waste apart in photos.",
    epilog="Start with [bold]wastebook build[/]; [bold]wastebook doctor[/] says what is at hand.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    add_completion=False,
)
data = typer.Typer(help="The data sets: what there is, bringing it here, checking it.", no_args_is_help=True)
commands.add_typer(data, name="data")

KEY_PACKAGES = ("papermill", "snakemake", "pandas", "torch", "tensorflow", "keras")
console = Console(stderr=True)  # what is said to people; what was asked for goes to stdout
Json = Annotated[bool, typer.Option("--json", help="Print the outcome as JSON, for a machine.")]
Renderer = Annotated[str, typer.Option(help="auto, quarto or pandoc (the embedded one).")]
Run = Annotated[str, typer.Option("--run", help="The run: a name under runs/, or a folder.")]


def main() -> None:
    """The program: what a user can mend is said in a line or two, and the exit code is true."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    paths.make_absolute()
    try:
        commands()
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("wastebook"):
            raise
        _fail(f"The package {error.name} is not installed: pip install -r requirements.lock")
    except WastebookError as error:
        _fail(str(error))
    except OSError as error:
        full = " Free some where the runs and the cache are." if error.errno == errno.ENOSPC else ""
        _fail(f"{type(error).__name__}: {error}.{full}")
    except SystemExit as end:
        if end.code in (130, 143):
            console.print("Interrupted: the same command carries on from here.", highlight=False)
        raise


def _say(error: str) -> None:
    console.print(f"Error: {error}", style="red", markup=False, highlight=False, soft_wrap=True)


def _fail(error: str) -> NoReturn:
    _say(error)
    if "--json" in sys.argv:
        _print_json({"errors": [error]})
    sys.exit(1)


def _print_json(outcome: Any) -> None:
    print(json.dumps(outcome, indent=2, ensure_ascii=False))


@commands.command()
def build(
    profile: Annotated[
        str, typer.Option(help="quick, full, or a YAML file of parameters by chapter.")
    ] = "quick",
    run: Annotated[str | None, typer.Option(help="Name of the run (default: the profile's).")] = None,
    chapter: Annotated[
        list[str] | None, typer.Option(help="Only this chapter and what it needs. Repeats.")
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="CHAPTER.PARAMETER=VALUE", help="Set a parameter; * is every chapter. Repeats."
        ),
    ] = None,
    jobs: Annotated[int | None, typer.Option(min=1, help="Chapters at the same time (default: 2).")] = None,
    renderer: Renderer = "auto",
    as_json: Json = False,
) -> None:
    """Build the book: data, chapters, site. What has not changed is not run again.

    Examples:

      wastebook build

      wastebook build --profile full --jobs 1

      wastebook build --run mine --set '*.dataset=/path/to/photos'

      wastebook build --run sample --chapter exploration --set exploration.photos_per_class=20
    """
    from wastebook.book.build import build as build_book
    from wastebook.edition import BOOK

    folder = paths.run_folder(run or Path(profile).stem)
    outcome = build_book(BOOK, folder, profile, set_ or [], chapter or [], jobs, renderer)
    for error in outcome["errors"]:
        _say(error)
    if as_json:
        _print_json(outcome)
    elif outcome["page"]:
        print(outcome["page"])
    raise typer.Exit(1 if outcome["errors"] else 0)


@commands.command()
def chapter(
    name: Annotated[str, typer.Argument(help="Its file's stem, or a part that is clear: 01, exploration.")],
    parameter: Annotated[
        list[str] | None,
        typer.Option("--parameter", "-p", metavar="NAME=VALUE", help="A parameter. Repeats."),
    ] = None,
    run: Run = "lab",
) -> None:
    """Execute one chapter, with the run's own parameters where it has some.

    Examples:

      wastebook chapter exploration -p photos_per_class=20

      wastebook chapter 01 --run sample -p dataset=trashnet
    """
    from wastebook.book import plan
    from wastebook.book.build import prepare
    from wastebook.book.execute import run_chapter
    from wastebook.edition import BOOK
    from wastebook.files import exclusive_lock

    name, folder = plan.find_chapter(BOOK, name), paths.run_folder(run)
    source = plan.read_chapter(BOOK, name)
    recorded = paths.read_record(folder).get("parameters", {}).get(name, {})
    given = {key: value for key, value in recorded.items() if key in plan.parameters_of(source)}
    for text in parameter or []:
        key, equals, value = text.partition("=")
        if not equals:
            raise WastebookError(f"-p {text}: expected name=value, as in -p dataset=sample.")
        given[key] = plan.Text(value)
    values = plan.check_parameters(BOOK, name, given)
    with exclusive_lock(folder / plan.LOCK), console.status(name) as status:
        if values != recorded:
            prepare(BOOK, folder, {name: values}, afresh=False)
        print(
            run_chapter(
                source, name, values, folder, BOOK.chapters,
                lambda state: status.update(f"{name}: cell {state.get('cell', 0)}/{state.get('cells', '?')}"),
            )
        )  # fmt: skip


@commands.command()
def render(
    run: Annotated[str, typer.Argument(help="The run, a name under runs/ or a folder.")],
    renderer: Renderer = "auto",
) -> None:
    """Render the site of a run again, from the chapters as they were executed.

    Example:

      wastebook render sample --renderer pandoc
    """
    from wastebook.book.render import render as render_site
    from wastebook.edition import BOOK

    print(render_site(BOOK, paths.find_run(run, "chapters"), renderer))


@commands.command()
def slides(
    run: Annotated[str, typer.Argument(help="The run, a name under runs/ or a folder.")],
    renderer: Renderer = "auto",
) -> None:
    """Make the deck of a run from its results, and print its page.

    Example:

      wastebook slides sample
    """
    from wastebook.book.deck import render_slides
    from wastebook.edition import BOOK

    with console.status("Making the slides"):
        print(render_slides(BOOK, paths.find_run(run, "results"), renderer))


@commands.command()
def predict(
    photos: Annotated[
        list[str], typer.Argument(metavar="PHOTO|FOLDER|URL...", help="What to look at.", show_default=False)
    ],
    run: Annotated[str | None, typer.Option(help="The run (default: the newest that kept a model).")] = None,
    model: Annotated[str | None, typer.Option(help="The model (default: that of chapter 04).")] = None,
    top: Annotated[int, typer.Option(min=1, help="How many classes to name.")] = 3,
    csv: Annotated[Path | None, typer.Option(help="Also keep every probability in this file.")] = None,
) -> None:
    """Say what is in photos, one a line, and how sure that is. The exit code is 1 where some cannot be read.

    Examples:

      wastebook predict bottle.jpg

      wastebook predict photos/ --run full --csv answers.csv
    """
    from tqdm import tqdm

    from wastebook.answers.predictor import list_photos, open_model, said, write_csv

    listed = list_photos(photos)
    predictor = open_model(run, model)
    console.print(predictor.about(), highlight=False, markup=False, soft_wrap=True)
    answers = tqdm(predictor.stream(listed), total=len(listed), unit="photo", disable=None, leave=False)
    unread = 0
    with write_csv(csv, predictor) as keep:
        for answer in answers:
            keep(answer)
            unread += answer.probabilities is None
            with answers.external_write_mode():
                print(f"{answer.photo}: {said(predictor, answer, top)}")
    raise typer.Exit(1 if unread else 0)


@commands.command()
def compare(
    first: Annotated[str, typer.Argument(metavar="RUN", help="A run, a name under runs/ or a folder.")],
    second: Annotated[
        str, typer.Argument(metavar="[RUN|reference]", help="Another run, or the results kept as reference.")
    ] = "reference",
    as_json: Json = False,
) -> None:
    """Say which scores of two runs differ beyond their intervals. The exit code is 1 where some do.

    Examples:

      wastebook compare full

      wastebook compare full again --json
    """
    from wastebook.report.reference import compare_runs, find_results

    outcome = compare_runs(*map(find_results, (first, second)))
    differ = outcome["differ"]
    if as_json:
        _print_json(outcome)
    else:
        _print_table([{key: _short(value) for key, value in row.items()} for row in differ])
        largest = outcome["largest"]
        print(
            f"{len(differ):,} of {outcome['shared']:,} shared scores differ beyond their intervals; the "
            f"largest difference is {largest['difference']:+.3f} ({largest['metric']} of {largest['model']}, "
            f"{largest['scheme']} {largest['split']})"
        )
        for models, where in ((outcome["only_first"], first), (outcome["only_second"], second)):
            if models:
                console.print(f"Only in {where}: {', '.join(models)}", highlight=False, markup=False)
        for note in outcome["notes"]:
            console.print(note, highlight=False)
    raise typer.Exit(1 if differ else 0)


@commands.command()
def reference(
    run: Annotated[str, typer.Argument(help="A run on the real photos, a name under runs/ or a folder.")],
) -> None:
    """Keep a run's small tables in data/reference/, for later runs to be compared with.

    Example:

      wastebook reference full
    """
    from wastebook.report.reference import find_results, write_reference

    for folder in write_reference(find_results(run)):
        print(folder)


@commands.command("app")
def start_app(
    run: Annotated[str | None, typer.Option(help="The run (default: the newest that kept a model).")] = None,
    port: Annotated[int, typer.Option(envvar="PORT", help="Where to listen.")] = 8501,
    address: Annotated[str, typer.Option(help="0.0.0.0 to be seen from other machines.")] = "localhost",
) -> None:
    """Start the app, in which photos are dropped or taken and answered in the browser.

    Example:

      wastebook app --run full
    """
    from wastebook.answers.predictor import MOST_BYTES, find_models

    find_models(run)  # so that a run that is gone is said here
    page = Path(__file__).parent / "answers" / "app.py"
    options = {"port": port, "address": address, "maxUploadSize": MOST_BYTES >> 20, "headless": "true"}
    command = [sys.executable, "-m", "streamlit", "run", str(page), "--browser.gatherUsageStats=false"]
    command += ["--client.toolbarMode=minimal"]
    command += [f"--server.{name}={value}" for name, value in options.items()]
    os.environ["WASTEBOOK_APP_RUN"] = run or ""
    os.execv(sys.executable, command)


@data.command("list")
def data_list(as_json: Json = False) -> None:
    """The data sets there are, and where each is to be had."""
    from wastebook.data import describe_datasets

    rows = describe_datasets().to_dict("records")
    if as_json:
        _print_json(rows)
    else:
        _print_table(rows)


@data.command("fetch")
def data_fetch(name: Annotated[str, typer.Argument(help="A name of `wastebook data list`.")]) -> None:
    """Bring a data set to this machine, and print its folder. What is interrupted is carried on.

    Example:

      wastebook data fetch trashnet
    """
    from wastebook.data import open_dataset

    print(open_dataset(name).root)


@data.command("check")
def data_check(
    name: Annotated[str, typer.Argument(help="A data set's name, or a folder of your own.")],
    as_json: Json = False,
) -> None:
    """Look for photos that cannot be read and for duplicates. The exit code is 1 where some cannot be read.

    Examples:

      wastebook data check trashnet

      wastebook data check /path/to/photos --json
    """
    from wastebook.data import open_dataset
    from wastebook.photos.duplicates import find_duplicates
    from wastebook.photos.quality import check_photos, readable_photos

    dataset = open_dataset(name)
    with console.status("Reading every photo"):
        problems = check_photos(dataset.photos, dataset.root)
    with console.status("Comparing the photos"):
        pairs = find_duplicates(readable_photos(dataset.photos, problems), dataset.root)
    if as_json:
        counts = dataset.photos["label"].value_counts().to_dict()
        tables = {"problems": problems.to_dict("records"), "duplicates": pairs.to_dict("records")}
        _print_json({"name": dataset.name, "root": str(dataset.root), "photos": counts} | tables)
    else:
        _print_table(problems.to_dict("records"))
        _print_table(pairs.to_dict("records"))
        print(f"{len(dataset.photos):,} photos; {len(problems):,} with a remark; {len(pairs):,} pairs alike")
    raise typer.Exit(0 if problems["readable"].all() else 1)


@data.command("sample")
def data_sample(
    name: Annotated[Literal["sample", "sample-binary"], typer.Argument()] = "sample",
    photos: Annotated[int | None, typer.Option(min=20, help="How many (default: the card's number).")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Another seed draws other photos.")] = 0,
    near_duplicates: Annotated[
        int | None, typer.Option(min=0, help="Photos of another photo's object (default: one in fifteen).")
    ] = None,
    broken: Annotated[int, typer.Option(min=0, help="Files that are not the pictures they say.")] = 0,
) -> None:
    """Draw a sample set, where it is not there yet, and print its folder.

    Example:

      wastebook data sample --photos 120 --broken 5 --seed 7
    """
    from wastebook.data.sample import draw_sample

    print(draw_sample(name, seed, photos, near_duplicates, broken=broken))


@commands.command()
def doctor(as_json: Json = False) -> None:
    """What is installed and at hand, and how to get what is not. Exit code 1 where no book can be built."""
    from wastebook.book.build import declared_packages, hardware
    from wastebook.book.plan import versions
    from wastebook.book.render import find_renderer
    from wastebook.data import describe_datasets
    from wastebook.edition import BOOK, weights_found

    found, machine = versions(declared_packages(BOOK)), hardware()
    missing = [package for package, version in found.items() if version == "missing"]
    renderer, free = find_renderer(), shutil.disk_usage(paths.cache_folder()).free / 1024**3
    datasets = describe_datasets().to_dict("records")
    weights = ", ".join(weights_found("imagenet"))
    rows = [
        _row(
            "packages", f"all {len(found)}" * (not missing), f"pip install {' '.join(missing)}", needed=True
        ),
        *(_row(package, found.get(package), "missing") for package in KEY_PACKAGES),
        _row("machine", f"{machine['processor']}, {machine['cores']} cores, {machine['memory_gb']} GB"),
        _row("accelerator", machine["accelerator"], "none: the processor does the work"),
        _row("renderer", f"{renderer.name} {renderer.version}, {renderer.program}"),
        *(_row(f"data: {one['name']}", one["where"] * one["at_hand"], one["where"]) for one in datasets),
        _row("weights", weights, "downloaded when needed, or name their folder in WASTEBOOK_WEIGHTS"),
        _row("cache", f"{paths.cache_folder()}, {free:.0f} GB free"),
    ]
    ready = all(row["state"] != "missing" for row in rows)
    if as_json:
        _print_json({"ready": ready, "found": rows})
    else:
        _print_table(rows)
        print("The book can be built." if ready else "The book cannot be built: see what is missing above.")
    raise typer.Exit(0 if ready else 1)


def _short(value: Any) -> Any:
    return f"{value:.3f}" if isinstance(value, float) else value


def _row(what: str, found: str | None, otherwise: str = "", needed: bool = False) -> dict[str, str]:
    state = "ok" if found else "missing" if needed else "not here"
    return {"what": what, "state": state, "found": found or otherwise}


def _print_table(rows: Sequence[Mapping[Any, Any]]) -> None:
    """Rows as a table on stdout, its columns the rows' keys."""
    if not rows:
        return
    table = Table(*(Column(name.replace("_", " "), overflow="fold") for name in rows[0]), box=None)
    for row in rows:
        table.add_row(*(escape(str(value)) for value in row.values()))
    Console(width=None if sys.stdout.isatty() else 160).print(table)


if __name__ == "__main__":
    main()
