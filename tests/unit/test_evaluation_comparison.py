"""Paired tests, calibration and cost."""

import numpy as np
import pandas as pd
import pytest
from statsmodels.stats.contingency_tables import mcnemar as reference_mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import confint_proportions_2indep
from test_evaluation_metrics import CLASSES, made_up

from wastebook.data import draw_per_class
from wastebook.errors import WastebookError
from wastebook.evaluation.comparison import compare_models, compare_unpaired, mcnemar
from wastebook.evaluation.metrics import score, share_interval
from wastebook.evaluation.trust import apply_temperature, calibrate, fit_temperature, reliability
from wastebook.learning.anatomy import measure_cost
from wastebook.learning.backbones import load_backbone


@pytest.fixture(scope="module")
def three():
    """A good model, a slightly better one that errs where it errs, and a poor one."""
    good = made_up(skill=2.0, model="good")
    better = good.assign(model="better")
    wrong = better.index[better["label"] != better["predicted"]][:12]
    better.loc[wrong, "predicted"] = better.loc[wrong, "label"]
    return pd.concat([good, better, made_up(skill=0.5, seed=0, model="poor")], ignore_index=True)


def test_a_difference_on_the_same_photos(three):
    table = compare_models(three).set_index(["model_a", "model_b", "metric"])
    assert len(table) == 6
    small = table.loc[("good", "better", "accuracy")]
    assert small["difference"] == pytest.approx(-12 / 400)
    assert small["high"] < 0  # paired: sure, though the two intervals overlap by far
    assert small["p"] < 0.01
    assert table.loc[("better", "poor", "macro_f1"), "low"] > 0.1
    for _, part in table.groupby("metric"):
        assert np.allclose(part["p_holm"], multipletests(part["p"], method="holm")[1])


def test_no_difference_from_itself(three):
    twin = pd.concat([three, three.query("model == 'good'").assign(model="twin")])
    row = compare_models(twin, [("good", "twin")], ("accuracy", "recall:glass", "auc")).set_index("metric")
    assert (row[["difference", "low", "high"]] == 0).all(axis=None)
    assert (row["p"] == 1).all()
    assert mcnemar(twin, [("good", "twin")])["p"].item() == 1


def test_mcnemar_is_exact(three):
    row = mcnemar(three, [("better", "poor")]).iloc[0]
    right = {name: (part["label"] == part["predicted"]).to_numpy() for name, part in three.groupby("model")}
    cells = pd.crosstab(right["better"], right["poor"]).to_numpy()
    assert (row["only_a"], row["only_b"]) == (cells[1, 0], cells[0, 1])
    assert row["p"] == pytest.approx(reference_mcnemar(cells, exact=True).pvalue)


def test_only_what_both_were_scored_on_counts(three):
    some = three[(three["model"] != "poor") | (three.index % 2 == 0)]
    assert compare_models(some, [("good", "better")])["difference"].iloc[0] == pytest.approx(-12 / 400)
    apart = three.assign(seed=(three["model"] == "good").astype(int))
    with pytest.raises(WastebookError, match="share no test photos"):
        compare_models(apart, [("good", "poor")])


def test_seeds_are_paired_too():
    several = pd.concat(
        [made_up(skill=skill, seed=seed, model=f"skill {skill}") for skill in (2.0, 1.0) for seed in range(3)]
    )
    row = compare_models(several, metrics=("accuracy",)).iloc[0]
    values = score(several, "made up", draws=1).query("metric == 'accuracy'")["value"].to_numpy()
    assert row["difference"] == pytest.approx(values[0] - values[1])


def test_the_temperature_is_found_again():
    honest = made_up(count=4000, skill=1.0, seed=8)
    factor = fit_temperature(honest)
    for temperature in (0.5, 3.0):
        overheated = apply_temperature(honest, temperature)
        assert fit_temperature(overheated) == pytest.approx(factor / temperature, rel=1e-3)
    assert (apply_temperature(honest, 3.0).filter(regex="^p_").sum(axis=1) - 1).abs().max() < 1e-12


def test_calibration_lessens_the_error_and_no_label_changes():
    sure = apply_temperature(made_up(count=2000), 0.2)
    sure["split"] = np.where(np.arange(2000) % 2, "validation", "test")
    both = pd.concat([sure, apply_temperature(sure, 0.5).assign(model="surer")])
    repaired, temperatures = calibrate(both)
    assert temperatures["temperature"].iloc[1] == pytest.approx(
        2 * temperatures["temperature"].iloc[0], rel=1e-3
    )
    before, after = (
        score(table, "made up", draws=1).query("metric == 'ece' and split == 'test'")["value"].to_numpy()
        for table in (both, repaired)
    )
    assert (after < before / 2).all()
    columns = [f"p_{name}" for name in CLASSES]
    assert (repaired[columns].idxmax(axis=1).str[2:].to_numpy() == both["predicted"].to_numpy()).all()


def test_reliability_counts_every_photo_once():
    table = reliability(made_up())
    assert table["photos"].sum() == 400
    assert table["confidence"].is_monotonic_increasing
    assert (table["low"] <= table["accuracy"]).all()
    assert (table["accuracy"] <= table["high"]).all()


def test_the_interval_of_a_share_holds_it():
    number = np.arange(1, 400)
    for hits in (0 * number, number, number // 2):
        low, high = share_interval(hits, number)
        assert (low <= hits / number).all() and (hits / number <= high).all()
        assert (high - low > 0.009).all()


def test_cost_is_counted(sample):
    photos = draw_per_class(sample.photos, 2, seed=0)
    backbone = load_backbone("resnet18", "random", 64, photos=photos, root=sample.root)
    row = measure_cost(backbone, class_count=6).iloc[0]
    assert row["parameters"] == 11_176_512 + 512 * 6 + 6
    assert row["depth"] == 18
    assert row["feature_width"] == 512
    assert row["image_size"] == "64 x 64"
    # torchvision counts 1.814 G multiply-adds at 224 x 224 with 1,000 classes.
    assert row["multiply_adds"] == pytest.approx(1.8135e9 * (64 / 224) ** 2, rel=0.01)
    assert row["megabytes"] == pytest.approx(44.7, abs=0.1)
    assert row["milliseconds"] > 0


def test_unpaired_difference_is_newcombes():
    scores = []
    for hits, photos in ((56, 70), (48, 80)):
        low, high = share_interval(hits, photos)
        scores.append(pd.Series({"value": hits / photos, "low": low, "high": high}))
    found = compare_unpaired(*scores)
    low, high = confint_proportions_2indep(56, 70, 48, 80, method="newcomb", compare="diff")
    assert found.tolist() == pytest.approx([0.2, low, high])
