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

import onnx
import requests

from wastebook import paths
from wastebook.data.download import download_file
from wastebook.files import file_hash

FOLDER = "try-it"  # in the site
SCRIPT = Path(__file__).with_name("try.js")
ENGINE: dict[str, Any] = {
    "name": "onnxruntime-web-1.30.0.tgz",
    "sources": [
        {
            "url": "https://registry.npmjs.org/onnxruntime-web/-/onnxruntime-web-1.30.0.tgz",
            "sha256": "d2228df7e4616bc3348bf504ee888f3bec43789a273f0a63f3e68d203ce3bf71",
        }
    ],
}
DRAWN = "This model learned from drawn pictures: on photos of real waste its answers mean nothing."
PARTS = {  # of the package: what it is called in the page
    "engine": "package/dist/ort.wasm.min.js",
    "module": "package/dist/ort-wasm-simd-threaded.mjs",
    "binary": "package/dist/ort-wasm-simd-threaded.wasm",
}


def write_try_it(run: Path, site: Path) -> None:
    """Put the page's scripts into `site`: with the 8-bit model that the run has kept (chapter 04's if it has
    one) and the engine, or, where either is missing, with the reason, which the page then says."""
    folder = site / FOLDER
    folder.mkdir()
    kept = sorted(run.glob("models/*/*-int8.onnx"), key=lambda file: (file.parent.name[:2] != "04", file))
    told: dict[str, Any] = {"model": None, "reason": "This run has kept no model: build chapter 04."}
    package = _package() if kept else None
    if kept and package is None:
        told["reason"] = (
            f"The engine could not be downloaded: run npm pack onnxruntime-web@1.30.0, name the folder "
            f"with {ENGINE['name']} in WASTEBOOK_DATA, and make the site anew."
        )
    elif package is not None:
        with tarfile.open(package) as archive:
            parts = {name: _member(archive, path) for name, path in PARTS.items()}
        parts["model"] = kept[0].read_bytes()
        (folder / "engine.js").write_bytes(parts.pop("engine"))
        _write_parts(folder / "engine-parts.js", {name: parts[name] for name in ("module", "binary")})
        _write_parts(folder / "model.js", {"model": parts["model"]})
        facts = json.loads(onnx.load(kept[0]).metadata_props[0].value)
        model = {"name": facts["name"], "classes": facts["classes"]}
        model["threshold"] = facts["card"].get("threshold", 0.0)
        drawn = paths.is_drawn(facts["card"]["data"]["name"])
        model["note"] = DRAWN if drawn else ""
        size = sum(file.stat().st_size for file in folder.iterdir())
        told = {"model": model, "megabytes": round(size / 1e6), "parts": {}}
    script = f"const tryIt = {json.dumps(told, ensure_ascii=False)};\n{SCRIPT.read_text(encoding='utf-8')}"
    (folder / "try.js").write_text(script, encoding="utf-8")


def _package() -> Path | None:
    """The engine's npm package, of a copy at hand or downloaded; None where it is not to be had."""
    for place in paths.own_copies("WASTEBOOK_DATA"):
        found = [place] if place.name == ENGINE["name"] else sorted(place.glob(f"**/{ENGINE['name']}"))
        for file in found:
            if file_hash(file) == ENGINE["sources"][0]["sha256"]:
                return file
    try:
        return download_file(ENGINE)
    except (requests.RequestException, ValueError):
        return None


def _member(archive: tarfile.TarFile, path: str) -> bytes:
    content = archive.extractfile(path)
    assert content is not None, path
    return content.read()


def _write_parts(file: Path, parts: dict[str, bytes]) -> None:
    """A script that gives the page these bytes, in base64."""
    lines = [
        f'tryIt.parts.{name} = "{base64.b64encode(content).decode()}";' for name, content in parts.items()
    ]
    file.write_text("\n".join(lines) + "\n", encoding="ascii")
