"""New photos: the kept model answers whatever it is given, and is found by its chapter and name."""

import csv
import os
import shlex
import shutil
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import wastebook
from wastebook import cli, paths
from wastebook.answers.predictor import (
    Answer,
    find_model,
    find_models,
    gather,
    list_photos,
    open_model,
    overlay,
)
from wastebook.errors import WastebookError

NAME = "resnet18-64x80-exact"


@pytest.fixture(autouse=True)
def in_runs(kept_runs, monkeypatch):
    monkeypatch.setattr(paths, "RUNS", kept_runs)
    (kept_runs / "empty").mkdir(exist_ok=True)


@pytest.fixture
def files(sample):
    return [sample.root / path for path in sample.photos["path"][::5]]


def test_the_evidence_glows_where_it_is():
    photo = np.full((60, 80, 3), 200, np.uint8)
    lit = overlay(photo, np.array([[0, 0, 0], [0, 0, 3]], np.float32)).astype(int)
    assert lit.shape == photo.shape and np.ptp(lit[:10, :10]) == 0
    assert np.ptp(lit[50, 75]) > 40  # coloured, the rest is grey
    assert (overlay(photo, np.zeros((2, 3), np.float32)) == 200).all()


def test_evidence_is_gathered_where_it_is_strong():
    assert gather(np.ones((3, 3))) == pytest.approx(0.25)  # spread evenly, fields need not be in fours
    assert gather(np.array([[0, 0], [0, 3]])) == 1 and gather(np.zeros((2, 2))) == 0


def test_below_the_threshold_it_is_not_sure(kept_model):
    predictor = open_model()
    assert predictor.threshold == kept_model.card["threshold"]
    at = np.full(6, 0.1, np.float32)
    at[2] = predictor.threshold + 0.01
    assert predictor.describe(Answer("a", at), 1) == f"metal ({100 * at[2]:.0f} %)"
    told = predictor.describe(Answer("a", at), 1, ["", "", "\x1b[2J\n", *[""] * 9])
    assert told == rf"\x1b[2J\n ({100 * at[2]:.0f} %)"
    at[2] = predictor.threshold - 0.01
    told = predictor.describe(Answer("a", at, None, "dark"), 1)
    assert told == f"perhaps metal ({100 * at[2]:.0f} %), cardboard (10 %) (dark)"
    assert predictor.row(Answer("a", at))["sure"] is False


def test_a_table_of_answers(sample, files):
    table = wastebook.predict(sample.root / "glass", run="small")
    assert list(table["photo"]) == sorted(table["photo"])
    assert len(table) == (sample.photos["label"] == "glass").sum()
    columns = [f"p_{name}" for name in sample.classes]
    np.testing.assert_allclose(table[columns].sum(axis=1), 1, atol=1e-5)
    assert (table["confidence"] == table[columns].max(axis=1)).all()
    assert (table["confidence"] >= table["runner_up_confidence"]).all()
    one = wastebook.predict(files[0]).iloc[0]
    assert one["label"] == open_model().classes[open_model().look(files[0])[0].probabilities.argmax()]


@pytest.fixture
def mess(tmp_path, files):
    """A folder with one of each trouble among two good photos."""
    good = files[0].read_bytes()
    (tmp_path / "good.jpg").write_bytes(good)
    (tmp_path / "half.jpg").write_bytes(good[: len(good) // 2])
    (tmp_path / "text.jpg").write_text("no picture")
    (tmp_path / "empty.jpg").write_bytes(b"")
    frames = [Image.new("RGB", (40, 30), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    frames[0].save(tmp_path / "cut.gif")
    whole = (tmp_path / "cut.gif").read_bytes()
    (tmp_path / "cut.gif").write_bytes(
        whole[:-1] + b"!"
    )  # further pictures are looked for, and are not there
    Image.new("1", (20_000, 20_000)).save(tmp_path / "vast.png")
    Image.open(files[0]).convert("RGBA").save(tmp_path / "with alpha.png")
    Image.open(files[0]).save(tmp_path / "web.webp", quality=95)
    (tmp_path / "notes.txt").write_text("not a photo's name")
    return tmp_path


@pytest.mark.fault(
    "damaged photos",
    "predict on a folder: cut, empty, no picture, gone, 400 million pixels, animations, among good ones",
    "each is answered, or told with its reason",
)
def test_what_is_bad_is_said_and_the_rest_is_answered(mess, record_property):
    table = wastebook.predict([mess, mess / "gone.jpg"]).set_index("photo")
    record_property("inputs", len(table))
    table.index = table.index.str.replace(f"{mess}/", "")
    noted = table["note"][table["note"] != ""]
    assert {name: note.split(":")[0] for name, note in noted.items()} == {
        "half.jpg": "truncated",
        "text.jpg": "unreadable",
        "empty.jpg": "empty",
        "moving.gif": "an animation",
        "vast.png": "huge",
        "gone.jpg": "unreadable",
    }
    answered = table[table["label"].notna()]
    assert set(answered.index) == {"good.jpg", "moving.gif", "cut.gif", "with alpha.png", "web.webp"}


@pytest.mark.fault(
    "damaged photos",
    "predict on a folder with links to nowhere and round, a device, a closed folder",
    "what is in the folder and was not read is told",
)
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such files")
def test_what_could_not_be_looked_into_is_told(tmp_path, files, monkeypatch):
    shutil.copy(files[0], tmp_path / "good.jpg")
    (tmp_path / "gone.jpg").symlink_to(tmp_path / "nowhere")
    (tmp_path / "zero.jpg").symlink_to("/dev/zero")
    (tmp_path / "notes.txt").symlink_to(tmp_path / "nowhere")
    (tmp_path / "round").symlink_to(tmp_path)
    scan = os.scandir

    def scandir(place):  # as for who is not root
        if str(place).endswith("closed"):
            raise PermissionError(13, "Permission denied", place)
        return scan(place)

    (tmp_path / "closed").mkdir()
    monkeypatch.setattr(os, "scandir", scandir)
    table = wastebook.predict(tmp_path).set_index("photo")["label"].isna()
    table.index = table.index.str.replace(f"{tmp_path}/", "")
    assert table.to_dict() == {"good.jpg": False, "gone.jpg": True, "zero.jpg": True, "closed": True}


def test_a_phone_photo_on_its_side_gets_the_answer_of_the_upright_one(files, tmp_path):
    upright = Image.open(files[0])
    exif = Image.Exif()
    exif[0x0112] = 6
    upright.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "side.png", exif=exif)
    upright.save(tmp_path / "up.png")
    side, up = (open_model().look(tmp_path / name)[0].probabilities for name in ("side.png", "up.png"))
    assert (side == up).all()


@pytest.mark.parametrize(
    ("run", "name", "message"),
    [
        ("gone", None, r"No model is kept in .*gone: build one \(wastebook build\)\. Known: small"),
        ("empty", None, r"No model is kept in .*empty: build one"),
        ("small", "resnet18-64x80-exakt", "Did you mean resnet18-64x80-exact"),
    ],
)
def test_a_model_that_is_gone(run, name, message):
    with pytest.raises(WastebookError, match=message):
        open_model(run, name)


def test_no_model_at_all_and_a_file_that_is_none(monkeypatch, tmp_path):
    monkeypatch.setattr(paths, "RUNS", tmp_path)
    with pytest.raises(WastebookError, match="wastebook build"):
        open_model()
    (tmp_path / "a" / "models" / "b").mkdir(parents=True)
    (tmp_path / "a" / "models" / "b" / "c.onnx").write_bytes(b"not a model")
    with pytest.raises(WastebookError, match="no model of this version"):
        open_model()
    with pytest.raises(WastebookError, match="There is no photo in"):
        list_photos([tmp_path])
    for unset in ("", " "):
        with pytest.raises(WastebookError, match=f"There is no photo in {unset!r} or below"):
            list_photos([unset])


def test_every_model_that_a_run_has_kept_is_found(tmp_path, kept_runs):
    two = {"04-efficientnet": NAME, "05-xception": "xception-71x71"}
    keys = [(chapter, f"{name}{suffix}") for chapter, name in two.items() for suffix in ("-int8", "")]
    assert list(find_models("small")) == keys
    assert open_model("small").name == NAME
    assert open_model("small", "xception-71x71").classes == ["organic", "recyclable"]
    other = shutil.copytree(kept_runs / "small", tmp_path / "other")
    (other / "models" / "05-xception" / "xception-71x71.onnx").rename(
        other / "models" / "05-xception" / f"{NAME}.onnx"
    )
    assert len(open_model(str(other)).classes) == 6  # two of one name: 04's is still the one by default
    with pytest.raises(WastebookError, match=f"Name 04-efficientnet/{NAME} or 05-xception/{NAME}"):
        open_model(str(other), NAME)
    assert len(open_model(str(other), f"05-xception/{NAME}").classes) == 2


def test_of_several_models_the_one_kept_last_answers(tmp_path, kept_runs):
    folder = shutil.copytree(kept_runs / "small", tmp_path / "lab") / "models" / "04-efficientnet"
    shutil.copy(folder / f"{NAME}.onnx", folder / "efficientnet_b0-64x64.onnx")
    os.utime(folder / f"{NAME}.onnx", (1, 1))
    assert find_model(str(tmp_path / "lab")).stem == "efficientnet_b0-64x64"


@pytest.fixture
def call(monkeypatch, capsys):
    def called(*arguments):
        monkeypatch.setattr("sys.argv", ["wastebook", "predict", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        captured = capsys.readouterr()
        return end.value.code or 0, captured.out.splitlines(), captured.err

    return called


def test_in_the_terminal(call, mess, tmp_path):
    code, lines, told = call(mess / "good.jpg", "--top", "2")
    assert code == 0 and len(lines) == 1 and lines[0].count(" %") == 2
    assert "learned from drawn pictures" in told
    code, lines, _ = call(mess, "--csv", tmp_path / "answers.csv")
    assert code == 1 and len(lines) == 9
    with (tmp_path / "answers.csv").open() as file:
        rows = {row["photo"]: row for row in csv.DictReader(file)}
    assert rows[str(mess / "good.jpg")]["label"] and rows[str(mess / "text.jpg")]["label"] == ""
    before = (mess / "good.jpg").read_bytes()
    code, lines, told = call(mess / "web.webp", "--csv", mess / "good.jpg")  # as a shell has `--csv *.jpg`
    assert code == 1 and len(lines) == 1 and "is called as photos are" in told
    assert (mess / "good.jpg").read_bytes() == before
    code, lines, told = call(mess / "good.jpg", "--run", "gone")
    assert (code, lines) == (1, []) and "No model is kept in" in told


@pytest.mark.fault(
    "disk and places", "answers that are read no further, as by head", "exit code 141, no word"
)
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such shell")
def test_answers_that_are_read_no_further(files, kept_runs):
    photos = " ".join(map(shlex.quote, map(str, files * 40)))
    python, run = shlex.quote(sys.executable), shlex.quote(str(kept_runs / "small"))
    line = f"{python} -m wastebook.cli predict --run {run} {photos}"
    done = subprocess.run(
        ["bash", "-c", f"{line} | head -1; exit ${{PIPESTATUS[0]}}"], capture_output=True, text=True
    )
    assert done.returncode == 141 and len(done.stdout.splitlines()) == 1
    assert "Traceback" not in done.stderr and "terminate" not in done.stderr


def test_answering_brings_in_nothing_heavy():
    check = (
        "import sys, wastebook.answers.predictor; print({'pandas', 'torch', 'nbformat'} & set(sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", check], capture_output=True, text=True).stdout == "set()\n"


NAMES = [
    "two\nlines.jpg",
    "\x1b[31mred\x1b[0m.jpg",
    "\u202egpj.esrever.jpg",
    "塑料瓶 🥤.jpg",
    "\udce9t\udce9.jpg",  # Latin-1 on the disk, which is no UTF-8
    "=cmd|'calc'!A1.jpg",
    "-rf.jpg",
    "<img src=x onerror=alert(1)>.jpg",
    f"{'long' * 62}.jpg",
]


@pytest.mark.fault(
    "hostile names",
    "photos called by line breaks, escape codes, formulas, markup, no UTF-8; answers to a file in cp1252",
    "a line per photo, which no terminal obeys; the table is whole",
)
def test_hostile_names(files, kept_runs, tmp_path, record_property):
    record_property("inputs", len(NAMES))
    for name in NAMES:
        shutil.copy(files[0], tmp_path / name)
    command = [sys.executable, "-m", "wastebook.cli", "predict", "--run", str(kept_runs / "small")]
    done = subprocess.run(
        [*command, "--csv", "answers.csv", "--", *NAMES],
        cwd=tmp_path,
        env=os.environ | {"PYTHONIOENCODING": "cp1252"},
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.decode("cp1252").splitlines()
    assert len(lines) == len(NAMES) and all(line.isprintable() and " %" in line for line in lines)
    table = pd.read_csv(tmp_path / "answers.csv")
    assert len(table) == len(NAMES) and table["label"].notna().all()
    assert "塑料瓶 🥤.jpg" in set(table["photo"]) and table["photo"].map(str.isprintable).all()
