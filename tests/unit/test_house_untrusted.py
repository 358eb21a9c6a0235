"""Weights, caches, models and records are data: whatever lies in them, nothing of it runs."""

import ast
import pickle
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
import yaml

from wastebook import paths
from wastebook.answers import browser
from wastebook.answers.predictor import Predictor
from wastebook.cache import cached_table
from wastebook.errors import WastebookError
from wastebook.learning import features, finetune, keras_training
from wastebook.learning.backbones import load_backbone

LIBRARY = paths.PROJECT / "lib" / "wastebook"


class Trap:
    """Makes a file when it is unpickled."""

    def __init__(self, file: Path):
        self.file = file

    def __reduce__(self):
        return Path.touch, (self.file,)


def plain_pickle(file, trap):
    file.write_bytes(pickle.dumps(trap, protocol=2))


def torch_zip(file, trap):
    torch.save({"conv1.weight": trap, "epoch": 1}, file)


def numpy_zip(file, trap):
    objects = np.array([trap], dtype=object)
    np.savez(file, photos=objects, pixels=objects, features=objects)


def parquet(file, trap):
    pd.DataFrame({"a": [pickle.dumps(trap)]}).to_parquet(file)


def yaml_object(file, trap):
    file.write_text(f"written: !!python/object/apply:os.mknod ['{trap.file}']\n", encoding="utf-8")


def load(file):
    with pytest.raises(WastebookError, match="no weights that can be read"):
        load_backbone("resnet18", str(file))


def ask(file):
    with pytest.raises(WastebookError, match="is no model of this version"):
        Predictor(file)


def read_view(file):
    assert features._read(file, 4) == {}  # so that it is made anew


def go_on(file):
    learner = SimpleNamespace(device="cpu", STATEFUL=())
    with pytest.raises(pickle.UnpicklingError):  # so that it begins anew
        finetune._Learner.read(learner, file)


def go_on_in_keras(file):
    learner = SimpleNamespace(network=SimpleNamespace(weights=[]), variables=[])
    with pytest.raises(ValueError, match="allow_pickle"):  # so that it begins anew
        keras_training._Learner.read(learner, file)


def read_run(file):
    with pytest.raises(WastebookError, match="is not YAML"):
        paths.read_record(file.parent)


CASES = [
    ("weights.pth", plain_pickle, load),
    ("weights.pth", torch_zip, load),
    ("weights.bin", torch_zip, load),
    ("weights.safetensors", plain_pickle, load),
    ("weights.safetensors", torch_zip, load),
    ("model.onnx", plain_pickle, ask),
    ("model.onnx", torch_zip, ask),
    ("view.npz", numpy_zip, read_view),
    ("view.npz", plain_pickle, read_view),
    ("checkpoint.pt", plain_pickle, go_on),
    ("checkpoint.pt", torch_zip, go_on),
    ("checkpoint.npz", plain_pickle, go_on_in_keras),
    ("checkpoint.npz", numpy_zip, go_on_in_keras),
    ("run.yml", yaml_object, read_run),
]


@pytest.mark.fault(
    "weights and caches",
    "code in the place of weights, kept features, a kept model, a checkpoint, a run's record",
    "none of it runs: refused in a line, or made anew",
)
@pytest.mark.parametrize(("name", "write", "read"), CASES, ids=lambda part: getattr(part, "__name__", part))
def test_nothing_that_is_read_runs(tmp_path, name, write, read):
    trap = Trap(tmp_path / "touched")
    write(tmp_path / name, trap)
    read(tmp_path / name)
    assert not trap.file.exists()


@pytest.mark.fault(
    "weights and caches",
    "a pickle in the place of a kept table, or in one",
    "none of it runs: it is made anew",
)
@pytest.mark.parametrize("write", [plain_pickle, parquet])
def test_a_kept_table_is_no_program(tmp_path, monkeypatch, write):
    monkeypatch.setenv("WASTEBOOK_CACHE", str(tmp_path))
    made = cached_table("tables", 1, lambda: pd.DataFrame({"a": [1]}))
    (file,) = (tmp_path / "tables").iterdir()
    trap = Trap(tmp_path / "touched")
    write(file, trap)
    read = cached_table("tables", 1, lambda: made)
    assert read.equals(made) or list(read["a"]) == [pickle.dumps(trap)]
    assert not trap.file.exists()


# How the libraries that read for us are told to run what they read, and what runs it always.
WAYS = {"weights_only": False, "allow_pickle": True, "safe_mode": False, "trust_remote_code": True}
ALWAYS = {"pickle", "cPickle", "dill", "cloudpickle", "shelve", "marshal"}
YAML = {"load", "load_all", "unsafe_load", "full_load"}


def test_no_reader_is_told_to_run_what_it_reads():
    found = []
    for file in sorted(LIBRARY.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                told = {
                    part.arg: getattr(part.value, "value", "?") for part in node.keywords if part.arg in WAYS
                }
                found += [(file.name, node.lineno, way) for way in told if told[way] != (not WAYS[way])]
            if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "yaml" and node.attr in YAML:
                found += [(file.name, node.lineno, node.attr)]
            if isinstance(node, ast.Attribute) and ast.unparse(node) == "joblib.load":
                found += [(file.name, node.lineno, "joblib.load")]
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = {getattr(node, "module", None), *(alias.name for alias in node.names)}
                found += [(file.name, node.lineno, name) for name in names & ALWAYS]
    assert found == []


def entries(part):
    """The mappings below a card that have an address."""
    if isinstance(part, dict):
        yield from [part] if "url" in part else []
        part = list(part.values())
    if isinstance(part, list):
        yield from (entry for each in part for entry in entries(each))


def test_what_is_downloaded_comes_by_https_and_is_known_by_its_hash():
    cards = sorted(paths.CARDS.glob("*.yml")) + sorted(paths.CARDS.glob("weights/*.yml"))
    found = [entry for card in cards for entry in entries(yaml.safe_load(card.read_text(encoding="utf-8")))]
    found += browser.ENGINE["sources"]
    assert len(found) > 5
    for entry in found:
        assert entry["url"].startswith("https://") and len(entry.get("sha256", entry.get("md5"))) in (32, 64)
