"""Sentences of every chapter under tables made for them: with other results they say the opposite, and
with none they say that. A cell is taken from its notebook by its id, and run with
these tables in place of its own."""

import ast
import html
import re
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import MagicMock

import nbformat
import numpy as np
import pandas as pd
import pytest

import wastebook as wb
from wastebook import paths
from wastebook.answers import predictor
from wastebook.errors import WastebookError
from wastebook.evaluation import metrics
from wastebook.photos import quality
from wastebook.photos.collection import Collection

CHAPTER = SimpleNamespace(informative=True, conclude=wb.text)
OLD, NEW, LOW, HIGH = "a", "b", {"low": -0.06, "high": -0.02}, {"low": 0.02, "high": 0.06}
ZERO = {"low": -0.03, "high": 0.03}


def source_of(chapter, cell):
    """The code of a cell of a chapter."""
    notebook = nbformat.read(paths.PROJECT / "chapters" / f"{chapter}.ipynb", as_version=4)
    (source,) = [each.source for each in notebook.cells if each.id == cell]
    return source


def say(chapter, cell, **names):
    """What a cell of a chapter tells, run with these names."""
    source = source_of(chapter, cell)
    *before, last = source.partition("chapter.conclude(" if "chapter.conclude(" in source else "wb.text(")
    told = names | {"wb": wb, "pd": pd, "chapter": CHAPTER}
    exec(f"{before[0]}told = {before[1]}{last}", told)
    return html.unescape(told["told"].data), told


def run(chapter, cell, patch, **names):
    """What a cell of a chapter leaves, and the alt text of its figure, run with these names; pictures are
    neither read nor drawn, and tables are shown as they are."""
    shown = {}
    for name in ("photo_grid", "photo_pairs", "draw_box"):
        patch.setattr(wb.figures, name, lambda *given, **options: given[0], raising=False)
    patch.setattr(wb, "read_photo", lambda path: path, raising=False)
    patch.setattr(
        wb, "table", lambda frame, **options: shown.update(table=frame) or MagicMock(), raising=False
    )
    patch.setattr(wb, "show", lambda figure, alt: shown.update(figure=figure, alt=alt), raising=False)
    return run_cell(chapter, cell, **names) | shown


def run_cell(chapter, cell, /, **names):
    """What a cell of a chapter leaves behind, run with these names."""
    exec(source_of(chapter, cell), after := {"wb": wb, "pd": pd, "np": np, "chapter": CHAPTER} | names)
    return after


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
    ("split", "told"),
    [("test", "the largest of 3, 3 of them in the official test."), ("train", "the largest of 3.")],
)
def test_chapter_1_tells_how_much_of_test_one_group_is(split, told):
    photos = pd.DataFrame({"split": split, "group": [0, 0, 0, 1]})
    assert told in say("01-exploration", "01-doubles-sentence", photos=photos, truth="")[0]


@pytest.mark.parametrize(
    ("published", "told"),
    [([0.5, 9.0], "1 of 2"), ([9.0, 9.0], "0 of 2"), ([np.nan] * 2, "Nobody has published such figures")],
)
def test_chapter_1_tells_whether_published_figures_come_back(published, told):
    compared = pd.DataFrame({"published": published, "value": [0.5, 0.5], "error": [0.1, 0.1]})
    assert told in say("01-exploration", "01-published-sentence", compared=compared)[0]


def test_chapter_1_shows_columns_of_the_official_split_only_where_there_is_one(monkeypatch):
    photos = pd.DataFrame({"label": ["glass", "metal"], "split": pd.Series([pd.NA, pd.NA], dtype="str")})
    own = run("01-exploration", "tbl-exploration-classes", monkeypatch, photos=photos)["table"]
    assert list(own) == ["class", "photos", "share (%)"]
    photos["split"] = ["train", "test"]
    dealt = run("01-exploration", "tbl-exploration-classes", monkeypatch, photos=photos)["table"]
    assert list(dealt) == ["class", "photos", "share (%)", "train", "test"]


@pytest.mark.parametrize(
    ("photos", "told"),
    [
        ([40, 12, 1], "highest for paper (3), lowest for glass (2)"),
        ([40, 9, 1], "not ranked: no two classes have ten photos"),
        ([40], "not ranked: no two classes have ten photos"),
    ],
)
def test_chapter_1_ranks_no_class_of_a_few_photos(photos, told, monkeypatch):
    counts = pd.Series(photos, index=["paper", "glass", "metal"][: len(photos)]).sort_index()
    values = pd.Series({"glass": 2, "metal": 9, "paper": 3})[counts.index]
    names = run("01-exploration", "01-rank", monkeypatch, counts=counts)
    assert names["rank_classes"](values) == told
    measures = pd.DataFrame({"label": ["paper", "glass"], "brightness": [1, 2], "contrast": [1, 2]})
    text, _ = say(
        "01-exploration", "01-light-sentence", measures=measures, counts=counts, lightness="", quality=quality
    )
    assert ("The class explains 100" in text) == ("highest" in told)


@pytest.mark.parametrize("photos", [1, 5, 8, 15, 100])
def test_chapter_1_shows_boxes_from_the_smallest_to_the_largest(photos, monkeypatch):
    table = pd.DataFrame({"path": map(str, range(photos)), "label": "glass"})
    table["bb_coverage"] = np.linspace(0.1, 0.9, photos)
    rooms = {"quality": SimpleNamespace(match_true_boxes=lambda measures, true: measures)}
    rooms["data"] = SimpleNamespace(root=paths.PROJECT / "chapters")
    shown = run("01-exploration", "fig-exploration-boxes", monkeypatch, measures=table, **rooms)["shown"]
    assert len(shown) == min(photos, 8) and {shown.index[0], shown.index[-1]} == {0, photos - 1}


@pytest.mark.parametrize("seed", range(8))
def test_chapter_1_shows_a_pair_whose_photo_has_others_across_the_split(seed, monkeypatch):
    pairs = pd.DataFrame({"path_a": "a", "path_b": [*"bcdefghi"], "kind": "object", "same_label": True})
    pairs["same_split"] = pd.Series([False] * 7 + [True], dtype=object)
    names = {"pairs": pairs, "seed": seed, "data": SimpleNamespace(root=paths.PROJECT / "chapters")}
    after = run("01-exploration", "fig-exploration-duplicates", monkeypatch, **names)
    assert list(after["figure"]["path_b"]) == ["i"] and after["alt"].endswith("same: 8; shown: 1.")


@pytest.mark.parametrize(("drawn", "wider"), [(40, 1), (20, (1 + 0.5 * 50 / 20) ** 0.5)])
def test_chapter_1_knows_that_its_photos_may_be_a_draw_too(drawn, wider, monkeypatch):
    """Of 40 photos of a class, all or half: the error of the published draw, or of both."""
    random = np.random.default_rng(0)
    measured = ["bb_width", "bb_height", "bb_area", "bb_coverage", "brightness", "contrast"]
    measures = pd.DataFrame({name: random.normal(100, 10, drawn) for name in measured}).assign(label="glass")
    data = SimpleNamespace(name="trashnet", files=range(40))
    names = {"published": wb.published, "data": data, "seed": 0, "measures": measures, "photos": measures}
    names |= {"quality": quality, "counts": pd.Series([drawn])}
    plain = quality.spread_of_draws(measures, measured, per_class=50, seed=0)["error"]
    found = run("01-exploration", "01-published-draws", monkeypatch, **names)["compared"]["error"]
    assert found.tolist() == pytest.approx((wider * plain).tolist())


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
    ("transforms", "told"),
    [
        (
            ["rotation", "filled_rotation"],
            "a rotation whose corners are filled is better than one with black",
        ),
        (["rotation", "mixup"], ""),
        (["filled_rotation"], ""),
    ],
)
def test_chapter_3_speaks_of_corners_only_where_both_rotations_were_tried(transforms, told, monkeypatch):
    compared = pd.DataFrame([{"difference": 0.04, **HIGH}])
    monkeypatch.setattr(wb, "compare_models", lambda *given: compared, raising=False)
    names = {"none": wb.Model("resnet18", "64x64"), "under_scheme": None, "transforms": transforms}
    text, after = say("03-augmentation", "03-corners-said", **names)
    assert told in text and bool(after["corners"]) == bool(told)


@pytest.mark.parametrize("seed_accuracy", [0.9, 0.4])
def test_chapter_3_tells_how_far_train_lies_from_validation_either_way(seed_accuracy, monkeypatch):
    rows = [("train", seed_accuracy), ("validation", 0.5)]
    history = pd.DataFrame(rows, columns=["split", "accuracy"]).assign(scheme="grouped", epoch=1)
    names = {"studies": [SimpleNamespace(history=history.assign(transform="none"))], "scheme": "grouped"}
    monkeypatch.setattr(wb.figures, "training_curves", lambda shown: shown, raising=False)
    after = run(
        "03-augmentation", "fig-augmentation-curves", monkeypatch, **names, best_transform="none", epochs=1
    )
    points = "40.0" if seed_accuracy > 0.5 else "−10.0"
    assert f"train accuracy less validation accuracy is {points} points with no augmentation." in after["alt"]


def test_chapter_2_tells_no_digit_that_the_intervals_beside_it_do_not_carry(monkeypatch):
    rows = [("glass", 0.5, 0.4, 0.61), ("metal", 0.789, 0.74, 0.81), ("trash", 0.0, 0.0, 0.0)]
    by_class = pd.DataFrame(rows, columns=["label", "value", "low", "high"])
    by_class = by_class.assign(metric="f1", support=[1, 1, 2])
    monkeypatch.setattr(wb, "score_classes", lambda test: by_class, raising=False)
    names = {"published": pd.DataFrame(columns=["network", "head", "statistic", "value"]), "test": None}
    table = run("02-baseline", "tbl-baseline-report", monkeypatch, model=wb.Model("a", "b"), **names)["table"]
    last = "0.50 [0.40,\u202f0.61]", "0.789 [0.740,\u202f0.810]", "0.000", "0.32"
    assert tuple(table["f1"]) == last


@pytest.mark.parametrize(
    ("support", "told"),
    [([10, 9, 2], "F1 is not ranked: no two classes"), ([10, 10, 2], "highest for a (0.90), lowest for b")],
)
def test_chapter_2_ranks_no_class_of_a_few_test_photos(support, told):
    by_class = pd.DataFrame({"label": [*"abc"], "metric": "f1", "value": [0.9, 0.5, 0.1], "support": support})
    names = {"by_class": by_class, "data": SimpleNamespace(photos=by_class), "mistake": "none"}
    assert told in say("02-baseline", "02-class-said", **names)[0]


@pytest.mark.parametrize(("chapter", "cell"), [("02-baseline", "02-level"), ("04-efficientnet", "04-level")])
@pytest.mark.parametrize(("second", "told"), [(0.8, ","), (0.9, ", the first of 2 level there,")])
def test_a_choice_tells_that_others_are_level_with_it(chapter, cell, second, told):
    scores = pd.DataFrame({"value": [0.9, second], "split": "validation", "metric": "macro_f1"})
    assert run_cell(chapter, cell, scores=scores.assign(scheme="grouped"), scheme="grouped")["level"] == told


@pytest.mark.parametrize(
    ("then", "told"), [(12.2, " (other work"), (3.9, " (other work"), (34, "34 ms beside 7.6 ms")]
)
def test_chapter_4_compares_no_times_that_other_work_may_have_made(then, told):
    found = run_cell("04-efficientnet", "04-compare-times")["compare_times"](7.6, then)
    assert told in found and ("other work" in found) == ("other work" in told)


@pytest.mark.parametrize("mistakes", [0, 1, 2])
def test_chapter_2_counts_its_mistakes(mistakes, monkeypatch):
    test = pd.DataFrame({"label": ["a", "b"], "predicted": "c", "path": ["1", "2"], "p_c": 0.95})
    test.loc[mistakes:, "predicted"] = test["label"]
    monkeypatch.setattr(wb.figures, "mistakes", lambda *given: None, raising=False)
    names = {"test": test, "mistake": "x", "data": SimpleNamespace(root=paths.PROJECT / "chapters")}
    after = run("02-baseline", "fig-baseline-mistakes", monkeypatch, **names)
    assert after["alt"].startswith(f"Photos that were got wrong: {mistakes}; shown are the surest.")
    monkeypatch.setattr(wb.gallery, "link_mistakes", lambda *given: None)
    names |= {name: after[name] for name in ("wrong", "sure")}
    text, _ = say("02-baseline", "02-mistakes-said", **names)
    assert f"on test: 2; wrong: {mistakes}; wrong with a probability above nine tenths: {mistakes}." in text


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
    names |= {
        "found": found,
        "f1": found,
        "few": support < 10,
        "tied": False,
        "counts": pd.Series({"glass": 9, "trash": 2}),
    }
    assert told in say("03-augmentation", "03-rare-said", **names)[0]


@pytest.mark.parametrize(
    ("interval", "told"),
    [
        ({"difference": 0.04, **HIGH}, "upwards search (+4.0 points [+2.0,\u202f+6.0]); downwards none."),
        ({"difference": -0.04, **LOW}, "upwards none; downwards search (−4.0 points [−6.0,\u202f−2.0])."),
        ({"difference": 0.01, **ZERO}, "upwards none; downwards none."),
    ],
)
def test_chapter_4_tells_its_steps_each_for_itself_and_judges_none(interval, told):
    step = pd.DataFrame({"search": interval}).T.assign(p_holm=0.5)
    said, names = say("04-efficientnet", "04-steps-said", step=step)
    assert told in said and "the comparison decides" in said
    steps = ["architecture", "architecture instead of search", "search, New"]
    step = pd.DataFrame(dict.fromkeys(steps, interval)).T
    row = {"model": "b", "scheme": "grouped", "split": "test", "metric": "accuracy", **interval, "value": 0.5}
    given = {"step": step, "tested": pd.DataFrame([row]), "scheme": "grouped", "names": {"b": "New"}}
    given |= {"level": ",", "older_name": "Old", "newer_name": "New", "clear": names["clear"], "scores": None}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(wb.comparison, "choose_on_validation", lambda scores, scheme: "b")
        said, _ = say("04-efficientnet", "04-learned-said", **given)
    assert f"changes by {wb.format_points(step.iloc[0])} from Old to New" in said
    assert not re.search("better|worse|different|corrected", said)


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
    names = {"gains": pd.DataFrame(gains), "rarest": ["recall:trash"], "varied": varied}
    assert told in say("04-efficientnet", "04-views-said", **names)[0]


def test_chapter_3_calls_no_class_the_rarest_where_several_are():
    found = pd.Series({"no augmentation": 0.5})
    rare = pd.DataFrame(
        {"transform": ["no augmentation"], "metric": ["precision"], "value": [0.5], "support": [30]}
    )
    names = {"rare": rare, "found": found, "f1": found, "few": True, "tied": True}
    told, _ = say("03-augmentation", "03-rare-said", counts=pd.Series({"glass": 9, "trash": 9}), **names)
    assert "is 9 for all. So no one class is the rarest." in told and "cannot be told" not in told


@pytest.mark.parametrize(
    ("network", "remarks"),
    [
        ("efficientnet_b0", ()),
        ("resnet50", ("The newer network of this run is resnet50, where the title and the prose have Eff",)),
    ],
)
def test_chapter_4_says_at_its_head_which_network_is_the_newer(network, remarks):
    data, introduced = Collection("mine", "", *[None] * 8), []
    chapter = SimpleNamespace(introduce=lambda data, *backbones: introduced.append(data.remarks))
    names = {"needs": [], "data": data, "network": network, "chapter": chapter}
    names |= {"older": SimpleNamespace(name="resnet18"), "newer": SimpleNamespace(name=network)}
    run_cell("04-efficientnet", "04-caveats", **names)
    assert [remark[: len(told)] for remark, told in zip(*introduced, remarks, strict=True)] == [*remarks]
    with pytest.raises(wb.errors.WastebookError, match="network=resnet18 is the older network itself"):
        run_cell("04-efficientnet", "04-caveats", **names | {"network": "resnet18", "newer": names["older"]})


def test_chapter_4_asks_of_no_rarest_class_where_several_are():
    names = {
        "gains": pd.DataFrame([{"metric": "macro_f1", "transform": "rotation", "difference": 0.04, **HIGH}])
    }
    names |= {"rarest": [], "varied": wb.Model("b", "64x64", "rotation")}
    assert "in macro F1: rotation." in say("04-efficientnet", "04-views-said", **names)[0]


@pytest.mark.parametrize(
    ("copied", "told"),
    [
        (0, "0 of 4 test photos have a twin outside test, in train or validation. So clean is all of test."),
        (
            1,
            "1 of 4 test photos has a twin outside test, in train or validation. Accuracy without them: A 90",
        ),
        (
            4,
            "Without them a class would have",
        ),
    ],
)
def test_chapter_5_tells_what_test_shares_with_train(copied, told):
    test, clean = range(4), range(4 if copied == 4 else 4 - copied)
    names = {"copied": pd.Series([at < copied for at in test]), "learned": pd.Series([False] * 4)}
    assert (
        told in say("05-xception", "xception-clean-said", test=test, clean=clean, without="A 90", **names)[0]
    )


@pytest.mark.parametrize(
    ("interval", "told"),
    [
        ({"difference": 0.04, **HIGH}, "In accuracy, each trained once, B is better than A (+4.0 points"),
        ({"difference": -0.04, **LOW}, "In accuracy, each trained once, B is worse than A (−4.0 points"),
        (
            {"difference": 0.01, **ZERO},
            "In accuracy, each trained once, B is not clearly different from A (+1.0 points",
        ),
    ],
)
def test_chapter_5_tells_which_network_is_better(interval, told):
    score = {"model": OLD, "scheme": "official", "value": 0.9, "low": 0.8, "high": 1.0}
    scores = pd.DataFrame([score | {"metric": metric} for metric in ("accuracy", "macro_f1")])
    names = {"scores": scores.assign(split="validation"), "of_clean": scores, "scheme": "official"}
    names |= {"names": {OLD: "A"}, "differences": pd.DataFrame([{"model": "B", "against": "A", **interval}])}
    names["differences"]["metric"] = "accuracy"
    text, after = say("05-xception", "xception-choice-said", **names)
    end = {name: after[name] for name in ("chosen", "kept", "judgements")}
    end, _ = say("05-xception", "xception-59129aac", off="0", paid="0", by_all="0", **names, **end)
    assert told in text and told in end


@pytest.mark.parametrize(
    ("half", "told"),
    [
        (5.0, "of 2 models none would have cost less beyond luck, and none more"),  # a little less is luck
        (3.0, "of 2 models 1 would have cost less beyond luck, and none more"),
        (9.0, "of 2 models none would have cost less beyond luck, and 2 more"),
    ],
)
def test_chapter_5_tells_what_validations_threshold_bought(half, told):
    rows = [("A", 0.8, 4.9), ("A", 0.5, half), ("B", 0.7, 5.1), ("B", 0.5, max(half, 5))]
    costs = pd.DataFrame(rows, columns=["model", "threshold", "cost"])
    costs = costs.assign(low=costs["cost"] - 1, high=costs["cost"] + 1)
    names = {"positive": "recyclable", "spoiling_cost": 4.0, "paid": "A 5 and B 5", "decisions": costs}
    assert told in say("05-xception", "xception-827bfc45", np=np, picked=costs[::2], **names)[0]


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        (
            [{"difference": 0.04, **HIGH}, {"difference": 0.01, **ZERO}],
            "corrected for all of them: 1 of 2 (accuracy with copies minus without, in points): A on Photos "
            "(official split, +4.0).",
        ),
        ([{"difference": 0.01, **ZERO}], "corrected for all of them: none of 1."),
        ([], "No score here can be told"),
    ],
)
def test_chapter_6_tells_what_copies_are_worth(rows, told):
    """Under every split, and once more at its end; there nothing of copies where there are none."""
    worth = pd.DataFrame(rows).assign(model="A", dataset="Photos", scheme="official", points="+4.0")
    text, after = say("06-trust", "06-trust-worth-said", worth=worth)
    names = {
        "leaks": after["leaks"],
        "learnings": [],
        "able": [],
        "doubted": "none",
        "crossing": "0 on Photos",
    }
    end, _ = say("06-trust", "06-trust-learned-said", projected="none", gains=pd.DataFrame(), **names)
    assert told in text and (told in end if rows else end.count("\n- ") == 0)


def test_chapter_6_counts_copies_of_the_usual_split_and_means_of_all(monkeypatch):
    twins = pd.DataFrame({"dataset": "mine", "scheme": "random", "seed": [0, 0, 1, 1], "path": [*"abcd"]})
    twins = twins.assign(exact=None, near=None, object=["x", None, None, None], twin=["x", None, None, None])
    monkeypatch.setattr(wb.audit, "find_twins", lambda *given: twins.drop(columns="dataset"))
    data = {"mine": SimpleNamespace(pairs=None, title="Photos")}
    names = {"collections": data, "deals": {"mine": None}, "titles": {"mine": "Photos"}}
    after = run("06-trust", "tbl-trust-copies", monkeypatch, **names)
    assert after["table"].iloc[0].tolist() == ["Photos", "random", "2", "0", "0", "0.5", "0.5"]
    names |= {"usual": {"mine": ("random", 0)}, "counted": after["counted"]}
    text, _ = say("06-trust", "06-trust-copies-said", **names)
    assert "random split: 1 of 2 test photos (50.0\u202f%) shows" in text


def test_chapter_6_tells_why_the_share_of_memory_cannot_be_told():
    leading = pd.DataFrame({"dataset": ["a", "b"], "scheme": "official", "photos": 200, "twin": [0, 9]})
    memory = pd.DataFrame({"dataset": ["b"], "metric": "accuracy", "photos": 9, "difference": 3 / 9, **HIGH})
    differences = leading.assign(metric="accuracy", model=OLD, difference=0.1)
    names = {"leading": leading, "memory": memory, "differences": differences, "titles": {"a": "A", "b": "B"}}
    text, _ = say("06-trust", "06-trust-memory-said", model=SimpleNamespace(id=OLD), **names)
    assert "On A no test photo has a twin" in text and "On B: the share" in text and "has 3 more of 9" in text


def test_chapter_6_audits_no_more_photos_than_chapter_5_saw():
    rows = [(f"{label}/{at}.jpg", label, at) for label in "gm" for at in range(9)]
    photos = pd.DataFrame(rows, columns=["path", "label", "group"]).assign(split="train")
    pairs = pd.DataFrame(columns=["path_a", "path_b"], dtype=object)
    data = Collection("none", "", *[None] * 8)._replace(photos=photos, pairs=pairs, drawn={"photos": 18})
    tables = {"photos": photos[::2], "predictions": pd.DataFrame({"seed": [0]})}
    chapter = SimpleNamespace(read=lambda _, name: tables[name], values=lambda _: {"scheme": "grouped"})
    chapter.load_photos = lambda _: SimpleNamespace(for_learning=lambda scheme: data)
    names = {"usual": {}, "deals": {}, "collections": {}, "deal": lambda *given: {("grouped", 0): given[0]}}
    after = run_cell("06-trust", "06-trust-bins-setup", chapter=chapter, **names)
    assert after["collections"]["none"].drawn["photos"] == 9  # so that the head tells of so many
    for table in (after["collections"]["none"].photos, after["deals"]["none"]["grouped", 0]):
        assert table["path"].tolist() == photos["path"][::2].tolist() and [*table.index] == [*range(9)]


def test_chapter_6_corrects_what_copies_are_worth_for_all_scores(monkeypatch):
    rows = [{"metric": "accuracy", "p": 0.03, **each} for each in (HIGH, HIGH, {"low": 0, "high": 0})]
    monkeypatch.setattr(wb.audit, "subset_differences", lambda *given: pd.DataFrame(rows))
    monkeypatch.setattr(CHAPTER, "informative", False)
    names = {"test": {"mine": pd.DataFrame({"twin": ["a"]})}, "everyone": {}, "collections": ["mine"]}
    after = run_cell("06-trust", "06-trust-subset-differences", **names)
    assert after["differences"]["p_holm"].tolist() == pytest.approx([0.06, 0.06, np.nan], nan_ok=True)


@pytest.mark.parametrize(
    ("test", "told"),
    [
        (0.5, "90.0\u202f%, more than the 50.0"),
        (0.9, "90.0\u202f%, not clearly different from the 90.0"),
        (1.0, "less"),
    ],
)
def test_chapter_6_tells_which_validation_foresaw_the_score(test, told):
    rows = [("validation", 0.9), ("test", test)]
    promises = pd.DataFrame(rows, columns=["split", "value"]).assign(way="shuffled", metric="accuracy")
    promises = promises.assign(low=promises["value"] - 0.01, high=promises["value"] + 0.01)
    names = {"promises": promises, "learnings": [], "binary": SimpleNamespace(title="Photos")}
    text, _ = say("06-trust", "06-trust-foreseen-said", **names)
    assert told in text and "that test gave (" in text


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ([0.7, 0.79, 0.89], "bring +10.0 points ["),
        ([0.9, 0.3, 0.9], "bring a change that cannot be told on Photos (beyond 400)."),
        ([0.7, 0.9], "No curve has the three points"),
    ],
)
def test_chapter_6_tells_what_more_photos_bring_where_that_can_be_told(values, told):
    growth = pd.DataFrame({"value": values, "photos": [100, 200, 400][: len(values)]}).assign(dataset="mine")
    names = {"growth": growth, "more_photos": 400, "titles": {"mine": "Photos"}}
    assert told in say("06-trust", "06-trust-growth-said", **names)[0]


@pytest.mark.parametrize(
    ("p", "told"),
    [
        (
            [0.01, 0.02],
            "luck, corrected for all kinds found (2): blurred (50\u202f% against 20\u202f%) and drawn (",
        ),
        ([0.01, 0.2], "corrected for all kinds found (2): blurred (50\u202f% against 20\u202f%)."),
        ([0.03, 0.03], "corrected for all kinds found (2): none."),
        ([], "corrected for all kinds found (0): none."),
    ],
)
def test_chapter_6_tells_which_odd_photos_are_harder(p, told):
    rows = pd.DataFrame({"finding": ["blurred", "drawn"], "value": 0.5, "others": 0.2})
    effects = (
        rows.head(len(p)).assign(p=p).set_index(pd.Index([0] * len(p)))
    )  # of two sets, one below the other
    odd = pd.DataFrame(columns=["finding", "label"])
    text = say("06-trust", "06-trust-odd-said", effects=effects, odd=odd, judged=[])[0]
    assert told in text and "second reader" not in text


@pytest.mark.parametrize(
    ("findings", "told"),
    [
        (["looked at", "looked at"], "looked at by eye: 2. Of these: none."),
        (["looked at", "thrown away"], "looked at by eye: 1. Of these: thrown away 1 (glass)."),
    ],
)
def test_chapter_6_tells_what_was_seen_by_eye(findings, told):
    odd = pd.DataFrame({"finding": findings, "label": "glass"})
    effects = pd.DataFrame(columns=["finding", "value", "others", "p"], dtype=object)
    text = say("06-trust", "06-trust-odd-said", effects=effects, odd=odd, judged=["a", "b"])[0]
    assert told in text and "A second reader, who did not know these answers, agrees on a and b." in text


@pytest.mark.parametrize(
    ("architecture", "search", "direct", "told"),
    [
        (HIGH, ZERO, HIGH, "The answer: the architecture."),
        (ZERO, HIGH, LOW, "The answer: the search."),
        (ZERO, HIGH, ZERO, "The answer: only the search helps beyond luck"),
        (ZERO, ZERO, ZERO, "The answer: that cannot be told from these photos."),
    ],
)
def test_chapter_7_weighs_architecture_against_search(architecture, search, direct, told):
    rows = [{"difference": np.mean([*each.values()]), **each} for each in (architecture, direct, search)]
    answers = pd.DataFrame(rows, index=list("abc")).rename_axis("question").reset_index().assign(dataset="x")
    names = {"answers": answers, "data": SimpleNamespace(name="x"), "of_networks": list("abc")}
    names |= {"first": "Old", "second": "New"}
    assert told in say("07-comparison", "06-architecture-said", **names)[0]


@pytest.mark.parametrize(
    ("after", "told"),
    [
        (
            [0.1, 0.2],
            "2 of 2 models. From the one it serves best to the one it serves worst: A on Photos (0.300",
        ),
        ([0.4, 0.5], "0 of 2 models."),
        ([0.1], "1 of 1 models."),
        ([], "0 of 0 models."),
    ],
)
def test_chapter_7_tells_whether_a_temperature_helps(after, told):
    rows = [
        {"dataset": "x", **wb.Model(name, "64x64").columns, "when": when, "value": value}
        for name, last in zip("ab", after, strict=False)
        for when, value in (("before", 0.3), ("after", last))
    ]
    errors = pd.DataFrame(rows, columns=["dataset", *wb.predictions.MODEL, "when", "value"])
    names = {"a-64x64": "A", "b-64x64": "B"}
    text = say("07-comparison", "06-calibration-said", errors=errors, names=names, titles={"x": "Photos"})[0]
    assert told in text and ("serves best" in text) == (len(after) > 1)


def test_chapter_7_tells_what_few_answers_carry():
    row = {"dataset": "x", "model": "m", "share": 0.8, "accuracy": 0.8013, "confidence": 0.7}
    names = {"selective": pd.DataFrame([row | {"low": 0.6, "high": 0.95}]), "answered": 0.8, "level": 0.9}
    names |= {"sets": pd.DataFrame({"coverage": [0.9], "dataset": "x", "size": 1.0})}
    text, _ = say("07-comparison", "06-promises-said", names={"m": "M"}, titles={"x": "X"}, **names)
    assert "M is right for 80\u202f% [60,\u202f95] of the 80\u202f% of test" in text


def test_chapter_8_tells_of_which_seeds_its_scores_are():
    scores = {"model": "m", "scheme": "grouped", "split": "test", "metric": "accuracy", "value": 0.75}
    scores = pd.DataFrame([scores | {"low": 0.5, "high": 1.0}])
    model = SimpleNamespace(facts=wb.Model("resnet18", "64x64").columns, threshold=0.5)
    names = {"chapter": SimpleNamespace(read=lambda *given: scores), "asked": {"a": ("m", model, None, None)}}
    after = run_cell("08-new-photos", "07-test", stem="m", tested=scores, **names)
    assert after["accuracy"] == "75\u202f% [50,\u202f100]"
    shares = pd.DataFrame({"strength": [0], "percent": ["80"]})
    names = {"shares": shares, "kept": [1], "ends": pd.DataFrame({"sure": [], "high": []})}
    assert (
        "Test photos of this one seed: 1."
        in say("08-new-photos", "07-robustness-said", extremes="", **names)[0]
    )


@pytest.mark.parametrize(
    ("sure", "told"), [(0.2, "sure of 0; its"), (0.9, "sure of 2; its highest confidence is 90")]
)
def test_chapter_8_tells_of_how_many_pictures_without_waste_it_is_sure(sure, told):
    answers = [SimpleNamespace(probabilities=np.array([sure, 0.1]))] * 2
    names = {"strange": answers, "materials": SimpleNamespace(threshold=0.5)}
    assert told in say("08-new-photos", "07-strange-said", answers=answers, **names)[0]


@pytest.mark.parametrize(
    ("truths", "told"),
    [([], []), (["glass", "paper", ""], ["✓ Glass; it is glass", "✗ Glass; it is paper", "Glass"])],
)
def test_chapter_8_tells_what_photos_are_where_that_is_known(truths, told):
    model = SimpleNamespace(
        look=lambda path: (path, "pixels"),
        row=lambda answer: {"label": "glass", "sure": True},
        describe=lambda answer, top: "Glass",
    )
    notebook = nbformat.read(paths.PROJECT / "chapters" / "08-new-photos.ipynb", as_version=4)
    (source,) = [cell.source for cell in notebook.cells if cell.source.startswith("def ask_about")]
    exec(source, names := {"materials": model, "pd": pd})
    looked, rows = names["ask_about"](truths, truths)
    assert list(rows["heading"]) == told and len(looked) == len(truths)


@pytest.mark.parametrize(
    ("sure", "told"),
    [
        ([0.1, 0.1], "under: none."),
        ([0.6, 0.9], "under: noise."),  # of blur within the interval of what is right
        ([0.9, 0.9], "under: blur and noise."),
    ],
)
def test_chapter_8_tells_under_what_the_model_fools_itself(sure, told):
    ends = pd.DataFrame({"accuracy": 0.5, "high": 0.7, "sure": sure}, index=["blur", "noise"])
    names = {"shares": pd.DataFrame({"strength": [0], "percent": ["80"]}), "kept": [1], "ends": ends}
    assert told in say("08-new-photos", "07-robustness-said", extremes="", **names)[0]


@pytest.mark.parametrize(
    ("photos", "right", "told"),
    [
        (
            150,
            [0.27, 0.8],
            "highest for noise (80\u202f% [73,\u202f86]), lowest for blur (27\u202f% [21,\u202f35]), so",
        ),
        (
            12,
            [7 / 12, 1.0],
            "highest for noise (100\u202f% [76,\u202f100]), lowest for blur (58\u202f% [32,\u202f81]).",
        ),
        (12, [0.5, 0.5], "the share right is 50\u202f% [25,\u202f75] for all."),
    ],
)
def test_chapter_8_calls_no_damage_the_worst_whose_interval_meets_the_next(photos, right, told, monkeypatch):
    low, high = metrics.share_interval(photos * np.array(right), np.array(photos))
    table = pd.DataFrame({"kind": ["blur", "noise"], "unit": "%", "strength": 1, "sure": 0.5})
    table = table.assign(accuracy=right, low=low, high=high)
    monkeypatch.setattr(wb.trust, "score_corrupted", lambda *given: table)
    model = SimpleNamespace(classes=["glass"], threshold=0.5)
    tested = pd.DataFrame({"path": ["a"], "label": ["glass"]})
    names = {"materials": model, "tested": tested, "data": SimpleNamespace(root=paths.PROJECT / "chapters")}
    names = run("08-new-photos", "07-spoil", monkeypatch, corrupted_photos=0, **names)
    assert len(names["kept"]) == 1
    after = run("08-new-photos", "07-robustness", monkeypatch, corrupted=table, shares=names["shares"])
    assert told in after["alt"] and ("blur is worst for it" in after["alt"]) == (photos > 12)


def test_chapter_8_says_what_is_wrong_with_a_folder_that_is_not_there():
    def ask_about(paths, truths):
        return [], pd.DataFrame({"heading": []})

    own = {"photos_dir": "no such folder", "predictor": predictor, "Path": Path, "ask_about": ask_about}
    own |= {"tested": pd.DataFrame({"path": ["a"], "label": ["glass"]}), "data": SimpleNamespace(root=Path())}
    own |= {"materials": SimpleNamespace(classes=["glass"]), "wb": wb}
    notebook = nbformat.read(paths.PROJECT / "chapters" / "08-new-photos.ipynb", as_version=4)
    (source,) = [each.source for each in notebook.cells if each.id == "07-grid"]
    with pytest.raises(WastebookError, match=r"no such folder: unreadable: .*\(No such file or directory\)"):
        exec(source, own)


@pytest.mark.parametrize(
    ("rows", "fall", "told", "alike"),
    [
        (
            [LOW, LOW],
            LOW,
            "Of 2 changes to photos of home, asked of one seed, 2 cost accuracy beyond luck, in points: dark",
            True,
        ),
        (
            [LOW, ZERO],
            LOW,
            "changes to photos of home, asked of one seed, 1 costs accuracy beyond luck, in points: dark",
            True,
        ),
        (
            [HIGH, ZERO],
            ZERO,
            "Of 2 changes to photos of home, asked of one seed, none costs accuracy beyond luck.",
            False,
        ),
    ],
)
def test_chapter_9_tells_which_changes_cost(rows, fall, told, alike):
    rows = [{"difference": np.mean([*each.values()]), **each} for each in rows]
    names = {"costs": pd.DataFrame(rows).assign(changed=["dark", "far"]), "learnings": []}
    fall = pd.Series(fall | {"difference": np.mean([*fall.values()])})
    text = say("09-elsewhere", "elsewhere-changes-told", fall=fall, **names)[0]
    assert told in text and ("as much as the smallest fall" in text) == alike


@pytest.mark.parametrize(
    ("interval", "told"),
    [
        (LOW, "on a rough grey ground is worse than that (−4.0"),
        (ZERO, "grey ground is not clearly different from that (+0.0 points"),
    ],
)
def test_chapter_9_holds_other_grounds_against_the_cut(interval, told):
    row = {"changed": wb.augment.SCENES["grey_ground"], "difference": np.mean([*interval.values()])}
    rows = [row | interval | {"model_b": "cut_out"}, row | {"changed": "farther", "model_b": "none"}]
    text, _ = say("09-elsewhere", "elsewhere-changes-against", there={"changes": pd.DataFrame(rows)})
    assert told in text and "farther" not in text


@pytest.mark.parametrize(
    ("cell", "names", "family"),
    [
        ("elsewhere-changes", {"views": dict.fromkeys(["none", *wb.augment.SCENES])}, 11),
        ("elsewhere-gains", {"few": pd.DataFrame(), "scheme": "grouped"}, 6),
    ],
)
def test_chapter_9_corrects_for_all_that_it_asks_together(cell, names, family, monkeypatch):
    asked = []

    def compare(predictions, pairs, metrics):
        asked.append(list(pairs))
        return pd.DataFrame(pairs, columns=["model_a", "model_b"])

    monkeypatch.setattr(wb, "compare_models", compare)
    notebook = nbformat.read(paths.PROJECT / "chapters" / "09-elsewhere.ipynb", as_version=4)
    (source,) = [each.source for each in notebook.cells if each.id == cell]
    study = SimpleNamespace(heads={("grouped", 0): None}, _replace=lambda **given: None)
    own = {"wb": wb, "pd": pd, "study": study, "scheme": "grouped", "seeds": [0], "changed": None}
    own |= {"ask": lambda *given: pd.DataFrame({"scheme": ["grouped"]}), "labelled": 10, "draws": 8}
    exec(source, own | {"mended": pd.DataFrame({"scheme": ["grouped"]})} | names)
    assert [len(pairs) for pairs in asked] == [family]


@pytest.mark.parametrize(("asked", "taken"), [((10, 8), (10, 8)), ((500, 0), (20, 1)), ((0, -1), (1, 1))])
def test_chapter_9_learns_from_some_of_the_photos_elsewhere_and_asks_about_others(asked, taken, monkeypatch):
    away = SimpleNamespace(photos=range(40), for_learning=lambda scheme: away, scheme="grouped")
    monkeypatch.setattr(wb, "load_photos", lambda *given: away)
    monkeypatch.setattr(wb, "open_chapter", lambda name: CHAPTER)
    notebook = nbformat.read(paths.PROJECT / "chapters" / "09-elsewhere.ipynb", as_version=4)
    own = dict.fromkeys(["dataset", "elsewhere", "photos_per_class", "scheme"])
    own |= {"seeds": [0], "networks": [], "own_shape": [72, 96], "labelled": asked[0], "draws": asked[1]}
    exec(next(each.source for each in notebook.cells if each.id == "elsewhere-open"), own)
    assert (own["labelled"], own["draws"]) == taken


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([HIGH, HIGH], "Of 2 mends 2 help beyond luck, in points: cut"),
        ([HIGH, LOW], "Of 2 mends 1 helps beyond luck, in points: cut (+4.0"),
        (
            [LOW, ZERO],
            "Of 2 mends none helps beyond luck; the largest gain, by grey, is not clearly",
        ),
        (
            [HIGH | {"p_holm": 0.06}, ZERO | {"p_holm": 1.0}],
            "none helps beyond luck; the largest gain, by cut, is not clearly different from none (+4.0 "
            "points [+2.0,\u202f+6.0]; corrected p 0.060).",
        ),
    ],
)
def test_chapter_9_tells_what_mends(rows, told):
    rows = [{"difference": (each["low"] + each["high"]) / 2, **each} for each in rows]
    gains = pd.DataFrame(rows).assign(mend=["cut", "grey"])
    assert told in say("09-elsewhere", "elsewhere-mended-told", gains=gains, learnings=[])[0]


@pytest.mark.parametrize(
    ("came", "told"),
    [
        (-1.0, "had promised 0.3: what came lies outside that interval; the two overlap."),
        (0.3, "had promised 0.3: what came lies within that."),
        (9.0, "had promised 0.3: what came lies outside that interval; the two do not meet."),
    ],
)
def test_chapter_10_tells_whether_the_forecast_held(came, told):
    ends = {"gain": [0.3, 0.0, came], "low": [0.0, -4.0, came - 1], "high": [0.5, 4.0, came + 1]}
    promises, binary = pd.DataFrame(ends, index=["a", "b", "what came"]), "waste-classification"
    names = {"points": promises["gain"].map(str), "law": [{"more": 100}], "learnings": [], "binary": binary}
    names |= {"promises": promises, "kept": paths.REFERENCE / binary / "06-trust"}
    assert told in say("10-leaks", "leaks-promise-told", **names)[0]


@pytest.mark.parametrize(
    ("held", "told"),
    [
        (0, "none holds photos of TrashNet; none of these is TrashNet alone"),
        (1, "at least 1 holds photos of TrashNet; none of these is TrashNet alone"),
        (2, "at least 2 hold photos of TrashNet; at least 1 of these is TrashNet alone"),
        (3, "at least 3 hold photos of TrashNet; at least 2 of these are TrashNet alone"),
    ],
)
def test_chapter_10_counts_the_sets_that_hold_others_photos(held, told):
    found = [held > 0, held > 1, held > 2]
    family = pd.DataFrame({"trashnet": found, "trashnet_again": 0, "photos": [10, 1, 1]}).astype(int)
    assert told in say("10-leaks", "leaks-learned", family=family, learnings=["a leak"])[0]


@pytest.mark.parametrize("informative", [True, False])
def test_chapter_10_ends_with_its_own_finding_too_where_that_may_be_told(informative, monkeypatch):
    monkeypatch.setattr(CHAPTER, "informative", informative)
    family = pd.DataFrame({"trashnet": [1], "trashnet_again": 0, "photos": 1})
    text, _ = say("10-leaks", "leaks-learned", family=family, learnings=["a leak", "a promise"])
    assert ("a leak" in text) == informative and "a promise" in text and "public set" in text


@pytest.mark.parametrize(
    ("asked", "kept"), [("trashnet", ["a leak", "claims", "a family"]), ("mine", ["a leak"])]
)
def test_chapter_10_has_in_short_what_it_found_on_its_own_photos(asked, kept):
    chapter, table = MagicMock(), pd.DataFrame({"set": ["a"]})
    names = dict.fromkeys(
        ["curve", "slopes", "claims", "deep", "undone", "family", "links", "promises"], table
    )
    names |= {"kin": "Of 13 sets", "held": 10, "tell_worth": lambda rows: "", "relatives": table}
    names |= {"taken": pd.DataFrame({"of": ["line", "bend", "line"]}), "rising": 1}
    names |= {"tell_lines": lambda of, whole: [f"{of} {whole}"], "find_ends": "".join}
    learnings = ["a leak", "a promise", "claims", "a family"]
    names |= {"titles": {asked: asked}, "learnings": learnings, "data": MagicMock(facts={})}
    run_cell("10-leaks", "leaks-keep", **names | {"chapter": chapter, "backbones": [MagicMock()]})
    recorded = chapter.record.call_args.kwargs
    assert recorded["headline"] == kept
    assert (recorded["rises"], recorded["worth"]) == ("1 of 2", "line 0.1")


def lines_of(bends, difference=0.4):
    """Slopes of so many lines, named after the alphabet, each worth a tenth more than the one before."""
    rows = []
    for at, bend in enumerate(bends):
        line = {"difference": difference + at / 10, "low": difference - 0.2, "high": difference + 0.2}
        step = {name: value / 2 for name, value in line.items()}
        for of, row in (("line", line), ("first step", step), ("bend", bend)):
            named = {"of": of, "line": "abcdefghi"[at], "dataset": "first" if at < 2 else "second"}
            rows.append({"difference": (row["low"] + row["high"]) / 2, **row, **named})
    return pd.DataFrame(rows)


def say_of_lines(cell, slopes, **names):
    """What a cell of chapter 10 tells, with the functions that it is told by."""
    notebook = nbformat.read(paths.PROJECT / "chapters" / "10-leaks.ipynb", as_version=4)
    own = {"wb": wb, "pd": pd, "slopes": slopes, "shares": [0.0, 0.25, 1.0], "drawn": ["sample"]}
    own["titles"] = {"first": "First", "second": "Second", "sample": "Drawn"}
    for each in notebook.cells:
        if each.id in ("leaks-lines-counted", "leaks-lines-told", "leaks-lines-judged", "leaks-sets-counted"):
            exec(each.source, own)
    return say("10-leaks", cell, **own | names)


@pytest.mark.parametrize(
    ("lines", "told", "rate"),
    [
        (1, "so much: a +4.0 points [+2.0,\u202f+6.0]; read off", "a +8.0 points [+4.0,\u202f+12.0]."),
        (
            2,
            "a +4.0 points [+2.0,\u202f+6.0] to b +5.0 points",
            "a +8.0 points [+4.0,\u202f+12.0] to b +10.0 points",
        ),
        (
            3,
            "a +4.0 points [+2.0,\u202f+6.0] to c +6.0 points",
            "a +8.0 points [+4.0,\u202f+12.0] to c +12.0 points",
        ),
        (
            9,
            "a +4.0 points [+2.0,\u202f+6.0] to i +12.0 points",
            "a +8.0 points [+4.0,\u202f+12.0] to i +24.0 points",
        ),
    ],
)
def test_chapter_10_tells_the_least_and_the_most_that_a_leak_is_worth(lines, told, rate):
    text, after = say_of_lines("leaks-leaks-told", lines_of([ZERO] * lines), learnings=[])
    (learned,) = after["learnings"]
    assert told in learned and f"; read off the first quarter alone: {rate}" in learned
    assert all((f"{line} +" in text) == (lines < 7 or line in "ai") for line in "abcdefghi"[:lines])


@pytest.mark.parametrize(
    ("datasets", "told"),
    [
        ("first second sample", ["a +4.0", "b +5.0"]),
        ("first sample sample", ["a +4.0"]),
        ("sample sample sample", ["a +4.0", "c +6.0"]),
    ],
)
def test_chapter_10_takes_no_drawn_pictures_for_photos(datasets, told):
    """Lines of the sample beside those of photos are in the figure, and not among the least and the most, nor
    among those that are judged."""
    slopes = lines_of([ZERO] * 3)
    slopes["dataset"] = slopes["line"].map(dict(zip("abc", datasets.split(), strict=True)))
    _, after = say_of_lines("leaks-leaks-told", slopes, learnings=[])
    ends = after["learnings"][0].partition("so much: ")[2].partition(";")[0].split(" to ")
    assert [each[:6] for each in ends] == told
    text, _ = say_of_lines("leaks-bends-told", slopes, learnings=["A tenth."])
    judged = [name for name in datasets.split() if name != "sample"] or datasets.split()
    assert f"Of {len(judged)} line" in text and ("Drawn" in text) == (judged[0] == "sample")


@pytest.mark.parametrize("able", [True, False])
def test_chapter_10_says_at_its_head_that_the_sample_is_asked_instead(able):
    """Where nothing can leak the run is of drawings, whatever photos it was asked about."""
    notebook = nbformat.read(paths.PROJECT / "chapters" / "10-leaks.ipynb", as_version=4)
    source = {each.id: each.source for each in notebook.cells}
    home = Collection("home", "Home", *[None] * 8)._replace(card={})
    sample, introduced = home._replace(name="sample", card={"drawn": True}), []
    chapter = SimpleNamespace(introduce=lambda data, *backbones: introduced.extend(data))
    own = {"dataset": "home", "others": [], "data": home, "backbones": [], "chapter": chapter}
    own |= {"can_leak": lambda each: able, "load_leaking": {"home": home, "sample": sample}.get}
    exec(source["leaks-asked"], own)
    exec(source["leaks-introduce"], own)
    (shown,) = introduced
    assert shown.name == ("home" if able else "sample")
    assert [*shown.remarks] == [
        "What a leak is worth is asked of the sample: Home shows too little twice for that."
    ] * (not able)


@pytest.mark.parametrize(
    ("difference", "bends", "rise", "by_set", "bend"),
    [
        (
            0.4,
            [ZERO],
            "Of 1 line 1 rises and none falls beyond",
            "First 1 of 1; within the first quarter alone 1 of 1 rises.",
            "on none of 1 line, and less on none, beyond",
        ),
        (
            0.4,
            [HIGH, ZERO, ZERO],
            "Of 3 lines 3 rise and none falls",
            "First 2 of 2 and Second 1 of 1; within the first quarter alone 3 of 3 rise.",
            "on 1 of 3 lines, and less on none, beyond",
        ),
        (
            -0.4,
            [HIGH, LOW, LOW],
            "Of 3 lines none rises and 3 fall",
            "First 0 of 2 and Second 0 of 1; within the first quarter alone none of 3 rises.",
            "on 1 of 3 lines, and less on 2, beyond",
        ),
        (
            0.1,
            [HIGH | {"p_holm": 0.06}],
            "Of 1 line none rises and none falls",
            "First 0 of 1; within the first quarter alone none of 1 rises.",
            "on none of 1 line, and less on none",
        ),
    ],
)
def test_chapter_10_tells_how_many_lines_rise_and_bend_after_correction(
    difference, bends, rise, by_set, bend
):
    text, after = say_of_lines("leaks-bends-told", lines_of(bends, difference), learnings=["A tenth."])
    assert after["learnings"][0].startswith(f"A tenth. {rise}")
    assert f"{rise}" in text and f"corrected for all of them. By set: {by_set}" in text
    assert f"The first quarter of the objects is worth more than the last {bend}" in text
    ends = sorted(np.mean([each["low"], each["high"]]) for each in bends)
    assert wb.format_points(pd.Series({"difference": ends[0], "low": np.nan, "high": np.nan})) in text


@pytest.mark.parametrize(
    ("number", "told"),
    [
        (0, ""),
        (1, "learned from 1 of them knew 70 % of the test photos asked, worth 4.0 points"),
        (3, "learned from 3 of them knew 70 % of the test photos asked, worth 4.0 to 6.0 points"),
    ],
)
def test_chapter_10_tells_what_photos_of_the_test_are_worth(number, told):
    notebook = nbformat.read(paths.PROJECT / "chapters" / "10-leaks.ipynb", as_version=4)
    own = {"wb": wb, "partial": partial, "doses": "70 %"}
    for each in notebook.cells:
        if each.id in ("leaks-lines-told", "leaks-claims-worth"):
            exec(each.source, own)
    text = own["tell_worth"](pd.DataFrame({"difference": [0.04, 0.05, 0.06][:number]}))
    assert told in text and bool(text) == bool(number)


def test_chapter_7_asks_of_views_what_changes_photos():
    rows = {"transform": ["none", "class_weights", "mixup", "rotation", "vertical_flip"]}
    rows |= {"value": [0.5, 0.9, 0.8, 0.6, 0.7], "network": "resnet18", "split": "validation"}
    rows = pd.DataFrame(rows | {"scheme": "grouped", "metric": "macro_f1"})
    overview = SimpleNamespace(read_earlier=lambda *given: rows.assign(model=rows["transform"]))
    own = {"wb": SimpleNamespace(overview=overview, augment=wb.augment, comparison=wb.comparison)}
    find_views = run_cell("07-comparison", "06-questions", earlier=[], **own)["find_views"]
    asked = {"network": "resnet18", "scheme": "grouped"}
    assert find_views(asked) == "vertical_flip"
    assert find_views(asked | {"network": "another"}) == find_views(asked | {"scheme": "random"}) == ""


@pytest.mark.parametrize(
    ("size", "epochs", "asked"),
    [("64x64", 15, ["views", "size"]), ("32x32", 15, ["size"]), ("64x64", 3, ["size"])],
)
def test_chapter_7_compares_models_of_one_size_and_as_many_epochs(size, epochs, asked, monkeypatch):
    """Unless the size is the question: whatever chapters ran with is held against nothing else."""
    models = {
        "02-baseline": [wb.Model("resnet18", "64x64")],
        "03-augmentation": [wb.Model("resnet18", size, "mixup")],
    }
    models["04-efficientnet"] = [wb.Model("newer", "64x64"), wb.Model("newer", "96x128")]
    rows = [each.columns | {"chapter": chapter} for chapter, found in models.items() for each in found]
    scores = pd.DataFrame(rows).assign(
        dataset="mine", scheme="grouped", split="test", metric="accuracy", value=0.5
    )
    history = scores.assign(epoch=scores["chapter"].map({"03-augmentation": epochs}).fillna(15))
    tables = {"scores": scores, "history": history}
    monkeypatch.setattr(wb.overview, "read_earlier", lambda chapter, needs, name: tables[name])
    monkeypatch.setattr(wb.overview, "test_scores", lambda *given: scores)
    monkeypatch.setattr(wb.overview, "all_models", lambda *given: scores)
    monkeypatch.setattr(wb.overview, "chosen_models", lambda *given: scores.head(1))
    names = {"needs": [], "reads": [], "watts": 1, "collections": {}, "data": SimpleNamespace(name="mine")}
    for cell in ("06-models-read", "06-questions", "comparison-asked"):
        names = run_cell("07-comparison", cell, **names)
        names = {name: value for name, value in names.items() if name not in ("wb", "pd", "np", "chapter")}
    old, new, find = (names[name] for name in ("old", "new", "find"))
    pairs = {"views": (find(old | {"transform": "mixup"}), find(old))}
    pairs["size"] = (find(new | {"image_size": "96x128"}), find(new))
    assert [question for question, pair in pairs.items() if all(pair)] == asked


def test_chapter_7_says_that_a_reference_has_none_of_these_models(monkeypatch):
    scores = pd.DataFrame({"dataset": ["mine"], "split": "test"})
    monkeypatch.setattr(wb.reference, "reference_scores", lambda *given: scores)
    monkeypatch.setattr(wb.reference, "compare_scores", lambda *given: pd.DataFrame({"differs": []}))
    each = SimpleNamespace(name="mine", title="Photos", facts={"fingerprint": ""})
    names = {"collections": {"mine": each}, "scores": scores, "beside": pd.DataFrame({"reading": ["above"]})}
    text, _ = say("07-comparison", "06-published-said", **names)
    assert "the reference has too: none on Photos" in text and "no reference" not in text
    assert "Published figures above this run's intervals: 1, within: 0, below: 0." in text


def test_chapter_10_tells_of_lookalikes_and_of_what_was_seen_when_some_were_looked_at():
    text, _ = say("10-leaks", "leaks-lookalikes-told", shown=pd.DataFrame({"share": [0.137, 0.137]}))
    assert re.search(r"grouped split 14\s% have a lookalike in train", text)
    assert re.search(
        r"right for 93.5\s% of them; one .* for 96.7\s%, which is better than that \(\+3.2 points", text
    )
    assert "what they show: one thing 32, not to be told 17 and two things 11." in text


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([HIGH, HIGH, ZERO], "than the frozen one on 2 of 3 sets, and less on none."),
        ([HIGH, LOW], "than the frozen one on 1 of 2 sets, and less on 1."),
        ([ZERO], "than the frozen one on none of 1 set, and less on none."),
    ],
)
def test_chapter_10_tells_whether_a_network_that_learned_whole_remembers_more(rows, told):
    deep = pd.DataFrame([{"difference": np.mean([*row.values()]), **row} for row in [HIGH, *rows]])
    text, _ = say("10-leaks", "leaks-finetuned-told", deep=deep, differs=deep.index > 0)
    assert told in text


def test_chapter_10_tells_what_share_of_mistakes_a_leak_undoes():
    cards = {name: {"title": f"The {name}"} for name in ("trashnet", "waste-classification", "sample")}
    text, _ = say("10-leaks", "leaks-undone-told", cards=cards)
    assert re.search(r"The trashnet 35\s% \[3,\s58\] and 39\s% \[0,\s75\], The waste-classification 72", text)
    assert "A larger share fine-tuned, beyond luck: The waste-classification." in text


def test_each_model_is_foretold_by_what_it_says_itself():
    kept = {name: wb.findings.read_kept("09-elsewhere", name=name) for name in ("foretold", "trust", "mends")}
    sure = kept["trust"].query("scheme == 'grouped' and place == 'elsewhere'").set_index("of")["sure"]
    told = kept["foretold"].query("method == 'confidence'").set_index("model")["foretold"]
    assert told.to_dict() == pytest.approx(sure.to_dict(), abs=1e-5) and told.nunique() == len(told) > 1
    corrected = wb.comparison.correct_holm(kept["mends"]["p"])
    assert kept["mends"]["p_holm"].tolist() == pytest.approx(corrected.tolist(), abs=1e-4)


@pytest.mark.parametrize("chosen", ["a", "b"])
def test_chapter_9_foretells_each_model_from_its_own_answers(chosen):
    models = [wb.Model(name, "64x64") for name in "ab"]
    rows = [(model.id, seed, path) for model in models for seed in (0, 1) for path in "xyz"]
    table = pd.DataFrame(rows, columns=["model", "seed", "path"]).assign(scheme="grouped", group=pd.NA)
    table["p_g"] = table["model"].map({models[0].id: 0.9, models[1].id: 0.6})
    table = table.assign(p_m=1 - table["p_g"], label="g", predicted="g")
    came = pd.DataFrame({"value": 0.5, "low": 0.4, "high": 0.6}, index=[model.id for model in models])
    names = {"tested": table, "answers": table, "scheme": "grouped", "studies": models}
    names |= {"accuracy": pd.concat({"elsewhere": came}), "chosen": chosen, "wb": wb, "pd": pd}
    names |= {"far": pd.DataFrame(), "model": models["ab".index(chosen)]}
    notebook = nbformat.read(paths.PROJECT / "chapters" / "09-elsewhere.ipynb", as_version=4)
    (source,) = [cell.source for cell in notebook.cells if cell.id == "elsewhere-foretell"]
    exec(source, names)
    sure = names["foretold"].query("method == 'confidence'")["foretold"].tolist()
    assert sure == pytest.approx([0.9, 0.6])


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        (
            [HIGH, HIGH],
            "Of 2 models, one per set, 2 score higher and none scores lower beyond luck with photos",
        ),
        ([HIGH, LOW], "one per set, 1 scores higher and 1 scores lower"),
        ([HIGH, LOW], "in their place: −4.0 [−6.0,\u202f−2.0] to +4.0 [+2.0,\u202f+6.0] points."),
        ([ZERO], "Of 1 model, one per set, none scores higher and none scores lower"),
        ([], "Of 0 models, one per set, none scores higher and none scores lower beyond luck with photos"),
    ],
)
def test_chapter_10_tells_what_the_family_is_worth(rows, told):
    rows = [
        {"set": f"{at}/set", "difference": np.mean([*row.values()]), **row}
        for at, row in zip("ab", rows, strict=False)
    ]
    judged = pd.DataFrame([*rows, {"set": "TrashNet", "difference": 0.04, **HIGH}])
    judged["points"] = judged.apply(wb.format_points, axis=1, unit="")
    notebook = nbformat.read(paths.PROJECT / "chapters" / "10-leaks.ipynb", as_version=4)
    (source,) = [cell.source for cell in notebook.cells if cell.id == "leaks-claims-counted"]
    judged["known"] = [*(0.7 + np.arange(len(rows)) / 10), 0.3]
    names = {"wb": wb, "flattered": judged, "helped": judged[-1:], "learnings": []}
    names |= {"find_ends": lambda texts: " to ".join(dict.fromkeys([*texts[:1], *texts[-1:]]))}
    exec(source, names)
    text, after = say("10-leaks", "leaks-claims-told", **names)
    assert "is worth +4.0 [+2.0,\u202f+6.0] points, with 30\u202f% known." in text
    doses = {0: "know none, by", 1: "know 70\u202f%, by", 2: "know 70\u202f% to 80\u202f%, by"}
    assert f"Of the photos asked they {doses[len(rows)]}" in text
    assert ("not one dose, so no ranking of the sets." in text) == (len(rows) > 1)
    assert (
        told in text
        and after["learnings"][0] in text
        and "Of 0 models, one per set, none scores higher" in text
    )


@pytest.mark.parametrize(
    "file", sorted((paths.PROJECT / "chapters").glob("*.ipynb")), ids=lambda file: file.stem
)
def test_a_figure_of_several_names_what_it_is_of(file):
    """Below each the page says no more than (a) and (b)."""
    cells = [cell for cell in nbformat.read(file, as_version=4).cells if cell.cell_type == "code"]
    for cell in cells:
        loops = [node for node in ast.walk(ast.parse(cell.source)) if isinstance(node, ast.For)]
        alone = [loop for loop in map(ast.unparse, loops) if "wb.show(" in loop and "suptitle(" not in loop]
        assert not alone, cell.id


@pytest.mark.parametrize(
    ("photos", "told"),
    [
        ([9, 9], "No class has ten test photos."),
        ([10, 9], "the most and the least: a (+10.0 points [+0.0,\u202f+20.0])."),
        ([10, 10], "the most and the least: a (+10.0 points [+0.0,\u202f+20.0]) to b (−10.0 points"),
    ],
)
def test_chapter_4_ranks_changes_of_classes_with_ten_test_photos(photos, told, monkeypatch):
    test = pd.DataFrame({"label": [*("a" * photos[0] + "b" * photos[1])]}).assign(path=lambda all: all.index)
    recalls = pd.DataFrame({"label": [*"abab"], "change": [np.nan, np.nan, 0.1, -0.1]})
    recalls = recalls.assign(low=recalls["change"] - 0.1, high=recalls["change"] + 0.1)
    monkeypatch.setattr(wb.comparison, "compare_recalls", lambda *given: recalls)
    monkeypatch.setattr(wb.figures, "recall_changes", lambda *given: None, raising=False)
    names = {"test": test, "new": "b", "old": "a", "data": SimpleNamespace(classes=["a", "b"])}
    assert told in run("04-efficientnet", "fig-efficientnet-recall", monkeypatch, **names)["alt"]
