"""A chapter executed: in a process and a folder of its own, checked, and moved into its run when whole."""

import errno
import json
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import nbformat
import yaml
from filelock import FileLock, Timeout
from nbformat import NotebookNode

from wastebook import paths
from wastebook.book.plan import BUILD, annotated, check_parameters, read_chapter
from wastebook.errors import WastebookError
from wastebook.files import write_text

START_SECONDS = 120  # a kernel's first start, on a slow disk, reads much
ANSI = re.compile(r"\x1b\[[0-9;]*m")
SHOWN = {"fig": ("image/",), "tbl": ("text/html", "text/markdown")}  # what a labelled cell has to show
# A page must not depend on the order of a set, nor hold a line for each step of a progress bar. Compiled
# modules are kept whatever the environment says: without them a chapter takes ten seconds more to start.
KERNEL = {"PYTHONHASHSEED": "0", "TQDM_DISABLE": "1", "PYTHONDONTWRITEBYTECODE": ""}
KERNEL |= {"PYDEVD_DISABLE_FILE_VALIDATION": "1"}

State = dict[str, Any]


def run_chapter(
    chapter: str,
    parameters: Mapping[str, Any],
    run: Path,
    follow: Callable[[State], None] = lambda state: None,
    source: NotebookNode | None = None,
) -> Path:
    """Execute a chapter with `parameters` over its defaults and keep it in the folder `run`; gives the
    executed notebook, `chapters/<chapter>.ipynb` there. `follow` is told the state at each cell; `source` is
    executed in place of the chapter's whole notebook.

    What it writes lies apart until the chapter is whole, then takes its place. Where it fails, the run
    keeps what it had, `logs/` gets the notebook and the traceback, and a WastebookError names cell and error.
    """
    complete = check_parameters(chapter, parameters)
    build = run / BUILD
    state: State = {"state": "running", "started": time.time()}

    def tell(**news: Any) -> None:
        state.update(news)
        write_text(build / f"{chapter}.json", json.dumps(state))
        follow(state)

    with alone(build / f"{chapter}.lock"):
        stage, log = build / chapter, run / "logs" / f"{chapter}.log"
        shutil.rmtree(stage, ignore_errors=True)
        written = stage / "chapters" / f"{chapter}.ipynb"
        for folder in (written.parent, log.parent):
            folder.mkdir(parents=True, exist_ok=True)
        tell()
        try:
            notebook = _execute(source or read_chapter(chapter), complete, run, stage, written, tell)
            _finish(notebook, complete, log)
            nbformat.write(notebook, written)
            _move_in(stage, run, chapter)
        except Exception as error:
            message = f"Chapter {chapter} failed {_reason(error, state)}"
            if isinstance(error, OSError) and error.errno == errno.ENOSPC:
                shutil.rmtree(stage)  # so that there is room to say so
            elif _keep_failure(written, log):
                message += f"\nMore is in {log}"
            tell(state="failed", seconds=time.time() - state["started"], message=message)
            raise WastebookError(message) from error
        shutil.rmtree(stage)
        log.with_suffix(".ipynb").unlink(missing_ok=True)
        tell(state="done", seconds=time.time() - state["started"])
    return run / "chapters" / f"{chapter}.ipynb"


def _execute(
    source: NotebookNode,
    parameters: Mapping[str, Any],
    run: Path,
    stage: Path,
    written: Path,
    tell: Callable[..., None],
) -> NotebookNode:
    """The notebook executed by papermill, from the chapters' folder as in JupyterLab."""
    import papermill
    from traitlets.config import Config

    papermill.execute.logger.setLevel("ERROR")  # its own look at the parameters misses `int | None`
    cells = sum(cell.cell_type == "code" for cell in source.cells)
    number = 0

    def on_cell_start(cell: NotebookNode, cell_index: int) -> None:
        nonlocal number
        if cell.cell_type == "code" and "injected-parameters" not in cell.metadata.get("tags", []):
            number += 1
            tell(cell=number, cells=cells, name=_name(cell))

    with TemporaryDirectory(prefix="wastebook-") as private:
        config = Config(NotebookClient=Config(coalesce_streams=True))
        if os.name == "posix":  # sockets in a private folder: no ports, no other users
            config.KernelManager = Config(transport="ipc", ip=f"{private}/kernel")
        folders = dict.fromkeys(("IPYTHONDIR", "JUPYTER_RUNTIME_DIR"), private)
        here = {"WASTEBOOK_RUN": str(run), "WASTEBOOK_STAGE": str(stage), "JUPYTER_PREFER_ENV_PATH": "1"}
        with _environment(KERNEL | folders | here):
            return papermill.execute_notebook(
                source,
                str(written)
                .replace("{", "{{")
                .replace("}", "}}"),  # papermill takes paths for format strings
                parameters=dict(parameters),
                cwd=paths.CHAPTERS,
                progress_bar=False,
                start_timeout=START_SECONDS,
                extra_arguments=["--IPKernelApp.log_level=CRITICAL"],  # it complains when it is interrupted
                config=config,
                on_cell_start=on_cell_start,
            )


def _finish(notebook: NotebookNode, parameters: Mapping[str, Any], log: Path) -> None:
    """Make an executed notebook ready for a page: the true parameters shown, alternative texts where Quarto
    looks for them, nothing that changes from run to run. What was written to stderr goes to the log.
    WastebookError where a figure or table is not there."""
    said = []
    notebook.metadata.pop("papermill", None)
    notebook.metadata.pop("widgets", None)
    for cell in notebook.cells:
        cell.metadata.pop("papermill", None)
        cell.metadata.pop("execution", None)
        tags = cell.metadata.get("tags", [])
        if "injected-parameters" in tags:
            cell.metadata["tags"] = [*tags, "remove-cell"]
            cell["id"] = "injected-parameters"
        elif "parameters" in tags:
            cell.source = _with_values(cell.source, parameters)
        if cell.cell_type != "code":
            continue
        said += [output.text for output in cell.outputs if output.get("name") == "stderr"]
        cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
        options, body = cell_options(cell.source)
        shown = [mime for output in cell.outputs for mime in output.get("data", {})]
        wanted = SHOWN.get(str(options.get("label", "")).partition("-")[0])
        if wanted and not any(mime.startswith(wanted) for mime in shown):
            raise WastebookError(
                f"to show anything in its cell {options['label']}: expected {' or '.join(wanted)}."
            )
        pictures = [output.metadata.get("image/png", {}) for output in cell.outputs if "metadata" in output]
        texts = [picture["alt"] for picture in pictures if "alt" in picture]
        if texts:
            options["fig-alt"] = texts[0] if len(texts) == 1 else texts
            # JSON is YAML on one line, whatever quotes and colons the text has.
            lines = [f"#| {name}: {json.dumps(value, ensure_ascii=False)}" for name, value in options.items()]
            cell.source = "\n".join([*lines, body])
    write_text(log, ANSI.sub("", "".join(said)))


def cell_options(source: str) -> tuple[dict[str, Any], str]:
    """The `#|` options at the top of a cell, and the code below them."""
    lines = source.split("\n")
    end = next((at for at, line in enumerate(lines) if not line.startswith("#|")), len(lines))
    options = yaml.safe_load("\n".join(line[2:].removeprefix(" ") for line in lines[:end])) or {}
    return options, "\n".join(lines[end:])


def _with_values(source: str, parameters: Mapping[str, Any]) -> str:
    """The parameters cell with the values the chapter was run with, annotations and comments kept."""
    lines = source.encode().split(b"\n")  # ast counts columns in bytes
    for name, _, value in reversed(annotated(source)):
        first, last = value.lineno - 1, (value.end_lineno or value.lineno) - 1
        ending = lines[last][value.end_col_offset :]
        lines[first : last + 1] = [
            lines[first][: value.col_offset] + repr(parameters[name]).encode() + ending
        ]
    return b"\n".join(lines).decode()


def _move_in(stage: Path, run: Path, chapter: str) -> None:
    """Put a whole chapter in the place of the one before: by renames, and without a key until after them."""
    (run / BUILD / f"{chapter}.key").unlink(missing_ok=True)
    for part in (
        f"results/{chapter}",
        f"results/{chapter}.json",
        f"models/{chapter}",
        f"chapters/{chapter}.ipynb",
    ):
        new, kept, replaced = stage / part, run / part, stage / "replaced" / part
        if kept.exists():
            replaced.parent.mkdir(parents=True, exist_ok=True)
            kept.rename(replaced)
        if new.exists():
            kept.parent.mkdir(parents=True, exist_ok=True)
            new.rename(kept)


def _keep_failure(written: Path, log: Path) -> bool:
    """Keep the notebook of a failed chapter, where it has one, beside its log, and its traceback there."""
    if not written.exists():
        return False
    outputs = [
        output for cell in nbformat.read(written, as_version=4).cells for output in cell.get("outputs", [])
    ]
    said = [output.text for output in outputs if output.get("name") == "stderr"]
    said += ["\n".join(output.traceback) for output in outputs if output.output_type == "error"]
    write_text(log, ANSI.sub("", "".join(said)) + "\n")
    written.replace(log.with_suffix(".ipynb"))
    return True


def _name(cell: NotebookNode) -> str:
    """What a cell is called in a message: its label, or the first line of its code."""
    options, body = cell_options(cell.source)
    return options.get("label") or next((line.strip() for line in body.split("\n") if line.strip()), "empty")


def _reason(error: Exception, state: State) -> str:
    """Where a chapter failed and why, in a line or two."""
    from nbclient.exceptions import DeadKernelError
    from papermill.exceptions import PapermillExecutionError

    place = f"in cell {state['cell']} ({state['name']})" if "cell" in state else "at its start"
    if isinstance(error, DeadKernelError):
        return f"{place}: its kernel died, as when the memory is full. Try smaller parameters or fewer jobs."
    if isinstance(error, PapermillExecutionError):
        value = "\n".join(ANSI.sub("", error.evalue).strip().split("\n")[:2])
        return f"{place}: {value}" if error.ename == "WastebookError" else f"{place}: {error.ename}: {value}"
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return f"{place}: no space left. Free some on that disk, or name a run on another with --run."
    return f"{error}" if isinstance(error, WastebookError) else f"{place}: {type(error).__name__}: {error}"


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """The process's environment with `values`, for the kernel to inherit."""
    before = dict(os.environ)
    os.environ.update(values)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextmanager
def alone(lock: Path) -> Iterator[None]:
    """Hold a lock (freed however the process ends); WastebookError where another process has it."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(lock, timeout=0):
            yield
    except Timeout as error:
        raise WastebookError(
            f"Another process is at work on {lock.with_suffix('')}: wait for it, or end it."
        ) from error
