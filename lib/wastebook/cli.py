"""The command line. Each command imports what it needs when it is called, so that help comes at once."""

import errno
import io
import json
import os
import signal
import sys
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from wastebook import paths
from wastebook.errors import WastebookError
from wastebook.files import as_line

data = typer.Typer(help="The data sets: what there is, bringing it here, checking it.", no_args_is_help=True)
cache = typer.Typer(help="What was computed or fetched once: how much of it, and less.", no_args_is_help=True)
PLACES = "Another place is named by WASTEBOOK_CACHE, for what is cached, or by --run, for a run."
MOST_ROWS = 100  # of a table for people
TITLE = "A reproducible report book on telling waste apart in photos."
commands = typer.Typer(help=TITLE, no_args_is_help=True, rich_markup_mode="rich", add_completion=False)
commands.add_typer(data, name="data")
commands.add_typer(cache, name="cache")
console = Console(stderr=True, markup=False, highlight=False, soft_wrap=True)  # what is said to people
Json = Annotated[bool, typer.Option("--json", help="Print the outcome as JSON, for a machine.")]
to_json = partial(json.dumps, indent=2)  # in ASCII and without colours, whatever the terminal
Setting = partial(typer.Option, help="Set a parameter (of every chapter, where * is named). Repeats.")
Renderer = Annotated[str, typer.Option(help="auto, quarto or pandoc (the embedded one).")]
Run = Annotated[str, typer.Argument(help="The run, a name under runs/ or a folder.")]
ModelRun = Annotated[str | None, typer.Option(help="The run (default: the newest that kept a model).")]


def main() -> None:
    """The program: what a user can mend is said in a line or two, and the exit code is true."""
    for number in {signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)}:  # Windows has no SIGHUP
        if signal.getsignal(number) is signal.SIG_DFL:  # under nohup, a closed terminal is no reason to end
            signal.signal(number, lambda received, _: sys.exit(128 + received))
    sys.stdout, sys.stderr = (each or io.StringIO() for each in (sys.stdout, sys.stderr))  # closed
    for stream in (one for one in (sys.stdout, sys.stderr) if isinstance(one, io.TextIOWrapper)):
        stream.reconfigure(errors="backslashreplace", line_buffering=True)  # whatever the name; told at once
    try:
        paths.make_absolute()
        return commands()
    except ModuleNotFoundError as error:
        message = f"The package {error.name} is not installed: pip install -r requirements.lock"
    except (WastebookError, MemoryError) as error:
        message = str(error) or "There is not enough memory."
    except OSError as error:
        way = "Free some room there. " * (error.errno == errno.ENOSPC) + PLACES
        message = f"{type(error).__name__}: {error}. {way if error.filename else ''}".strip()
        sys.stdout = sys.stdout if error.filename else io.StringIO()  # what it cannot be written to
    except SystemExit as end:
        if end.code in (130, 143):
            console.print("Interrupted: the same command carries on from here.")
        if isinstance(end.__context__, BrokenPipeError):  # `| head` has seen enough
            os._exit(141)  # at once: a thread that is within a library now would bring an orderly end down
        raise
    _say(message)
    if "--json" in sys.argv:
        print(to_json({"errors": [message]}))
    where = ("compare" in sys.argv[1:2], sys.argv[1:3] == ["data", "check"], "--from" in sys.argv)
    sys.exit(2 if any(where) else 1)  # 2 where 1 says something else


def _say(error: str) -> None:
    console.print("Error:", "\n".join(map(as_line, error.split("\n"))), style="red")


def _tell(outcome: Any, as_json: bool, *tables: Sequence[dict], lines: Iterable[str] = ()) -> None:
    """An outcome on stdout: as JSON, or for people as tables, their columns the rows' keys, and lines."""
    tables, lines = ((), [to_json(outcome)]) if as_json else (tables, lines)
    for rows in filter(None, tables):
        table = Table(*(Column(name.replace("_", " "), overflow="fold") for name in rows[0]), box=None)
        for row in rows[:MOST_ROWS]:
            cells = (f"{value:.3f}" if isinstance(value, float) else str(value) for value in row.values())
            table.add_row(*map(escape, map(as_line, cells)))
        more = [f"The first {MOST_ROWS} of {len(rows):,}: --json has all."] * (len(rows) > MOST_ROWS)
        Console(width=None if sys.stdout.isatty() else 160).print(table, *more)
    for line in lines:
        print(line)


@commands.command(epilog="Example: wastebook build --run mine --set '*.dataset=/path/to/photos'")
def build(
    profile: Annotated[str | None, typer.Option(help="quick (default), full, or a file of values.")] = None,
    from_: Annotated[str | None, typer.Option("--from", help="Repeat the run of this run.yml.")] = None,
    run: Annotated[str | None, typer.Option(help="Name of the run (default: the profile's).")] = None,
    chapter: Annotated[list[str] | None, typer.Option(help="Only this and what it needs. Repeats.")] = None,
    set_: Annotated[list[str] | None, Setting("--set", metavar="CHAPTER.PARAMETER=VALUE")] = None,
    jobs: Annotated[int | None, typer.Option(min=1, help="Chapters at the same time (default: 2).")] = None,
    renderer: Renderer = "auto",
    as_json: Json = False,
) -> None:
    """Build the book: data, chapters, site. What has not changed is not run again."""
    from wastebook.book.build import build as build_book
    from wastebook.edition import BOOK

    if from_ and profile:
        raise WastebookError("--from brings the parameters of its run along: leave --profile out.")
    name = f"{Path(from_).resolve().parent.name}-again" if from_ else Path(profile or "quick").stem
    if from_:  # whether servers of weights answer goes by what was found then
        os.environ["WASTEBOOK_RUN"] = str(Path(from_).parent)
    asked = (from_ or profile or "quick", set_ or [], chapter or [], jobs, renderer, bool(from_))
    outcome = build_book(BOOK, paths.run_folder(name if run is None else run), *asked)
    for error in outcome["errors"]:
        _say(error)
    _tell(outcome, as_json, lines=[outcome["page"]] if outcome["page"] else [])
    raise typer.Exit(1 if outcome["errors"] else 0)


@commands.command(epilog="Example: wastebook chapter exploration --run sample -p photos_per_class=20")
def chapter(
    name: Annotated[str, typer.Argument(help="Its file's stem, or a part that is clear: 01, exploration.")],
    parameter: Annotated[list[str] | None, Setting("--parameter", "-p", metavar="NAME=VALUE")] = None,
    run: Annotated[str, typer.Option(help="The run: a name under runs/, or a folder.")] = "lab",
) -> None:
    """Execute one chapter, with the run's own parameters where it has some."""
    from wastebook.book.build import execute_chapter
    from wastebook.edition import BOOK

    print(execute_chapter(BOOK, paths.run_folder(run), name, parameter or []))


@commands.command(epilog="Example: wastebook render sample --renderer pandoc")
def render(run: Run, renderer: Renderer = "auto") -> None:
    """Render the site of a run again, from the chapters as they were executed."""
    from wastebook.book.render import render as render_site
    from wastebook.edition import BOOK

    print(render_site(BOOK, paths.find_run(run, "chapters"), renderer))


@commands.command(epilog="Example: wastebook slides sample")
def slides(run: Run, renderer: Renderer = "auto") -> None:
    """Make the deck of a run from its results, and print its page."""
    from wastebook.book.deck import render_slides
    from wastebook.edition import BOOK

    print(render_slides(BOOK, paths.find_run(run, "results"), renderer))


@commands.command(epilog="Example: wastebook predict bottle.jpg photos/ --run full --csv answers.csv")
def predict(
    photos: Annotated[list[str], typer.Argument(metavar="PHOTO|FOLDER|URL...", help="What to look at.")],
    run: ModelRun = None,
    model: Annotated[str | None, typer.Option(help="The model (default: that of chapter 04).")] = None,
    top: Annotated[int, typer.Option(min=1, help="How many classes to name.")] = 3,
    csv: Annotated[Path | None, typer.Option(dir_okay=False, help="Also keep all probabilities.")] = None,
) -> None:
    """Say what is in photos, one a line, and how sure that is. Exit code 1 where some cannot be read."""
    from tqdm import tqdm

    from wastebook.answers.predictor import list_photos, open_model, write_csv

    listed = list_photos(photos)
    predictor = open_model(run, model)
    console.print(predictor.about())
    answers = tqdm(predictor.stream(listed), total=len(listed), unit="photo", disable=None, leave=False)
    rows = []
    for answer in answers:
        rows.append(predictor.row(answer))
        answers.write(f"{answer.photo}: {predictor.describe(answer, top)}")
    if csv:
        write_csv(csv, rows)
    raise typer.Exit(1 if any(row["label"] is None for row in rows) else 0)


@commands.command(epilog="Example: wastebook compare full again --json")
def compare(
    runs: Annotated[list[str], typer.Argument(help="The first, and others; one alone: with the reference.")],
    as_json: Json = False,
) -> None:
    """Say which scores of runs differ beyond intervals. Exit code 0: none, 1: some, 2: cannot be compared."""
    from wastebook.report.reference import compare_runs, find_results

    outcome = compare_runs({name: find_results(name) for name in [*runs, *["reference"] * (len(runs) < 2)]})
    count = f"{len(outcome['differ']):,} of {outcome['shared']:,} shared scores differ beyond their intervals"
    _tell(outcome, as_json, outcome["unlike"], outcome["differ"], lines=[f"{count}; the largest difference:"])
    if not as_json:
        _tell(None, False, [outcome["largest"]])
        notes = [f"Not in {run}: {', '.join(models)}" for run, models in outcome["lacking"].items() if models]
        console.print(*notes, sep="\n")
    raise typer.Exit(1 if outcome["differ"] else 0)


@commands.command("runs")
def list_runs(as_json: Json = False) -> None:
    """The runs there are, the newest first: of which photos, and what of each is whole."""
    from wastebook.report.reference import describe_runs

    _tell(rows := describe_runs(), as_json, rows)


@commands.command(epilog="Example: wastebook reference full")
def reference(run: Run) -> None:
    """Keep a run of real photos: tables in data/reference/, to compare with, its findings in the README."""
    from wastebook.report.front import write_summary
    from wastebook.report.reference import find_results, write_reference

    print(*write_reference(find_results(run)), *write_summary(paths.PROJECT), sep="\n")


@commands.command("app", epilog="Example: wastebook app --run full")
def start_app(
    run: ModelRun = None,
    port: Annotated[int, typer.Option(envvar="PORT", min=1, max=65535, help="Where to listen.")] = 8501,
    address: Annotated[str, typer.Option(help="0.0.0.0 to be seen from other machines.")] = "localhost",
) -> None:
    """Start the app, in which photos are dropped or taken and answered in the browser."""
    from wastebook.answers.predictor import find_models
    from wastebook.answers.web import serve_app

    find_models(run)  # so that a run that is gone is said here
    raise typer.Exit(serve_app(run, port, address))


@data.command("list")
def data_list(as_json: Json = False) -> None:
    """The data sets there are, and where each is to be had."""
    from wastebook.data.datasets import describe_datasets

    _tell(rows := describe_datasets().to_dict("records"), as_json, rows)


@data.command("fetch", epilog="Example: wastebook data fetch trashnet")
def data_fetch(name: Annotated[str, typer.Argument(help="A name of `wastebook data list`.")]) -> None:
    """Bring a data set to this machine, and print its folder. What is interrupted is carried on."""
    from wastebook.data.datasets import open_dataset

    print(open_dataset(name).root)


@data.command("check", epilog="Example: wastebook data check /path/to/photos --json")
def data_check(
    name: Annotated[str, typer.Argument(help="A data set's name, or a folder or zip of your own.")],
    as_json: Json = False,
) -> None:
    """Say what a set holds and what is odd. Exit code 0: fine, 1: usable with remarks, 2: not usable."""
    from wastebook.data.checkup import examine
    from wastebook.photos.collection import load_photos

    with console.status("Reading and comparing the photos"):
        found = examine(load_photos(name))
    tables = (found["problems"], found["duplicates"], found["classes"])
    _tell(found, as_json, *tables, lines=map(as_line, found["told"] + found["remarks"]))
    raise typer.Exit(1 if found["remarks"] else 0)


@data.command("sample", epilog="Example: wastebook data sample --photos 120 --seed 7")
def data_sample(
    name: Annotated[Literal["sample", "sample-binary"], typer.Argument()] = "sample",
    photos: Annotated[int | None, typer.Option(min=20, help="How many (default: the card's number).")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Another seed draws other photos.")] = 0,
    near_duplicates: Annotated[int | None, typer.Option(min=0, help="Of objects shown already.")] = None,
) -> None:
    """Draw a sample set, where it is not there yet, and print its folder."""
    from wastebook.data.sample import draw_sample

    print(draw_sample(name, seed, photos, near_duplicates))


@cache.command("list")
def cache_list() -> None:
    """What is kept of each kind, and where."""
    from wastebook.cache import cache_folder, describe_cache

    _tell(None, False, describe_cache(), lines=[f"In {cache_folder()}"])


@cache.command("clear", epilog="Example: wastebook cache clear features decoded --keep 5")
def cache_clear(
    kinds: Annotated[list[str] | None, typer.Argument(help="Of `wastebook cache list` (all).")] = None,
    keep: Annotated[float, typer.Option(min=0, max=1e6, help="Gigabytes that may stay, the latest.")] = 0,
) -> None:
    """Take out what is kept, what was longest unused first; whatever needs it makes it again."""
    from wastebook.cache import clear_cache

    print(f"{clear_cache(kinds or [], int(keep * 1024**3)) >> 20} MB are free again.")


@commands.command()
def doctor(as_json: Json = False) -> None:
    """What is installed and at hand, and how to get what is not. Exit code 1 where no book can be built."""
    from wastebook.edition import examine_machine

    ready, table = examine_machine()
    verdict = "The book can be built." if ready else "The book cannot be built: see what is missing."
    _tell({"ready": ready, "found": table}, as_json, table, lines=[verdict])
    raise typer.Exit(int(not ready))


if __name__ == "__main__":
    main()
