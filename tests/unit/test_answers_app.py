"""The app, in Streamlit's own harness: the terminal's answers, in two languages, whatever is uploaded."""

import io
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import tomllib
from importlib import metadata
from pathlib import Path

import psutil
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from PIL import Image
from streamlit.testing.v1 import AppTest

from wastebook import paths
from wastebook.answers.predictor import open_model
from wastebook.files import as_written

APP = Path(paths.__file__).parent / "answers" / "app.py"


@pytest.fixture
def app(kept_runs, monkeypatch):
    monkeypatch.setenv("WASTEBOOK_APP_RUN", str(kept_runs / "small"))
    started = AppTest.from_file(APP, default_timeout=60).run()
    assert not started.exception
    return started


@pytest.fixture
def file(sample):
    return sample.root / sample.photos["path"][7]


def bars(app):
    """Each class with its percentage, as the bars say."""
    texts = [element.proto.text for element in app.get("progress")]
    return {
        name: int(share) for name, share in (re.fullmatch(r"(.+) · (\d+) %", text).groups() for text in texts)
    }


def test_it_says_what_the_terminal_says(app, file, kept_runs):
    app.file_uploader[0].upload(file.name, file.read_bytes(), "image/jpeg").run()
    predictor = open_model(str(kept_runs / "small"))
    probabilities = predictor.look(file)[0].probabilities
    expected = {name: float(share) for name, share in zip(predictor.classes, probabilities, strict=True)}
    assert bars(app) == {name: int(f"{100 * share:.0f}") for name, share in expected.items()}
    assert app.subheader[0].value == predictor.describe(predictor.look(file)[0], 1)
    assert len(app.image) == 1 and "Grad-CAM" in app.image[0].captions[0]
    app.toggle[1].set_value(False).run()
    assert app.image[0].captions == [file.name]


def test_the_other_question_in_the_other_language(app, file):
    app.segmented_control[0].set_value("Español").run()
    assert app.title[0].value == "¿De qué es esto?"
    assert app.radio[0].options == ["¿Qué material es?", "¿Orgánico o reciclable?"]
    app.radio[0].set_value(1).run()
    app.file_uploader[0].upload(file.name, file.read_bytes(), "image/jpeg").run()
    assert set(bars(app)) == {"orgánico", "reciclable"} and sum(bars(app).values()) in (99, 100, 101)
    assert not app.exception


@pytest.mark.parametrize("name", ["![x](http://a.b/c).jpg", "*a* `b` <b>c</b> $d$ :red[e].jpg", "# a.jpg"])
@pytest.mark.fault("hostile names", "a photo called as Markdown, in the app", "shown as it is written")
def test_what_a_photo_is_called_is_text(app, file, name):
    app.file_uploader[0].upload(name, b"none", "image/jpeg")
    app.file_uploader[0].upload(name, file.read_bytes(), "image/jpeg").run()
    app.toggle[1].set_value(False).run()
    told = [app.error[0].value, *app.image[0].captions]
    assert len(told) == 2 and all(text.startswith(as_written(name)) for text in told)


def test_bad_photos_are_said_and_the_others_answered(app, file):
    good = file.read_bytes()
    for name, content in (("half.jpg", good[: len(good) // 2]), ("text.png", b"none"), ("good.jpg", good)):
        app.file_uploader[0].upload(name, content, "image/jpeg")
    app.run()
    assert not app.exception and len(app.subheader) == 1
    told = [error.value for error in app.error]
    assert len(told) == 2 and "half.jpg: cannot be read (truncated" in told[0] and "text.png" in told[1]


def test_a_photo_by_the_camera(app, file):
    app.toggle[0].set_value(True).run()
    app.camera_input[0].upload(file.name, file.read_bytes(), "image/jpeg").run()
    assert not app.exception and len(app.subheader) == 1


def test_a_run_that_is_gone(monkeypatch, tmp_path):
    monkeypatch.setenv("WASTEBOOK_APP_RUN", str(tmp_path / "gone"))
    started = AppTest.from_file(APP, default_timeout=60).run()
    assert "No model is kept in" in started.error[0].value
    assert started.exception  # what the health check sees; the page says no more than the line above


def test_a_photo_is_answered_once(app, file, monkeypatch):
    app.file_uploader[0].upload(file.name, file.read_bytes(), "image/jpeg").run()
    monkeypatch.setattr("wastebook.answers.predictor.Predictor.look", None)  # not asked again
    app.toggle[1].set_value(False).run()
    assert not app.exception and len(app.subheader) == 1


@pytest.mark.fault(
    "app",
    "a picture of 48 million pixels in 6 KB, a name full of markup, more photos than are answered",
    "a line says what is left out, the others are answered",
)
def test_bounds(app, file, tmp_path, record_property):
    good, picture = file.read_bytes(), io.BytesIO()
    Image.new("1", (8000, 6000)).save(picture, "PNG")
    odd = ["vast.png", "<b>x</b> $a$ :red[b].jpg"]
    for name in [*odd, *(f"{number}.jpg" for number in range(20))]:
        content = picture.getvalue() if name == "vast.png" else good
        app.file_uploader[0].upload(name, content, "image/jpeg")
    app.run()
    record_property("inputs", len(odd) + 20)
    assert not app.exception and len(app.subheader) == 19
    assert [error.value for error in app.error] == [
        "vast.png: cannot be read (huge: it has more than 40 million pixels)"
    ]
    assert app.info[0].value == "Only the first 20 photos are answered."


def test_nothing_is_kept(app, file, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    before = set(paths.PROJECT.rglob("*"))
    app.file_uploader[0].upload(file.name, file.read_bytes(), "image/jpeg").run()
    assert not app.exception and not list(tmp_path.iterdir())
    assert {path for path in paths.PROJECT.rglob("*") if path.suffix in (".jpg", ".png")} <= before


@pytest.mark.fault(
    "app",
    "a model cut in half, and a run that is taken away, while the app runs",
    "the container's health check fails; before that it holds, and the app listens on this machine alone",
)
def test_the_health_check_fails_when_nothing_can_be_answered(kept_runs, tmp_path, record_property):
    record_property("inputs", 2)
    run = shutil.copytree(kept_runs / "small", tmp_path / "run")
    dockerfile = (paths.PROJECT / "Dockerfile").read_text(encoding="utf-8")
    check = re.search(r"^HEALTHCHECK .*CMD (.+)$", dockerfile, re.MULTILINE)[1]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        environment = os.environ | {"PORT": str(free.getsockname()[1])}
    command = [sys.executable, "-m", "wastebook.cli", "app", "--run", str(run)]
    app = psutil.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def healthy():
        return subprocess.run(["sh", "-c", check], env=environment, capture_output=True).returncode == 0

    try:
        started = time.monotonic()
        while not healthy() and time.monotonic() - started < 60:
            time.sleep(0.5)
        assert healthy()
        family = [app, *app.children(recursive=True)]
        places = {
            each.laddr.ip for one in family for each in one.net_connections() if each.status == "LISTEN"
        }
        assert places <= {"127.0.0.1", "::1"} and places
        (model,) = [file for file in run.glob("models/04*/*.onnx") if not file.stem.endswith("-int8")]
        whole = model.read_bytes()
        model.write_bytes(whole[: len(whole) // 2])
        assert not healthy()
        model.write_bytes(whole)
        assert healthy()
        shutil.rmtree(run)
        assert not healthy()
    finally:
        app.terminate()
        app.wait()


IN_CONTAINER = """
import importlib.machinery, sys
allowed = set(sys.argv[1].split(","))

class Container(importlib.machinery.PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        found = super().find_spec(name, path, target)
        top = name.partition(".")[0]
        outside = found and "site-packages" in str(found.origin or found.submodule_search_locations)
        if outside and top not in allowed:
            raise ModuleNotFoundError(f"{top} is not in the container")
        return found

sys.meta_path[:] = [f for f in sys.meta_path if f is not importlib.machinery.PathFinder] + [Container]
import wastebook.cli
from wastebook.answers.predictor import list_photos, open_model
model, photo = open_model(sys.argv[2]), list_photos([sys.argv[3]])[0]
print(model.describe(model.look(photo)[0]))
from streamlit.testing.v1 import AppTest
app = AppTest.from_file(sys.argv[4], default_timeout=60).run()
app.file_uploader[0].upload("photo.jpg", open(photo, "rb").read(), "image/jpeg").run()
assert not app.exception and not app.error, (app.exception, app.error)
print(app.subheader[0].value)
"""


def in_container(requirements):
    """The modules of the packages that these requirements bring along, and the library's own."""
    waiting, names = [Requirement(text) for text in requirements], {"wastebook"}
    while waiting:
        name = canonicalize_name(waiting.pop().name)
        if name not in names:
            names.add(name)
            needed = map(Requirement, metadata.requires(name) or [])
            waiting += [each for each in needed if not each.marker or each.marker.evaluate({"extra": ""})]
    modules = metadata.packages_distributions().items()
    return [module for module, packages in modules if names & set(map(canonicalize_name, packages))]


@pytest.mark.fault(
    "app",
    "the container's list of packages, whole and with one left out",
    "the app and predict answer a photo with nothing but the list, and its gap is found",
)
@pytest.mark.parametrize("absent", ["nothing", "ruamel.yaml"])
def test_the_container_holds_all_that_the_app_imports(absent, kept_runs, sample):
    """Photos are asked about with nothing but what the Dockerfile installs and what that brings along."""
    project = tomllib.loads((paths.PROJECT / "pyproject.toml").read_text(encoding="utf-8"))
    listed = [name for name in project["dependency-groups"]["app"] if name != absent]
    run, modules = str(kept_runs / "small"), ",".join(in_container(listed))
    asked = [sys.executable, "-c", IN_CONTAINER, modules, run, str(sample.root / "glass"), str(APP)]
    environment = os.environ | {"WASTEBOOK_APP_RUN": run}
    done = subprocess.run(asked, capture_output=True, text=True, env=environment)
    if absent == "nothing":
        assert done.returncode == 0, done.stderr[-2000:]
        assert done.stdout.count(" %") >= 2
    else:
        assert "ruamel is not in the container" in done.stderr
