"""The app, in Streamlit's own harness: the terminal's answers, in two languages, whatever is uploaded."""

import re
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from wastebook import paths
from wastebook.answers.predictor import open_model

APP = Path(paths.__file__).with_name("app.py")


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
    probabilities = predictor.answer(file).probabilities
    expected = {name: float(share) for name, share in zip(predictor.classes, probabilities, strict=True)}
    assert bars(app) == {name: int(f"{100 * share:.0f}") for name, share in expected.items()}
    best = max(expected, key=expected.get)
    assert app.subheader[0].value.endswith(f"{best} · {100 * expected[best]:.0f} %")
    assert app.subheader[0].value.startswith("not sure") == (expected[best] < predictor.threshold)
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
    assert not started.exception and "is not there" in started.error[0].value
