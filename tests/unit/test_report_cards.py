"""Cards of models and data sets, and the checklist of a run."""

import numpy as np
import pandas as pd
import pytest
import yaml
from huggingface_hub import DatasetCard, ModelCard
from torch import nn

from wastebook.evaluation.metrics import METRICS
from wastebook.learning.backbones import Backbone
from wastebook.learning.heads import HISTORY_COLUMNS, Head
from wastebook.learning.models import Model, save_model
from wastebook.photos.duplicates import find_duplicates
from wastebook.report import cards


@pytest.fixture
def scores():
    rows = [("sample", "small", "grouped", "test", metric, 0.8, 0.7, 0.9, 61, 2) for metric in METRICS]
    return pd.DataFrame(
        rows,
        columns=["dataset", "model", "scheme", "split", "metric", "value", "low", "high", "n", "seeds"],
    )


def test_a_model_card_says_what_the_model_is(tmp_path, scores, sample):
    weight, history = np.zeros((6, 8), np.float32), pd.DataFrame(columns=HISTORY_COLUMNS)
    head = Head(weight, np.zeros(6, np.float32), sample.classes, history, {}, 0.0)
    means = (0.5, 0.5, 0.5)
    backbone = Backbone("tiny", nn.Conv2d(3, 8, 1), (32, 48), means, means, 8, "random", "a" * 64, "of clay")
    facts = {"data": {"name": "sample", "photos": 72, "fingerprint": "f" * 64}, "temperature": 1.25}
    save_model(tmp_path / "small.safetensors", Model("small", backbone, head, facts))
    file = cards.write_model_card(tmp_path / "small.safetensors", tmp_path / "cards", scores, sample.card)
    card = ModelCard.load(file)
    assert file.name == "small.md" and card.data.model_name == "small"
    assert [result.metric_type for result in card.data.eval_results] == list(METRICS)
    for text in (
        "temperature of 1.25",
        "cardboard, glass",
        "0.800",
        "72 photos",
        "Note: of clay",
        "32 by 48",
        sample.card["licence"],
    ):
        assert text in card.text


def test_a_data_set_card_says_what_was_found(tmp_path, sample):
    pairs = find_duplicates(sample.photos, sample.root)
    card = DatasetCard.load(cards.write_dataset_card(sample, tmp_path, pairs, pd.DataFrame()))
    assert card.data.license == "mit" and card.data.pretty_name == sample.card["title"]
    assert f"{(pairs['kind'] == 'exact').sum()} exact" in card.text
    counts = sample.photos.query("label == 'glass'")["split"].value_counts()
    line = next(line for line in card.text.splitlines() if line.startswith("| glass"))
    assert line == f"| glass | {counts['test']} | {counts['train']} | {counts['validation']} |"


def test_a_folder_of_ones_own_has_a_card_too(tmp_path, sample):
    own = sample._replace(
        name="own",
        card=sample.card | {"licence": "", "citation": "", "homepage": ""},
        photos=sample.photos.assign(split=None),
    )
    file = cards.write_dataset_card(
        own, tmp_path, pd.DataFrame(columns=["kind", "same_label"]), pd.DataFrame()
    )
    text = file.read_text()
    assert "Licence: not given" in text and "the same: none" in text
    assert yaml.safe_load(text.split("---")[1])["task_categories"] == ["image-classification"]


def test_the_checklist_is_filled_from_the_run(sample, scores):
    models = pd.DataFrame({"model": ["a", "b"], "seeds": [2, 2], "accuracy_low": 0.7, "accuracy_high": 0.9})
    record = {"commit": "0123456789abcdef+", "versions": {"python": "3.11"}, "hardware": {"cores": 2}}
    published = pd.DataFrame({"value": [0.4969, 0.8919]})
    told = cards.checklist(record, sample, models, {"random": 5, "grouped": 0}, published)
    answers = told.set_index("question")["answer"]
    assert answers["Which code?"] == "commit 0123456789ab with changes"
    assert answers["Test photos of an object known from train"] == "5 under random and 0 under grouped"
    assert "49.69 %" in answers["How far does it carry?"] and "20.0 % wide" in answers["Is luck shown?"]
