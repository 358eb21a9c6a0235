"""Sentences of chapters 1 to 4 under tables made for them: with other results they say the opposite, and
with none they say that. A cell is taken from its notebook by its id, and run with
these tables in place of its own."""

import html
from types import SimpleNamespace

import nbformat
import numpy as np
import pandas as pd
import pytest

import wastebook as wb
from wastebook import paths

CHAPTER = SimpleNamespace(informative=True, conclude=wb.text)
OLD, NEW, LOW, HIGH = "a", "b", {"low": -0.06, "high": -0.02}, {"low": 0.02, "high": 0.06}
ZERO = {"low": -0.03, "high": 0.03}


def say(chapter, cell, **names):
    """What a cell of a chapter tells, run with these names."""
    notebook = nbformat.read(paths.CHAPTERS / f"{chapter}.ipynb", as_version=4)
    (source,) = [each.source for each in notebook.cells if each.id == cell]
    *before, last = source.partition("chapter.conclude(" if "chapter.conclude(" in source else "wb.text(")
    told = names | {"wb": wb, "pd": pd, "chapter": CHAPTER}
    exec(f"{before[0]}told = {before[1]}{last}", told)
    return html.unescape(told["told"].data), told


def photos_of(known):
    rows = [("train", 0), ("train", 1), *[("test", 0 if at < known else 2 + at) for at in range(3)]]
    return pd.DataFrame(rows, columns=["split", "group"])


@pytest.mark.parametrize(
    ("photos", "told"),
    [
        (photos_of(0), "0 of 3 official test photos show what a training photo shows"),
        (photos_of(3), "3 of 3 official test photos show what a training photo shows"),
        (photos_of(0).assign(split=None), "There is no official split to cross"),
    ],
)
def test_chapter_1_tells_what_test_shares_with_train(photos, told):
    crossing = pd.DataFrame({"across_labels": [True, False]})
    assert told in say("01-exploration", "01-crossing-sentence", photos=photos, crossing=crossing)[0]


@pytest.mark.parametrize(
    ("published", "told"),
    [([0.5, 9.0], "1 of 2"), ([9.0, 9.0], "0 of 2"), ([np.nan] * 2, "Nobody has published such figures")],
)
def test_chapter_1_tells_whether_published_figures_come_back(published, told):
    compared = pd.DataFrame({"published": published, "value": [0.5, 0.5], "error": [0.1, 0.1]})
    assert told in say("01-exploration", "01-published-sentence", compared=compared)[0]


@pytest.mark.parametrize(
    ("interval", "told"),
    [
        ({"difference": 0.04, **HIGH}, "the searched head is better than the plain recipe"),
        ({"difference": -0.04, **LOW}, "the searched head is worse than the plain recipe"),
        ({"difference": 0.01, **ZERO}, "the searched head is not clearly different from the plain recipe"),
        (
            dict.fromkeys(["difference", "low", "high"], 0),
            "the searched head is exactly as good as the plain",
        ),
    ],
)
def test_chapter_2_tells_what_the_search_bought(interval, told):
    models = {name: wb.Model("resnet18", "64x64", head=name) for name in ("recipe", "exact", "searched")}
    pairs = [("searched", "recipe"), ("searched", "exact"), ("exact", "recipe")]
    rows = [{"model_a": models[one].id, "model_b": models[other].id, **interval} for one, other in pairs]
    names = {"bought": pd.DataFrame(rows).assign(scheme="grouped", metric="macro_f1"), "scheme": "grouped"}
    names |= {"model": models["recipe"], "exact": models["exact"], "searched_model": models["searched"]}
    assert told in say("02-baseline", "02-bought-said", **names)[0]


@pytest.mark.parametrize(
    ("better", "told"), [(0, "recipe: 0 of 2."), (1, "recipe: 1 of 2."), (2, "recipe: 2 of 2.")]
)
def test_chapter_2_counts_the_trials_that_beat_the_recipe(better, told):
    search = SimpleNamespace(trials=[SimpleNamespace(value=0.6 if at < better else 0.4) for at in range(2)])
    names = {"search": search, "default": 0.5, "importance": pd.Series(dtype=float)}
    assert told in say("02-baseline", "02-search-said", **names)[0]


@pytest.mark.parametrize(
    ("value", "interval", "chosen", "told"),
    [
        (0.9, {"difference": 0.04, **HIGH}, "rotation", "The best on validation is rotation, better than no"),
        (0.9, {"difference": 0.01, **ZERO}, "none", "By the rule nothing is added."),
        (0.1, {"difference": -0.04, **LOW}, "none", "The best on validation is no augmentation. By the rule"),
    ],
)
def test_chapter_3_adds_only_what_leads_beyond_chance(value, interval, chosen, told):
    rows = [(OLD, "none", 0.5), (NEW, "rotation", value)]
    validation = pd.DataFrame(rows, columns=["model", "transform", "value"])
    validation = validation.assign(split="validation", scheme="grouped", metric="macro_f1")
    names = {"validation": validation, "leads": pd.DataFrame([interval], index=[NEW]), "scheme": "grouped"}
    names |= {"transform_of": validation.set_index("model")["transform"], "none": SimpleNamespace(id=OLD)}
    names |= {"names": {OLD: "no augmentation", NEW: "rotation"}, "transforms": ["rotation"]}
    text, after = say("03-augmentation", "03-choice-made", **names)
    assert told in text and after["chosen"] == chosen


@pytest.mark.parametrize(
    ("support", "told"),
    [(6, "On so few the ways to augment cannot be told apart."), (30, "50\u202f% with no au")],
)
def test_chapter_3_speaks_of_the_rarest_class_only_where_it_has_photos(support, told):
    rows = [
        (transform, metric, 0.5) for transform in ("no augmentation", "mixup") for metric in ("precision",)
    ]
    found = pd.Series({"no augmentation": 0.5, "mixup": 0.4})
    names = {"rare": pd.DataFrame(rows, columns=["transform", "metric", "value"]).assign(support=support)}
    names |= {"found": found, "f1": found, "few": support < 10, "counts": pd.Series({"glass": 9, "trash": 2})}
    assert told in say("03-augmentation", "03-rare-said", **names)[0]


@pytest.mark.parametrize(
    ("judged", "told"),
    [
        (("better", "undecided", "better"), "Architecture or search? The architecture."),
        (("undecided", "better", "worse"), "Architecture or search? The search."),
        (("better", "better", "undecided"), "Architecture or search? These photos cannot tell."),
    ],
)
def test_chapter_4_answers_the_question_of_architecture_or_search(judged, told):
    judged = dict(zip(("architecture", "search, Old", "architecture instead of search"), judged, strict=True))
    assert told in say("04-efficientnet", "04-verdict-said", judged=judged, older_name="Old")[0]


@pytest.mark.parametrize(
    ("interval", "told"),
    [
        ({"difference": 0.04, **HIGH}, "in macro F1: rotation; in recall of trash: rotation."),
        ({"difference": -0.04, **LOW}, "in macro F1: none; in recall of trash: none."),
    ],
)
def test_chapter_4_tells_which_transforms_help_the_newer_network(interval, told):
    gains = [
        {"metric": metric, "transform": "rotation", **interval} for metric in ("macro_f1", "recall:trash")
    ]
    varied = wb.Model("b", "64x64", "rotation")
    names = {"gains": pd.DataFrame(gains), "rarest": "trash", "varied": varied}
    assert told in say("04-efficientnet", "04-views-said", **names)[0]
