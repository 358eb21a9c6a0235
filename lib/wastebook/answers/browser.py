"""The page "Try it": the run's model, and the engine that runs it in a browser, put into the site.

The engine is onnxruntime-web, from its npm package: of a copy in `WASTEBOOK_DATA`, else of the npm registry,
kept in the cache. All that is large becomes a script that holds it as text, since a page opened as a file may
load scripts and nothing else.
"""

import base64
import json
import tarfile
from pathlib import Path
from typing import Any

import requests

from wastebook import paths
from wastebook.answers.predictor import DRAWN, Predictor, find_model
from wastebook.data.download import download_file
from wastebook.errors import WastebookError
from wastebook.files import file_hash, write_text
from wastebook.report.gallery import pick_examples

FOLDER = "try-it"  # in the site
VERSION = "1.30.0"
NAME = f"onnxruntime-web-{VERSION}.tgz"
URL = f"https://registry.npmjs.org/onnxruntime-web/-/{NAME}"
SHA256 = "d2228df7e4616bc3348bf504ee888f3bec43789a273f0a63f3e68d203ce3bf71"
ENGINE = {"name": NAME, "sources": [{"url": URL, "sha256": SHA256}]}
PARTS = {  # of the package: what it is called in the page
    "engine": "package/dist/ort.wasm.min.js",
    "module": "package/dist/ort-wasm-simd-threaded.mjs",
    "binary": "package/dist/ort-wasm-simd-threaded.wasm",
}
NO_ENGINE = (
    f"The engine could not be downloaded: run npm pack onnxruntime-web@{VERSION}, name the folder with "
    f"{NAME} in WASTEBOOK_DATA, and make the site anew."
)


def write_try_it(run: Path, site: Path) -> None:
    """Put the page's scripts into `site`: with the 8-bit copy of the model that the run `predict`s by and the
    engine, or, where either is missing, with the reason, which the page then says."""
    folder = site / FOLDER
    told: dict[str, Any] = {"model": None, "reason": "This run has kept no model: build chapter 04."}
    try:
        whole = find_model(str(run.absolute()))
        model = Predictor(whole.with_stem(f"{whole.stem}-int8"))
    except (WastebookError, OSError):
        model = None
    package = _find_package() if model else None
    if model and package:
        with tarfile.open(package) as archive:
            parts = {name: archive.extractfile(path).read() for name, path in PARTS.items()}  # type: ignore[union-attr]
        write_text(folder / "engine.js", parts.pop("engine").decode())
        write_text(folder / "engine-parts.js", _as_script(parts))
        write_text(folder / "model.js", _as_script({"model": model.file.read_bytes()}))
        size = sum(file.stat().st_size for file in folder.iterdir())
        about = {"classes": model.classes, "threshold": model.threshold, "note": DRAWN if model.drawn else ""}
        told = {"model": about, "megabytes": round(size / 1e6), "parts": {}, "examples": pick_examples(run)}
    elif model:
        told["reason"] = NO_ENGINE
    script = Path(__file__).with_name("try.js").read_text(encoding="utf-8")
    write_text(folder / "try.js", f"const tryIt = {json.dumps(told)};\n{script}")


def _find_package() -> Path | None:
    """The engine's npm package, of a copy at hand or downloaded; None where it is not to be had."""
    for place in paths.own_copies("WASTEBOOK_DATA"):
        for file in [place] if place.name == NAME else sorted(place.rglob(NAME)):
            if file_hash(file) == SHA256:
                return file
    try:
        return download_file(ENGINE)
    except (requests.RequestException, ValueError):
        return None


def _as_script(parts: dict[str, bytes]) -> str:
    """A script that gives the page these bytes, in base64."""
    encoded = {name: base64.b64encode(content).decode() for name, content in parts.items()}
    return "".join(f'tryIt.parts.{name} = "{text}";\n' for name, text in encoded.items())
