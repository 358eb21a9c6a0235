"""New photos answered by the models that runs have kept as ONNX: without torch, so the first comes at once.

The terminal, the app and a notebook ask the same file in the same way; the site's page asks it in the
browser.
"""

import json
import mimetypes
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple

import cv2
import numpy as np
import onnxruntime

from wastebook import paths
from wastebook.answers.web import WEB, bring
from wastebook.errors import WastebookError, did_you_mean
from wastebook.files import as_cell, as_line, atomic_write
from wastebook.photos import decode
from wastebook.photos.decode import PhotoError

if TYPE_CHECKING:  # slow to import, and wanted for tables alone
    import pandas as pd

DEFAULT_CHAPTER = "04-efficientnet"
DRAWN = "This model learned from drawn pictures: on photos of real waste its answers mean nothing."
MOST_PIXELS = 40_000_000  # of a photo of somebody else's: a small file may hold gigabytes of them


class Answer(NamedTuple):
    """What a model says of a photo: `probabilities` (K,) float32, calibrated, `evidence` (K, h, w) float32
    for each class by place in the photo (Grad-CAM; None where the network has no maps), `note` what a reader
    should know. Without `probabilities` the `note` says why there is no answer."""

    photo: str
    probabilities: np.ndarray | None
    evidence: np.ndarray | None = None
    note: str = ""


class Predictor:
    """A model kept as ONNX, opened. `facts` is all that `wastebook.learning.export` says of it, among that
    the `backbone` (`name, weights, sha256, note`) and the `card`: the data it learned from, its scores,
    temperature and threshold."""

    def __init__(self, file: Path):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1  # a photo a thread: faster than threads that share one
        options.log_severity_level = 3
        options.add_session_config_entry("session.disable_quant_qdq", "1")  # 8-bit weights widened once only
        try:
            content, on = file.read_bytes(), ["CPUExecutionProvider"]
            self._session = onnxruntime.InferenceSession(content, options, providers=on)
            self.facts = json.loads(self._session.get_modelmeta().custom_metadata_map["wastebook"])
            self.name, self.network = self.facts["name"], self.facts["network"]
            self.classes, self.card = self.facts["classes"], self.facts["card"]
            self.image_size: tuple[int, int] = tuple(self.facts["image_size"])
            self.backbone = SimpleNamespace(**self.facts["weights"])
        except Exception as error:  # onnxruntime raises kinds of its own
            reason = f"{type(error).__name__}: {str(error)[:100]}"
            message = f"{file} is no model of this version of Wastebook ({reason}): train it anew."
            raise WastebookError(message) from error
        self.file = file
        self.threshold: float = self.card.get("threshold", 0.0)
        self.drawn: bool = self.card["data"].get("drawn", False)

    def ask(self, photo: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """(K,) probabilities and (K, h, w) evidence for a photo, (H, W, 3) uint8 RGB.

        The graph resizes by itself, but rounds a few pixels in a hundred otherwise than training did. What
        comes in its own size it leaves alone: so that is what it gets here.
        """
        small = decode.resize_antialiased(photo, self.image_size)
        probabilities, *evidence = self._session.run(None, {"photo": small})
        return probabilities[0], evidence[0][0] if evidence else None

    def look(self, photo: str | Path, content: bytes | None = None) -> tuple[Answer, np.ndarray | None]:
        """The answer to a photo (a file, an address on the web, or the `content` of what is called so) and
        its pixels; None for one that is bad, of which the answer says why."""
        name, shown = str(photo), as_line(photo)
        try:
            content = bring(name) if content is None and name.lower().startswith(WEB) else content
            most = decode.LARGEST if content is None else MOST_PIXELS
            pixels = decode.read_photo(Path(photo), most, content)
            note = "an animation: its first picture" if decode.is_animated(Path(photo), content) else ""
            return Answer(shown, *self.ask(pixels), note), pixels
        except PhotoError as error:
            note = f"{error.problem}: {error.detail}"
        except MemoryError:
            note = "huge: not enough memory for it"
        return Answer(shown, None, note=note), None

    def stream(self, photos: Iterable[str | Path]) -> Iterator[Answer]:
        """The answers in the order of the photos, on all cores, in memory that does not grow."""
        return decode.parallel_map(lambda photo: self.look(photo)[0], photos)

    def about(self) -> str:
        """What a user should know of the model, in a line or two."""
        run, data = self.file.parents[2], self.card["data"]
        lines = [f"{self.name}, of {run}, learned from {data['photos']:,} photos of {as_line(data['name'])}."]
        lines += [DRAWN] if self.drawn else []
        if self.backbone.weights == "random":
            lines += [f"{self.network} has random weights: it has never learned to see."]
        return "\n".join(lines)

    def row(self, answer: Answer) -> dict[str, Any]:
        """An answer as a row: `photo, label, confidence, sure` (confidence at or above the threshold),
        `runner_up, runner_up_confidence, note` and `p_<class>` per class; None for what there is not."""
        row = dict.fromkeys(("photo", "label", "confidence", "sure", "runner_up", "runner_up_confidence"))
        row |= {"note": answer.note} | {f"p_{name}": None for name in self.classes} | {"photo": answer.photo}
        if answer.probabilities is not None:
            shares = dict(zip(self.classes, map(float, answer.probabilities), strict=True))
            first, second = sorted(shares, key=lambda name: -shares[name])[:2]
            row |= {"label": first, "confidence": shares[first], "sure": shares[first] >= self.threshold}
            row |= {"runner_up": second, "runner_up_confidence": shares[second]}
            row |= {f"p_{name}": share for name, share in shares.items()}
        return row

    def describe(
        self, answer: Answer, top: int = 3, names: Sequence[str] = (), perhaps: str = "perhaps"
    ) -> str:
        """An answer in words, with so many classes: `glass (91 %)`; below the threshold with two at least,
        `perhaps glass (29 %), paper (24 %)` (the page "Try it" has the same rule); or why there is none."""
        if answer.probabilities is None:
            return answer.note
        sure, names = answer.probabilities.max() >= self.threshold, names or self.classes
        order = np.argsort(-answer.probabilities, kind="stable")[: top if sure else max(top, 2)]
        named = ", ".join(f"{as_line(names[at])} ({100 * answer.probabilities[at]:.0f} %)" for at in order)
        return ("" if sure else f"{perhaps} ") + named + (f" ({answer.note})" if answer.note else "")


def overlay(photo: np.ndarray, evidence: np.ndarray) -> np.ndarray:
    """The photo, (H, W, 3) uint8, in grey, with the evidence for one class, (h, w), glowing on it."""
    size = photo.shape[1::-1]
    glow = cv2.resize(evidence / max(float(evidence.max()), 1e-9), size, interpolation=cv2.INTER_CUBIC)
    strength = np.clip(glow, 0, 1)[:, :, None]
    colours = cv2.applyColorMap((255 * strength).astype(np.uint8), cv2.COLORMAP_INFERNO)[:, :, ::-1]
    grey = cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY)[:, :, None]
    return ((1 - 0.65 * strength) * grey + 0.65 * strength * colours).astype(np.uint8)


def gather(evidence: np.ndarray, share: float = 0.25) -> float:
    """How much of the evidence for a class, (h, w), lies in that share of its fields, the brightest (0-1)."""
    sums = np.cumsum([0, *np.sort(evidence.ravel())[::-1]])
    return float(np.interp(share * evidence.size, range(len(sums)), sums) / max(sums[-1], 1e-9))


def write_csv(file: Path, rows: list[dict[str, Any]]) -> None:
    """Write rows of answers to `file`, whole or not at all; WastebookError where photos are called so."""
    import pandas as pd

    if str(mimetypes.guess_type(file.name)[0]).startswith("image/"):
        raise WastebookError(f"{file} is called as photos are: name a table, as in --csv answers.csv.")
    with atomic_write(file) as partial:
        pd.DataFrame(rows).rename(columns=as_cell).map(as_cell).to_csv(partial, index=False)


def predict(
    photos: str | Path | Iterable[str | Path], run: str | None = None, model: str | None = None
) -> "pd.DataFrame":
    """What a model that a run has kept says of photos.

    Parameters
    ----------
    photos : files, folders (all photos below) and addresses on the web, one or several
    run : a name under `runs/`, or the path of a run; the newest that has kept a model where None
    model : a name such as `efficientnet_b0-288x384-exact`, with `<chapter>/` before it where two chapters
        have kept one of that name; chapter 04's where None

    Returns
    -------
    A row per photo: `photo, label, confidence` (0-1), `sure` (whether that reaches the model's threshold),
    `runner_up, runner_up_confidence, note` (why there is no answer) and `p_<class>` per class.

    Raises
    ------
    WastebookError where there is no such model, or a folder without photos.

    Examples
    --------
    >>> predict("bottle.jpg", run="full")[["label", "confidence"]]  # doctest: +SKIP
    """
    import pandas as pd

    listed = list_photos([photos] if isinstance(photos, str | Path) else photos)
    predictor = open_model(run, model)
    return pd.DataFrame([predictor.row(answer) for answer in predictor.stream(listed)])


def open_model(run: str | None = None, model: str | None = None) -> Predictor:
    """The model that `find_model` finds, opened."""
    return Predictor(find_model(run, model))


def find_model(run: str | None = None, model: str | None = None) -> Path:
    """The file of a model, called `model` or `<chapter>/<model>`, of a run; by default of the newest run that
    has kept one, and there the one that chapter 04, which tells materials apart, kept last. WastebookError,
    with what there is, where it is gone, or two chapters have one of that name."""
    files = find_models(run)
    if model is None:
        whole = [file for file in files.values() if not file.stem.endswith("-int8")]
        materials = [file for file in whole if file.parent.name == DEFAULT_CHAPTER]
        return max(materials or whole, key=lambda file: file.stat().st_mtime)
    found = [key for key in files if model in (key[1], "/".join(key))]
    if not found:
        known = did_you_mean(model, [stem for _, stem in files])
        raise WastebookError(f"No model is called {model!r} in that run. {known}")
    if len(found) > 1:
        raise WastebookError(f"Which {model}? Name {' or '.join(map('/'.join, found))}.")
    return files[found[0]]


def find_models(run: str | None = None) -> dict[tuple[str, str], Path]:
    """The ONNX files that a run has kept, by chapter and model; of the newest run that has some where None.
    WastebookError, with the runs that have some, where there are none."""
    kept = sorted(paths.RUNS.glob("*/models/*/*.onnx"), key=lambda file: file.stat().st_mtime)
    folder = paths.run_folder(run) if run else kept[-1].parents[2] if kept else paths.RUNS
    files = sorted(folder.glob("models/*/*.onnx"))
    if not files:
        known = did_you_mean(str(run), sorted({file.parents[2].name for file in kept}))
        raise WastebookError(f"No model is kept in {folder}: build one (wastebook build). {known}")
    return {(file.parent.name, file.stem): file for file in files}


def list_photos(places: Iterable[str | Path]) -> list[str]:
    """Files and addresses as they are, and for each folder the photos below it, sorted. WastebookError for a
    folder without any."""
    photos = []
    for place in map(str, places):
        found = [place] * bool(place.strip())  # no name is not this folder
        if found and not place.lower().startswith(WEB) and Path(place).is_dir():
            from wastebook.data import copies  # with pandas, which one photo does without

            files, others = copies.walk_files(Path(place))
            closed = {path for path, why in others.items() if why.startswith("closed")}
            shown = {path for path in [*files, *others] if not copies.why_no_photo(path)}  # gone ones as well
            found = [str(Path(place, path)) for path in sorted(shown | closed)]
        if not found:
            raise WastebookError(f"There is no photo in {place!r} or below: name a folder that has some.")
        photos += found
    return photos
