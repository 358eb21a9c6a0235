"""New photos answered by the models that runs have kept as ONNX: without torch, so the first comes at once.

The terminal, the app and chapter 07 ask the same file in the same way; the site's page asks it in the
browser.
"""

import contextlib
import csv
import json
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import cv2
import numpy as np
import onnxruntime
import requests

from wastebook import paths
from wastebook.errors import WastebookError, did_you_mean
from wastebook.files import atomic_write
from wastebook.photos.decode import PhotoError, is_animated, parallel_map, read_photo, resize
from wastebook.photos.squeeze import squeeze

with contextlib.suppress(ImportError):  # iPhones' photos, where the package is there
    import pillow_heif

    pillow_heif.register_heif_opener()

DEFAULT_CHAPTER = "04-efficientnet"
MOST_BYTES = 50 * 1024**2  # of a photo brought from the web, or uploaded to the app
TIMEOUT = (3.05, 20)  # seconds to connect, and between two pieces of data
MOVING = (".gif", ".png", ".webp")  # suffixes of what may be an animation


class Answer(NamedTuple):
    """What a model says of a photo: `probabilities` (K,) float32, calibrated, `evidence` (K, h, w) float32
    for each class by place in the photo (Grad-CAM; None where the network has no maps), `note` what a reader
    should know. Without `probabilities` the `note` says why there is no answer."""

    photo: str
    probabilities: np.ndarray | None
    evidence: np.ndarray | None = None
    note: str = ""


class Predictor:
    """A model kept as ONNX, opened. `card` has the data it learned from, its scores and its temperature."""

    def __init__(self, file: Path):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1  # a photo a thread: faster than threads that share one
        options.log_severity_level = 3
        options.add_session_config_entry("session.disable_quant_qdq", "1")  # 8-bit weights widened once only
        try:
            self._session = onnxruntime.InferenceSession(
                file.read_bytes(), options, providers=["CPUExecutionProvider"]
            )
            facts = json.loads(self._session.get_modelmeta().custom_metadata_map["wastebook"])
            self.name: str = facts["name"]
            self.task: str = facts["task"]
            self.classes: list[str] = facts["classes"]
            self.spanish: list[str] = facts["spanish"]
            self.bits: int = facts["bits"]
            self.card: dict[str, Any] = facts["card"]
            self.backbone = SimpleNamespace(**facts["weights"])  # `name`, `weights` and the `note` on them
            self.image_size: tuple[int, int] = tuple(facts["image_size"])
            self._resizing: str = facts["resizing"]
        except Exception as error:  # onnxruntime raises kinds of its own
            reason = f"{type(error).__name__}: {str(error)[:100]}"
            raise WastebookError(
                f"{file} is no model of this version of Wastebook ({reason}): train it anew."
            ) from error
        self.file = file
        self.threshold: float = self.card.get("threshold", 0.0)
        self._outputs = [output.name for output in self._session.get_outputs()]

    def ask(self, photo: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """(K,) probabilities and (K, h, w) evidence for a photo, (H, W, 3) uint8 RGB.

        The graph resizes by itself, but rounds a few pixels in a hundred otherwise than training did. What
        comes in its own size it leaves alone: so that is what it gets here.
        """
        small = (resize if self._resizing == "area" else squeeze)(photo, self.image_size)
        found = self._session.run(self._outputs, {"photo": small})
        return found[0][0], found[1][0] if len(found) > 1 else None

    def answer(self, photo: str | Path) -> Answer:
        """The answer to a photo: a file, or an address on the web. Never raises for a photo that is bad."""
        name = str(photo)
        try:
            with _brought(name) as file:
                asked = self.ask(read_photo(file))
                moving = file.suffix.lower() in MOVING and is_animated(file)
                return Answer(name, *asked, "an animation: its first picture" if moving else "")
        except PhotoError as error:
            return Answer(name, None, note=f"{error.problem}: {error.detail}")
        except requests.RequestException as error:
            return Answer(name, None, note=f"could not be brought ({type(error).__name__})")
        except MemoryError:
            return Answer(name, None, note="huge: not enough memory for it")

    def stream(self, photos: Iterable[str | Path]) -> Iterator[Answer]:
        """The answers in the order of the photos, on all cores, in memory that does not grow."""
        return parallel_map(self.answer, photos)

    def about(self) -> str:
        """What a user should know of the model, in a line or two."""
        data = self.card["data"]
        text = (
            f"{self.name}, of {_run_of(self.file)}, learned from {data['photos']:,} photos of {data['name']}."
        )
        if paths.is_drawn(data["name"]):
            text += "\nThey are drawn, not photographed: on photos of real waste its answers mean nothing."
        if self.backbone.weights == "random":
            text += f"\n{self.backbone.name} has random weights: it has never learned to see."
        return text

    def row(self, answer: Answer) -> dict[str, Any]:
        """An answer as a row: `photo, label, confidence, sure` (confidence at or above the threshold),
        `runner_up, runner_up_confidence, note` and `p_<class>` a class; None for what there is not."""
        if answer.probabilities is None:
            nothing = ("label", "confidence", "sure", "runner_up", "runner_up_confidence")
            row = {"photo": answer.photo} | dict.fromkeys(nothing) | {"note": answer.note}
            return row | {f"p_{name}": None for name in self.classes}
        first, second = np.argsort(-answer.probabilities, kind="stable")[:2]
        values = [float(value) for value in answer.probabilities]
        return {
            "photo": answer.photo,
            "label": self.classes[first],
            "confidence": values[first],
            "sure": values[first] >= self.threshold,
            "runner_up": self.classes[second],
            "runner_up_confidence": values[second],
            "note": answer.note,
        } | {f"p_{name}": value for name, value in zip(self.classes, values, strict=True)}


def said(predictor: Predictor, answer: Answer, top: int = 3) -> str:
    """An answer in words: `glass 91 %, plastic 6 %, metal 2 %`, `not sure: ...`, or why there is none."""
    if answer.probabilities is None:
        return answer.note
    order = np.argsort(-answer.probabilities, kind="stable")[:top]
    named = ", ".join(f"{predictor.classes[at]} {100 * answer.probabilities[at]:.0f} %" for at in order)
    doubt = "" if answer.probabilities.max() >= predictor.threshold else "not sure: "
    return f"{doubt}{named}" + (f" ({answer.note})" if answer.note else "")


def overlay(photo: np.ndarray, evidence: np.ndarray) -> np.ndarray:
    """The photo, (H, W, 3) uint8, in grey, with the evidence for one class, (h, w), glowing on it."""
    size = photo.shape[1::-1]
    glow = cv2.resize(evidence / max(float(evidence.max()), 1e-9), size, interpolation=cv2.INTER_CUBIC)
    strength = np.clip(glow, 0, 1)[:, :, None]
    colours = cv2.applyColorMap((255 * strength).astype(np.uint8), cv2.COLORMAP_INFERNO)[:, :, ::-1]
    grey = cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY)[:, :, None]
    return ((1 - 0.65 * strength) * grey + 0.65 * strength * colours).astype(np.uint8)


@contextlib.contextmanager
def write_csv(file: Path | None, predictor: Predictor) -> Iterator[Callable[[Answer], None]]:
    """Gives a function that adds an answer's row to `file`, which is there once all are; does nothing for
    None."""
    if file is None:
        yield lambda answer: None
        return
    with atomic_write(file) as partial, partial.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(predictor.row(Answer("", None))))
        writer.writeheader()
        yield lambda answer: writer.writerow(predictor.row(answer))


def predict(
    photos: str | Path | Iterable[str | Path], run: str | None = None, model: str | None = None
) -> Any:
    """A table with a row a photo (see `Predictor.row`) for files, folders (all photos below) and addresses.

    `run` and `model` as in `find_model`. What cannot be read has its reason in `note`. WastebookError where
    there is no such model, or a folder without photos.
    """
    import pandas as pd

    places = [photos] if isinstance(photos, str | Path) else photos
    predictor = open_model(run, model)
    return pd.DataFrame([predictor.row(answer) for answer in predictor.stream(list_photos(places))])


def open_model(run: str | None = None, model: str | None = None) -> Predictor:
    """The model that `find_model` finds, opened."""
    return Predictor(find_model(run, model))


def find_model(run: str | None = None, model: str | None = None) -> Path:
    """The file of the model `model` of the run `run`; by default of the newest run that has kept one, and
    there chapter 04's, which tells materials apart. WastebookError, with what there is, where it is gone."""
    files = find_models(run)
    kept = {file.stem: file for file in files}
    if model is None:
        whole = [file for file in files if not file.stem.endswith("-int8")]
        return next((file for file in whole if file.parent.name == DEFAULT_CHAPTER), whole[0])
    if model not in kept:
        known = did_you_mean(model, kept)
        raise WastebookError(f"No model is called {model!r} in {_run_of(files[0])}. {known}")
    return kept[model]


def find_models(run: str | None = None) -> list[Path]:
    """The ONNX files that a run has kept, chapter by chapter; of the newest run that has some where None."""
    if run is not None:
        folder = paths.run_folder(run)
        files = sorted(folder.glob("models/*/*.onnx"))
        if not files:
            known = sorted({_run_of(file).name for file in paths.RUNS.glob("*/models/*/*.onnx")})
            gone = "has kept no models" if folder.is_dir() else "is not there"
            way_out = did_you_mean(run, known) if known else "Build one: wastebook build."
            raise WastebookError(f"The run {folder} {gone}. {way_out}")
        return files
    found = list(paths.RUNS.glob("*/models/*/*.onnx"))
    if not found:
        raise WastebookError(f"No run in {paths.RUNS} has kept a model. Build one: wastebook build.")
    newest = _run_of(max(found, key=lambda file: file.stat().st_mtime))
    return sorted(newest.glob("models/*/*.onnx"))


def list_photos(places: Iterable[str | Path]) -> list[str]:
    """Files and addresses as they are, and for each folder the photos below it, sorted. WastebookError for a
    folder without any."""
    photos = []
    for place in map(str, places):
        if _is_address(place) or not Path(place).is_dir():
            photos.append(place)
            continue
        from wastebook.data.copies import is_photo, list_files  # with pandas, which one photo does without

        found = [os.path.join(place, path) for path in list_files(Path(place)) if is_photo(path)]  # noqa: PTH118
        if not found:
            raise WastebookError(f"There is no photo in {place} or below: name a folder that has some.")
        photos += found
    return photos


def _run_of(model: Path) -> Path:
    return model.parents[2]


def _is_address(place: str) -> bool:
    return place.lower().startswith(("http://", "https://"))


@contextlib.contextmanager
def _brought(photo: str) -> Iterator[Path]:
    """The file of a photo; one from the web is brought into a temporary file first."""
    if not _is_address(photo):
        yield Path(photo)
        return
    with (
        requests.get(photo, stream=True, timeout=TIMEOUT) as response,
        tempfile.TemporaryDirectory() as folder,
    ):
        response.raise_for_status()
        file = Path(folder, f"photo{Path(photo.split('?')[0]).suffix[:8]}")
        with file.open("wb") as stream:
            for piece in response.iter_content(1 << 16):
                stream.write(piece)
                if stream.tell() > MOST_BYTES:
                    raise PhotoError(file, "huge", f"it has more than {MOST_BYTES >> 20} MB")
        yield file
