"""The command line: help, exit codes, what it says to people and to machines."""

import json
import os
import shlex
import signal
import subprocess
import sys

import pandas as pd
import pytest
import yaml

from wastebook import cli, edition, paths
from wastebook.book import plan
from wastebook.files import write_text


@pytest.fixture
def call(monkeypatch, capsys):
    """Call the program in this process: exit code, stdout, stderr."""

    def called(*arguments):
        monkeypatch.setattr(sys, "argv", ["wastebook", *arguments])
        with pytest.raises(SystemExit) as end:
            cli.main()
        captured = capsys.readouterr()
        return end.value.code or 0, captured.out, captured.err

    return called


@pytest.mark.parametrize(
    "command",
    [
        *("build", "chapter", "render", "predict", "compare", "runs", "reference", "doctor"),
        *("data", "data list", "data check", "cache clear"),
    ],
)
def test_help(call, command):
    code, stdout, _ = call(*command.split(), "--help")
    assert code == 0 and "Usage" in stdout
    without = ("data", "data list", "doctor", "runs")
    assert "wastebook" in stdout.split("\n", 3)[3] or command in without  # an example


def test_starting_imports_nothing_heavy():
    check = "import sys, wastebook.cli; print({'pandas', 'torch', 'nbformat'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", check], capture_output=True, text=True).stdout == "set()\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("build", "--profile", "fulll"), "Did you mean full?"),
        (("build", "--renderer", "latex"), "latex"),
        (("render", "never-built"), "never-built"),
        (("chapter", "99"), "No chapter is called '99'"),
        (("compare", "never-built"), "'never-built'"),
        (("build", "--from", "pyproject.toml"), "pyproject.toml is not a run's"),
        (("build", "--from", "missing.yml"), "missing.yml is not there"),
        (("build", "--from", "never-built/run.yml"), "run.yml is not there"),
        (("build", "--from", "run.yml", "--profile", "full"), "leave --profile out"),
        (("build", "--run", ""), "A run needs a name"),
        (("build", "--run", " "), "A run needs a name"),
        (("reference", "never-built"), "'never-built'"),
        (("data", "fetch", "trashnets"), "Did you mean trashnet?"),
    ],
)
def test_a_mistake_is_an_error_of_a_line_or_two(call, monkeypatch, tmp_path, arguments, message):
    monkeypatch.setattr(paths, "RUNS", tmp_path)
    code, stdout, stderr = call(*arguments)
    assert (code, stdout) == (2 if {"compare", "--from"} & {*arguments} else 1, "")
    assert message in stderr and len(stderr.strip().split("\n")) <= 2
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("app", "--port", "99999"), "Invalid value for '--port'"),
        (("app", "--port", "-5"), "Invalid value for '--port'"),
        (("predict", "a.jpg", "--csv", "."), "is a directory"),
    ],
)
def test_a_value_that_cannot_be_is_told_before_any_work(call, arguments, message):
    code, stdout, stderr = call(*arguments)
    assert (code, stdout) == (2, "") and message in " ".join(stderr.replace("│", "").split())


def test_a_mistake_as_json(call):
    code, stdout, _ = call("build", "--profile", "fulll", "--json")
    assert code == 1 and "Did you mean full?" in json.loads(stdout)["errors"][0]


def test_no_space_left_is_said_in_a_line(call, monkeypatch):
    def full(*arguments):
        raise OSError(28, "No space left on device", "/runs/sample")

    monkeypatch.setattr(plan, "plan", full)
    code, _, stderr = call("build")
    assert code == 1 and len(stderr.split("\n")) == 2
    assert "No space left on device: '/runs/sample'. Free some" in stderr


def test_room_is_asked_for_only_where_there_is_none(call, monkeypatch):
    def closed(*arguments):
        raise PermissionError(13, "Permission denied", "/runs/sample")

    monkeypatch.setattr(plan, "plan", closed)
    _, _, stderr = call("build")
    assert "Permission denied: '/runs/sample'. Another place is named by" in stderr and "Free" not in stderr


@pytest.mark.fault(
    "disk and places", "an output that is closed, full, or read no further", "a true exit code"
)
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such shell")
@pytest.mark.parametrize("buffered", ["", "1"])
@pytest.mark.parametrize(
    ("to", "code", "told"),
    [("| true", 141, ""), ("> /dev/full", 1, "No space left on device"), (">&-", 0, ""), (">&- 2>&-", 0, "")],
)
def test_an_output_that_takes_nothing(to, code, told, buffered):
    python = shlex.quote(sys.executable)
    line = f"{python} -m wastebook.cli data sample --photos 20 {to}; exit ${{PIPESTATUS[0]}}"
    environment = os.environ | {"PYTHONUNBUFFERED": buffered}
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, env=environment)
    assert done.returncode == code and told in done.stderr and len(done.stderr.splitlines()) == bool(told)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows keeps the folder")
def test_a_working_directory_that_is_gone(tmp_path):
    python = shlex.quote(sys.executable)
    line = f"cd {tmp_path} && rmdir {tmp_path} && {python} -m wastebook.cli data sample --photos 20"
    assert subprocess.run(["bash", "-c", line], capture_output=True).returncode == 0


def test_of_long_tables_the_first_rows_are_told(capsys):
    rows = [{"pair": f"photo {number}"} for number in range(250)]
    cli._tell(rows, False, rows)
    stdout = capsys.readouterr().out
    assert (
        "photo 99" in stdout
        and "photo 100" not in stdout
        and stdout.endswith("The first 100 of 250: --json has all.\n")
    )
    cli._tell(rows, True, rows)
    assert json.loads(capsys.readouterr().out) == rows


@pytest.mark.fault(
    "disk and places", "a cache or a run where nothing can be written", "a line names it, and the way out"
)
@pytest.mark.parametrize("place", ["a file", "below a file/more"])
@pytest.mark.parametrize("command", ["data check", "build --chapter exploration --run"])
def test_a_place_that_cannot_be_written_to(call, monkeypatch, tmp_path, sample, command, place):
    for name in ("a file", "below a file"):
        (tmp_path / name).touch()
    if command == "data check":
        monkeypatch.setenv("WASTEBOOK_CACHE", str(tmp_path / place))
        given = ["data", "check", str(sample.root)]
    else:
        given = [*command.split(), str(tmp_path / place)]
    code, _, stderr = call(*given)
    assert code in (1, 2) and len(stderr.strip().split("\n")) == 1
    assert str(tmp_path / place) in stderr and "WASTEBOOK_CACHE" in stderr and "--run" in stderr
    assert (tmp_path / "a file").read_bytes() == b""


@pytest.mark.fault(
    "disk and places", "a run in the book's own folder, or around it", "refused; the book stays"
)
@pytest.mark.parametrize("place", [".", "..", "/"])
@pytest.mark.parametrize("command", ["build --run {}", "render {}", "chapter 01 --run {}"])
def test_a_run_has_a_folder_of_its_own(call, monkeypatch, place, command):
    monkeypatch.chdir(paths.PROJECT)
    code, _, stderr = call(*command.format(place).split())
    assert code == 1 and "holds the book itself: a run needs a folder of its own" in stderr


@pytest.mark.fault("disk and places", "output in an encoding that lacks a name's letters", "nothing is lost")
@pytest.mark.parametrize("encoding", ["cp1252", "ascii"])
def test_a_name_outside_the_encoding(tmp_path, encoding):
    code = (
        "import sys; from wastebook import cli; cli.commands = lambda: print('瓶 🥤', file=sys.stderr);"
        "cli.main(); print('瓶'); print('whole')"
    )
    environment = os.environ | {"PYTHONIOENCODING": encoding}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, env=environment)
    assert done.returncode == 0 and done.stdout.split() == [rb"\u74f6", b"whole"]


def test_an_interruption_says_how_to_go_on(call, monkeypatch):
    def interrupted(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(plan, "plan", interrupted)
    code, _, stderr = call("build")
    assert code == 130 and "the same command carries on from here" in stderr


def test_data_list(call):
    code, stdout, _ = call("data", "list", "--json")
    sets = {entry["name"]: entry for entry in json.loads(stdout)}
    names = {"sample", "sample-binary", "sample-elsewhere", "trashnet", "waste-classification", "household"}
    assert code == 0 and set(sets) == names | {"realwaste"}
    assert sets["realwaste"]["where"].startswith("https://")  # the reader's own download
    assert sets["sample"]["where"] == "drawn when needed"
    assert call("data", "list")[0] == 0


def test_data_sample(call, tmp_path):
    code, stdout, _ = call("data", "sample", "--photos", "90", "--near-duplicates", "4")
    assert code == 0
    code, stdout, _ = call("data", "check", stdout.strip(), "--json")
    assert (
        code == 1
        and "pairs of copies in two classes, one of each wrongly: 2" in json.loads(stdout)["remarks"][0]
    )
    assert call("data", "sample", "trashnet")[0] == 2


def test_cache(call, tmp_path, monkeypatch):
    monkeypatch.setenv("WASTEBOOK_CACHE", str(tmp_path))
    (tmp_path / "features").mkdir()
    (tmp_path / "features" / "a.npz").write_bytes(bytes(3 << 20))
    _, stdout, _ = call("cache", "list")
    assert stdout.split() == ["kind", "megabytes", "features", "3", "In", str(tmp_path)]
    assert call("cache", "clear", "--keep", "1")[1] == "0 MB are free again.\n"
    assert call("cache", "clear", "feature")[0] == 1
    for wrong in ("inf", "nan", "-1"):
        assert call("cache", "clear", "--keep", wrong)[:2] == (2, "")
    assert call("cache", "clear", "features")[1] == "3 MB are free again.\n"
    assert not list((tmp_path / "features").glob("*.npz"))


def test_doctor(call, monkeypatch):
    from wastebook.data.datasets import describe_datasets

    sets = describe_datasets().assign(at_hand=75)  # photos: the place is told once, not so many times
    monkeypatch.setattr("wastebook.data.datasets.describe_datasets", lambda: sets)
    code, stdout, _ = call("doctor", "--json")
    outcome = json.loads(stdout)
    assert code == 0 and outcome["ready"]
    found = {row["what"]: row["found"] for row in outcome["found"]}
    assert {"packages", "accelerator", "renderer", "weights"} <= found.keys()
    assert all(
        found[f"data: {name}"] == where for name, where in zip(sets["name"], sets["where"], strict=True)
    )

    monkeypatch.setattr(edition, "versions", lambda names: {"papermill": "missing"})
    code, stdout, _ = call("doctor")
    assert code == 1 and "pip install papermill" in stdout


def test_unexpected_errors_are_not_hidden(monkeypatch):
    monkeypatch.setattr(cli, "commands", lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        cli.main()


def test_chapter_takes_the_parameters_of_its_run(call, monkeypatch, tmp_path):
    monkeypatch.setattr(paths, "RUNS", tmp_path)
    known = {"dataset": plan.Parameter(str, "sample"), "count": plan.Parameter(int, 1)}
    monkeypatch.setattr(plan, "parameters_of", lambda notebook: known)
    ran = []
    monkeypatch.setattr(
        "wastebook.book.build.run_chapter",
        lambda *arguments: ran.append((arguments[1], arguments[2]["parameters"], arguments[3])),
    )
    monkeypatch.setattr(edition, "BOOK", edition.BOOK._replace(prepare=lambda parameters: ({}, {})))
    record = {"parameters": {"01-exploration": {"count": 7, "gone": 1}}}
    write_text(tmp_path / "mine" / "run.yml", yaml.safe_dump(record))

    assert call("chapter", "01", "--run", "mine", "-p", "dataset=sample-binary")[0] == 0
    assert ran == [("01-exploration", {"dataset": "sample-binary", "count": 7}, tmp_path / "mine")]
    assert paths.read_record(tmp_path / "mine")["parameters"]["01-exploration"] == ran[0][1]

    code, _, stderr = call("chapter", "01", "-p", "count")
    assert code == 1 and "expected name=value" in stderr


def test_data_check_of_ones_own_photos(call, tmp_path, sample):
    for number, path in enumerate(sample.photos["path"][:2]):
        folder = tmp_path / "photos" / f"<b>café {number}"
        folder.mkdir(parents=True)
        for copy in ("a.jpg", "b.jpg"):
            (folder / copy).write_bytes((sample.root / path).read_bytes())
    code, stdout, _ = call("data", "check", str(tmp_path / "photos"), "--json")
    outcome = json.loads(stdout)
    assert code == 1 and outcome["photos"] == {"<b>café 0": 2, "<b>café 1": 2}
    assert {pair["kind"] for pair in outcome["duplicates"]} == {"exact"}
    assert outcome["remarks"] == [
        "too few photos of different things for train, validation and test: <b>café 0, <b>café 1; add some"
    ]
    code, stdout, _ = call("data", "check", str(tmp_path / "photos"))
    assert code == 1 and "<b>café 1/b.jpg" in stdout and "a folder per class" in stdout


@pytest.mark.fault(
    "disk and places", "JSON where colours are forced and the encoding is cp1252", "JSON all the same"
)
def test_json_is_json_anywhere(tmp_path, sample):
    for name, path in zip(("🗑️", "缶"), sample.photos["path"], strict=False):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.jpg").write_bytes((sample.root / path).read_bytes())
    line = [sys.executable, "-m", "wastebook.cli", "data", "check", str(tmp_path), "--json"]
    odd = os.environ | {"FORCE_COLOR": "1", "PYTHONIOENCODING": "cp1252"}
    told = subprocess.run(line, capture_output=True, env=odd).stdout
    assert json.loads(told)["photos"] == {"🗑️": 1, "缶": 1}


@pytest.mark.fault(
    "hostile names",
    "classes called by line breaks, escape codes, markup or from right to left, in a terminal",
    "a line is a line, which no terminal obeys",
)
def test_a_terminal_obeys_no_class(call, tmp_path, sample, record_property):
    names = ["a\nb", "\x1b[2J", "[red]c", "زجاج \u202ed", "\r"]
    record_property("inputs", len(names))
    for name, path in zip(names, sample.photos["path"], strict=False):
        (folder := tmp_path / "photos" / name).mkdir(parents=True)
        for copy in ("a.jpg", "b.jpg"):
            (folder / copy).write_bytes((sample.root / path).read_bytes())
    _, stdout, stderr = call("data", "check", str(tmp_path / "photos"))
    assert all(line.isprintable() for line in (stdout + stderr).split("\n"))
    assert all(name in stdout for name in (r"a\nb", r"\x1b[2J", "[red]c", r"زجاج \u202ed", r"\r"))


@pytest.mark.fault(
    "own folders", "data check of a folder without classes, or without readable photos", "exit code 2, a line"
)
@pytest.mark.parametrize("names", [["a.jpg"], ["can/a.jpg", "jar/b.jpg"]])
def test_data_check_of_what_cannot_be_used(call, tmp_path, names):
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("<html>")
    code, stdout, stderr = call("data", "check", str(tmp_path), "--json")
    assert code == 2 and len(json.loads(stdout)["errors"]) == 1 and "Traceback" not in stderr


def test_compare_says_what_differs(call, monkeypatch, tmp_path):
    monkeypatch.setattr(paths, "RUNS", tmp_path)
    columns = ["dataset", "model", "network", "image_size", "transform", "head", "scheme", "split", "metric"]
    columns += ["value", "low", "high"]
    for name, value in (("one", 0.9), ("two", 0.7), ("three", 0.89)):
        folder = tmp_path / name / "results" / "02-baseline"
        folder.mkdir(parents=True)
        model = ("resnet18", "resnet18", "64", "none", "recipe")
        row = ("sample", *model, "grouped", "test", "accuracy", value, value - 0.02, value + 0.02)
        pd.DataFrame([row], columns=columns).to_parquet(folder / "scores.parquet")
    code, stdout, _ = call("compare", "one", "two")
    assert code == 1 and "1 of 1 shared scores differ" in stdout and "0.700" in stdout
    assert "0.890" in call("compare", "one", "two", "three")[1]
    assert call("compare", "one", "three")[0] == 0
    code, stdout, _ = call("compare", "one", "two", "--json")
    assert code == 1 and json.loads(stdout)["differ"][0]["model"] == "resnet18"
    assert call("compare", "one", "four")[0] == 2


def test_places_in_the_environment_are_made_absolute(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WASTEBOOK_DATA", os.pathsep.join(["photos", str(tmp_path / "more")]))
    monkeypatch.setenv("WASTEBOOK_CACHE", "kept")
    monkeypatch.delenv("WASTEBOOK_WEIGHTS", raising=False)
    paths.make_absolute()
    assert os.environ["WASTEBOOK_DATA"] == os.pathsep.join([str(tmp_path / "photos"), str(tmp_path / "more")])
    assert os.environ["WASTEBOOK_CACHE"] == str(tmp_path / "kept")
    assert "WASTEBOOK_WEIGHTS" not in os.environ


def test_what_no_terminal_can_close_goes_on(call):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        assert call("--help")[0] == 0
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.fault(
    "kills", "a closed terminal or SIGTERM", "the program ends in order, its exit code is true"
)
@pytest.mark.parametrize("name", ["SIGHUP", "SIGTERM"])
def test_a_signal_ends_in_order(name):
    code = (
        "import os, signal, time\n"
        f"signal.signal(signal.{name}, signal.SIG_DFL)\n"  # whatever started the tests may ignore it
        "from wastebook import cli\ndef work():\n    try:\n"
        f"        os.kill(os.getpid(), signal.{name})\n        time.sleep(9)\n    finally:\n"
        "        print('cleared')\ncli.commands = work\ncli.main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "cleared\n" and done.returncode == 128 + getattr(signal, name)
