"""Cards of models and data sets, and the checklist of a run."""

import json

import onnx
import pandas as pd
import pytest
import yaml
from huggingface_hub import DatasetCard, ModelCard
from onnx import TensorProto, helper

from wastebook.evaluation.metrics import METRICS
from wastebook.learning.predictions import Model
from wastebook.photos.collection import Collection
from wastebook.photos.duplicates import find_duplicates
from wastebook.report import cards

MODEL = Model("resnet18", "32x48")


@pytest.fixture
def model_file(tmp_path):
    """An ONNX file with what the library writes into its metadata."""
    data = {"name": "sample", "title": "Drawn sample", "photos": 1072, "fingerprint": "f" * 64, "drawn": True}
    data |= {"source": "", "licence": "MIT"}
    facts = {
        "name": MODEL.id,
        "classes": ["glass", "Cartón, thin", "metal"],
        **MODEL.columns,
        "image_size": [32, 48],
    }
    facts["weights"] = {"name": "resnet18", "weights": "random", "note": "of clay", "sha256": "a" * 64}
    facts["card"] = {"data": data, "temperature": 1.25, "threshold": 0.6, "scores": {}}
    end = helper.make_tensor_value_info("photo", TensorProto.FLOAT, [1])
    graph = helper.make_graph([helper.make_node("Identity", ["photo"], ["out"])], "small", [end], [end])
    model = helper.make_model(graph)
    helper.set_model_props(model, {"wastebook": json.dumps(facts)})
    file = tmp_path / "02-baseline" / f"{MODEL.id}.onnx"
    file.parent.mkdir()
    onnx.save(model, file)
    return file


@pytest.fixture
def scores():
    row = {"dataset": "sample", **MODEL.columns, "scheme": "grouped", "split": "test"}
    row |= {"value": 0.8, "low": 0.7, "high": 0.9, "n": 61, "seeds": 2}
    rows = [row | {"metric": metric} for metric in METRICS]
    return pd.DataFrame([*rows, row | {"metric": "accuracy", "dataset": "another", "value": 0.1}])


def test_a_model_card_says_what_the_model_is(tmp_path, model_file, scores):
    file = cards.write_model_card(model_file, tmp_path / "cards", scores)
    card = ModelCard.load(file)
    assert file.name == "02-baseline-resnet18-32x48.md" and card.data.model_name == "ResNet18, 32 x 48"
    assert [result.metric_type for result in card.data.eval_results] == list(METRICS)
    assert {result.dataset_split for result in card.data.eval_results} == {"test (grouped)"}
    for text in ("temperature of 1.25", "Classes: glass; Cartón, thin; metal.", "80\u202f% [70",
                 "1,072 photos", "Note: of clay", "32x48", "never learned to see", "Licence: MIT",
                 "Drawn, not photographed"):  # fmt: skip
        assert text in card.text
    assert "10\u202f%" not in card.text and "\n\n\n" not in card.text


def test_a_model_without_scores_and_data_without_a_source_have_a_card_too(tmp_path, model_file, scores):
    text = cards.write_model_card(model_file, tmp_path, scores.head(0)).read_text()
    assert "Source: not given. Licence: MIT." in text and "model-index" not in text


@pytest.fixture
def collection(sample):
    """The sample as a chapter has it, with what was found in it."""
    pairs = find_duplicates(sample.photos, sample.root)
    shown = {
        "photos": sample.photos.head(9),
        "pairs": pairs,
        "files": sample.photos,
        "problems": pd.DataFrame(),
    }
    return Collection(**sample._asdict() | shown, title=sample.card["title"], drawn={})


def test_a_data_set_card_says_what_was_found(tmp_path, collection):
    card = DatasetCard.load(cards.write_dataset_card(collection, tmp_path))
    assert card.data.license == "mit" and card.data.pretty_name == collection.title
    assert "72 of 360 photos" in card.text
    assert f"{(collection.pairs['kind'] == 'exact').sum()} exact" in card.text
    counts = collection.files.query("label == 'glass'")["split"].value_counts()
    lines = card.text.splitlines()
    line = next(line for line in lines if line.startswith("| glass"))
    assert line == f"| glass | {counts['test']} | {counts['train']} | {counts['validation']} |"
    assert "| --- | ---: | ---: | ---: |" in lines


def test_a_folder_of_ones_own_has_a_card_too(tmp_path, collection):
    bare = collection.card | {"licence": "", "citation": "", "homepage": ""}
    files, none = collection.files.assign(split=None), collection.pairs.head(0)
    own = collection._replace(name="own", card=bare, files=files, pairs=none)
    text = cards.write_dataset_card(own, tmp_path).read_text()
    assert "Licence: not given" in text and "the same: none" in text
    assert yaml.safe_load(text.split("---")[1])["task_categories"] == ["image-classification"]


def test_the_checklist_is_filled_from_the_run(collection):
    models = pd.DataFrame({"model": ["a", "b"], "seeds": [2, 2], "accuracy_low": 0.7, "accuracy_high": 0.9})
    record = {"commit": "0123456789abcdef+", "versions": {"python": "3.11"}, "hardware": {"cores": 2}}
    told = cards.checklist(record, collection, models, {"random": 5, "grouped": 0})
    answers = told.set_index("question")["answer"]
    assert answers["Which code?"] == "commit 0123456789ab with changes"
    assert answers["Test photos of an object known from train"] == "5 under random and 0 under grouped"
    assert "50\u202f%" in answers["How far does it carry?"] and "20.0" in answers["Is luck shown?"]
    bare = collection._replace(card=collection.card | {"source": ""})  # as a folder without a card has it
    from_where = cards.checklist(record, bare, models, {}).set_index("question")["answer"].iloc[5]
    assert from_where.rstrip().endswith(f"photos of {collection.title}.") and ";" not in from_where
    assert "unknown, 2 cores, no accelerator" in answers["Which software and machine?"]
    part = collection._replace(photos=collection.photos.head(7))
    told = cards.checklist(record, part, models, {}).set_index("question")["answer"]
    assert f"7 of {collection.card['photos']} photos" in told["Where from, how many?"]
    assert not cards.checklist({}, collection, models, {})["answer"].str.contains("{", regex=False).any()
