"""A chapter executed: in a process and a folder of its own, checked, and moved into its run when whole."""

import errno
import json
import os
import re
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from unittest.mock import patch

import nbformat
from nbformat import NotebookNode

from wastebook.book import work
from wastebook.book.check import check_notebook
from wastebook.book.plan import STATED, Book, annotated, as_run, cell_options, read_chapter
from wastebook.errors import WastebookError
from wastebook.files import exclusive_lock, write_text, write_yaml

LONGEST_SOCKET = 90  # characters of a path; with what is added to it macOS takes 104, Linux 107
# What a terminal takes for colours, links and moves.
ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z^_])")
WIDGET = "application/vnd.jupyter.widget-view+json"  # shows only what a running kernel holds
PYTHON = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}
AT_LINE = re.compile(r"^-+> (\d+) *(.*)$", re.MULTILINE)  # how IPython points at a failing line
# In Markdown, outside code: what would begin a tag, and what makes code into raw HTML.
CODE_OR_TAG = re.compile(
    r"(?P<code>(`+)[^`].*?(?<!`)\2(?!`))(?:\{=\w+\})?|<(?=[a-z/!?])(?!https?:)", re.I | re.S
)
# A page must not depend on the order of a set, nor hold a progress bar. Compiled modules save a chapter ten
# seconds; threads that wait sleep, for others work on the cores; large pages spare a sixth of the work.
KERNEL = {
    "PYTHONHASHSEED": "0",
    "TQDM_DISABLE": "1",
    "PYTHONDONTWRITEBYTECODE": "",
    "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    "JUPYTER_PREFER_ENV_PATH": "1",
    "OMP_WAIT_POLICY": "PASSIVE",
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
}

State = dict[str, Any]
Record = dict[str, Any]  # of a chapter, what it is made of: its `parameters`, and whatever else is known


def run_chapter(
    source: NotebookNode,
    chapter: str,
    record: Record,
    run: Path,
    folder: Path,
    follow: Callable[[State], None] = lambda state: None,
) -> Path:
    """Execute a notebook from `folder` into the folder `run`, with the parameters of its `record`, which is
    kept too; without the cells tagged with a chapter that it reads and that has left nothing there. Where it
    fails, the run keeps what it had, `logs/` gets notebook and traceback, a WastebookError says why."""
    state: State = {"state": "running", "started": time.time()}
    log, began = run / "logs" / f"{chapter}.log", time.monotonic()

    def tell(**news: Any) -> None:
        state.update(news, seconds=time.monotonic() - began)
        write_yaml(run / work.BUILD / f"{chapter}.yml", state)
        follow(state)

    with exclusive_lock(run / work.BUILD / f"{chapter}.lock", work.ORPHANS_END):
        stage = work.open_stage(run, chapter)
        written = stage / "chapters" / f"{chapter}.ipynb"
        try:
            tell()
            source = _with_values(as_run(source, run), record["parameters"])
            notebook = _execute(source, run, stage, written, folder, tell)
            write_yaml(written.with_suffix(".yml"), _finish(notebook, written, log, began) | record)
            work.move_in(stage, run)
        except Exception as error:
            kept = _keep_failure(written, log)
            work.clear_stage(stage)  # also so that there is room to say so
            message = f"Chapter {chapter} failed{_reason(error, state)}{kept}"
            tell(state="failed", message=message)
            raise WastebookError(message) from error
        work.clear_stage(stage)
        log.with_suffix(".ipynb").unlink(missing_ok=True)
        tell(state="done")
    return run / "chapters" / f"{chapter}.ipynb"


def _keep_failure(written: Path, log: Path) -> str:
    """Keep the notebook of a failed chapter beside its log, if there is one, and room; says where."""
    with suppress(OSError, ValueError, WastebookError):
        _write_log(nbformat.read(written, as_version=4), log)
        written.replace(log.with_suffix(".ipynb"))
        return f"\nMore is in {log}"
    return ""


def _with_values(source: NotebookNode, parameters: Mapping[str, Any]) -> NotebookNode:
    """The notebook with these values in its parameters cell, annotations and comments kept."""
    for cell in source.cells:
        if "parameters" in cell.metadata.get("tags", []):
            lines = cell.source.encode().split(b"\n")  # ast counts columns in bytes
            for name, _, value in reversed(annotated(cell.source)):
                first, last = value.lineno - 1, (value.end_lineno or value.lineno) - 1
                start, end = lines[first][: value.col_offset], lines[last][value.end_col_offset :]
                if name not in STATED:
                    lines[first : last + 1] = [start + repr(parameters[name]).encode() + end]
            cell.source = b"\n".join(lines).decode()
    return source


def _execute(
    source: NotebookNode, run: Path, stage: Path, written: Path, folder: Path, tell: Callable[..., None]
) -> NotebookNode:
    """The notebook executed by papermill, from `folder` as in JupyterLab."""
    import papermill
    from traitlets.config import Config

    code = [cell.cell_type == "code" for cell in source.cells]
    if source.metadata.get("kernelspec", PYTHON).get("language", "python") == "python":
        source.metadata.kernelspec = PYTHON  # the Python at hand, by whatever name an editor knew another

    def on_cell_start(cell: NotebookNode, cell_index: int) -> None:
        if code[cell_index]:
            options, body = cell_options(cell.source)
            name = options.get("label") or next(iter(body.strip().splitlines()), "empty").strip()
            tell(cell=sum(code[: cell_index + 1]), cells=sum(code), name=name)

    private, config = str(work.kernels_folder(stage)), Config()
    config.KernelManager.connection_file = f"{private}/kernel.json"
    if os.name == "posix" and len(private) < LONGEST_SOCKET:  # no ports, no other users
        config.KernelManager |= {"transport": "ipc", "ip": f"{private}/kernel"}
    places = dict.fromkeys(("IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "TMPDIR"), private)
    with patch.dict(os.environ, KERNEL | places | {"WASTEBOOK_RUN": str(run), work.IN_STAGE: str(stage)}):
        return papermill.execute_notebook(
            source,
            str(written).replace("{", "{{").replace("}", "}}"),  # it takes paths for format strings
            cwd=folder,
            progress_bar=False,
            request_save_on_cell_execute=False,  # but when all are done, or one has failed
            start_timeout=120,  # a kernel's first start, on a slow disk, reads much
            extra_arguments=["--IPKernelApp.log_level=CRITICAL"],  # it complains of ports and interrupts
            coalesce_streams=True,
            shutdown_kernel="immediate",  # all is kept; asked to end, it may trip over its own sockets
            config=config,
            on_cell_start=on_cell_start,
        )


def _spent(notebook: NotebookNode) -> dict[str, float]:
    """Where the seconds of an executed notebook went: to its kernel, the cell that opens it, all others."""
    spent = [cell.metadata.papermill.duration or 0.0 for cell in notebook.cells if cell.cell_type == "code"]
    kernel = notebook.metadata.papermill.duration - sum(spent)
    parts = {"kernel": kernel, "opening": sum(spent[:2]), "work": sum(spent[2:])}  # parameters come first
    return {name: round(seconds, 1) for name, seconds in parts.items()}


def _finish(notebook: NotebookNode, written: Path, log: Path, began: float) -> Record:
    """Write an executed notebook ready for a page: alternative texts where Quarto looks for them, no HTML out
    of names, nothing that changes from run to run; gives the seconds since it `began`, and where they went.
    WastebookError where a figure or table is not there."""
    spent = _spent(notebook)
    _write_log(notebook, log)
    for part in (notebook, *notebook.cells):
        for name in ("papermill", "execution", "widgets"):
            part.metadata.pop(name, None)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            kept = (output for output in cell.outputs if output.get("name") != "stderr")
            cell.outputs = [output for output in kept if WIDGET not in output.get("data", {})]
            if not cell.outputs and cell_options(cell.source)[0].get("optional"):
                cell.source = f"#| include: false\n{cell_options(cell.source)[1]}"
            for output in cell.outputs:
                for shown, name in ((output, "text"), (output.get("data", {}), "text/plain")):
                    if name in shown:
                        shown[name] = ANSI.sub("", shown[name])
                if text := output.get("data", {}).get("text/markdown"):
                    text = CODE_OR_TAG.sub(lambda found: found["code"] or r"\<", text)
                    output.data["text/markdown"] = text
            _write_alternative_texts(cell)
    for problem in check_notebook(notebook):
        raise WastebookError(f"{problem[0].upper()}{problem[1:]}.")
    nbformat.write(notebook, written)
    seconds = round(time.monotonic() - began, 1)
    return {"seconds": seconds, "spent": spent | {"saving": round(seconds - sum(spent.values()), 1)}}


def _write_log(notebook: NotebookNode, log: Path) -> None:
    """Keep what a notebook's cells wrote to stderr, and the tracebacks of those that failed."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    said = [output.text for output in outputs if output.get("name") == "stderr"]
    said += ["\n".join(output.traceback) + "\n" for output in outputs if output.output_type == "error"]
    write_text(log, ANSI.sub("", "".join(said)))


def _write_alternative_texts(cell: NotebookNode) -> None:
    """Copy the texts that come with a cell's pictures into its options; several pictures get a caption each,
    without which Quarto would not tell which is which."""
    pictures = [output.metadata.get("image/png", {}) for output in cell.outputs if "metadata" in output]
    if texts := [picture["alt"] for picture in pictures if "alt" in picture]:
        options, body = cell_options(cell.source)
        options["fig-alt"] = texts[0] if len(texts) == 1 else texts
        if len(texts) > 1:
            options.setdefault("fig-subcap", True)
        # JSON is YAML on one line, whatever quotes and colons the text has.
        lines = [f"#| {name}: {json.dumps(value, ensure_ascii=False)}" for name, value in options.items()]
        cell.source = "\n".join([*lines, body])


def _reason(error: Exception, state: State) -> str:
    """Where a chapter failed and why, in a line or two."""
    from nbclient.exceptions import DeadKernelError
    from papermill.exceptions import PapermillExecutionError

    place = f" in cell {state['cell']} ({state['name']}): " if "cell" in state else " at its start: "
    if isinstance(error, DeadKernelError):
        return f"{place}its kernel died, as when the memory is full. Try smaller parameters or fewer jobs."
    if isinstance(error, PapermillExecutionError):
        value = "\n".join(ANSI.sub("", error.evalue).strip().split("\n")[:2])
        if error.ename == "WastebookError":
            return place + value
        at = AT_LINE.search(ANSI.sub("", "\n".join(error.traceback)))
        return place + (f"line {at[1]}, `{at[2]}`: " if at else "") + f"{error.ename}: {value}"
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return f"{place}no space left. Free some on that disk, or name a run on another with --run."
    return f": {error}" if isinstance(error, WastebookError) else f"{place}{type(error).__name__}: {error}"


def follower(chapter: str) -> Callable[[State], None]:
    """A function that says on stderr where a chapter stands: in a terminal at each cell, else at its ends."""
    clear = "\r\x1b[K" if sys.stderr.isatty() else ""

    def follow(state: State) -> None:
        ended, at = state["state"] != "running", "running"
        if ended:
            at = f"{state['state']} in {state['seconds']:.0f} s"
        elif "cell" in state:
            at = f"cell {state['cell']} of {state['cells']}, {state['name']}"
        if clear or ended or "cell" not in state:  # into a log goes no line per cell
            end = "\n" if ended or not clear else ""
            print(f"{clear}{chapter}: {at}", end=end, file=sys.stderr, flush=True)

    return follow


def main(graph: Path, chapter: str) -> int:
    """What Snakemake calls for a chapter: execute it as the `graph` (its own configuration, JSON) tells; the
    exit code."""
    work.end_with_parent()
    told = json.loads(graph.read_text(encoding="utf-8"))
    run, folder, record = Path(told["run"]), Path(told["folder"]), told["chapters"][chapter]["record"]
    with suppress(WastebookError):  # the state has its message, for the build to say at the end
        notebook = read_chapter(Book(folder.parent), chapter)
        run_chapter(notebook, chapter, record, run, folder, follower(chapter))
        return 0
    return 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2]))
