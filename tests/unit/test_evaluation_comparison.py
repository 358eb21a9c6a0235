"""Paired tests, and what they are taken to mean."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest
from statsmodels.stats.contingency_tables import mcnemar as reference_mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import confint_proportions_2indep
from test_evaluation_metrics import made_up

from wastebook.errors import WastebookError
from wastebook.evaluation.comparison import (
    SIGNIFICANCE,
    choose_on_validation,
    compare_models,
    compare_recalls,
    compare_unpaired,
    judge_difference,
    mcnemar,
)
from wastebook.evaluation.metrics import score, share_interval
from wastebook.learning.predictions import Model


@pytest.fixture(scope="module")
def three():
    """A good model, a slightly better one that errs where it errs, and a poor one."""
    good = made_up(skill=2.0, model="good")
    better = good.assign(**Model("better", "64x64").columns)
    wrong = better.index[better["label"] != better["predicted"]][:12]
    better.loc[wrong, "predicted"] = better.loc[wrong, "label"]
    return pd.concat([good, better, made_up(skill=0.5, seed=0, model="poor")], ignore_index=True)


GOOD, BETTER, POOR, TWIN = (Model(name, "64x64") for name in ("good", "better", "poor", "twin"))


def named(table):
    """The table with networks in the place of models' ids."""
    return table.replace({model.id: model.network for model in (GOOD, BETTER, POOR)})


def test_a_difference_on_the_same_photos(three):
    table = named(compare_models(three)).set_index(["model_a", "model_b", "metric"])
    assert len(table) == 6
    small = table.loc[("good", "better", "accuracy")]
    assert small["difference"] == pytest.approx(-12 / 400)
    assert small["high"] < 0  # paired: sure, though the two intervals overlap by far
    assert small["p"] < 0.01
    assert table.loc[("better", "poor", "macro_f1"), "low"] > 0.1
    for _, part in table.groupby("metric"):
        assert np.allclose(part["p_holm"], multipletests(part["p"], method="holm")[1])


def test_a_pair_has_one_interval_however_many_others_are_asked_about(three):
    ends = ["model_a", "model_b", "metric", "difference", "low", "high"]
    alone, among = (compare_models(three, pairs)[ends] for pairs in ([(GOOD, BETTER)], None))
    among = among.merge(alone[ends[:3]])[ends]
    pd.testing.assert_frame_equal(alone, among)


def test_recalls_class_by_class(three):
    table = compare_recalls(three, [(BETTER, GOOD)])
    assert len(table) == 3 * three["label"].nunique()
    assert set(table.loc[table["change"].notna(), "network"]) == {"better"}
    wide = table.pivot(index="label", columns="network", values="recall")
    change = table.dropna().set_index("label")
    assert np.allclose(change["change"], (wide["better"] - wide["good"])[change.index])
    assert (change["low"] <= change["change"]).all() and (change["change"] <= change["high"]).all()


def test_no_difference_from_itself(three):
    twin = pd.concat([three, three.query("network == 'good'").assign(**TWIN.columns)])
    row = compare_models(twin, [(GOOD, TWIN)], ("accuracy", "recall:glass", "auc")).set_index("metric")
    assert (row[["difference", "low", "high"]] == 0).all(axis=None)
    assert (row["p"] == 1).all()
    assert mcnemar(twin, [(GOOD, TWIN)])["p"].item() == 1


def test_mcnemar_is_exact(three):
    row = mcnemar(three, [(BETTER, POOR)]).iloc[0]
    right = {name: (part["label"] == part["predicted"]).to_numpy() for name, part in three.groupby("network")}
    cells = pd.crosstab(right["better"], right["poor"]).to_numpy()
    assert (row["only_a"], row["only_b"]) == (cells[1, 0], cells[0, 1])
    assert row["p"] == pytest.approx(reference_mcnemar(cells, exact=True).pvalue)


def test_mcnemar_counts_things():
    several = [
        made_up(skill=skill, seed=seed, model=f"skill {skill}", group_size=5)
        for skill in (2.0, 1.0)
        for seed in (0, 1)
    ]
    row = mcnemar(pd.concat(several), [("skill 2.0-64x64", "skill 1.0-64x64")]).iloc[0]
    right = [(table["label"] == table["predicted"]).groupby(table["group"]).sum() for table in several]
    a, b = right[0] + right[1], right[2] + right[3]
    assert (row["only_a"], row["only_b"]) == ((a > b).sum(), (b > a).sum()) and row["only_a"] + row[
        "only_b"
    ] <= 80
    assert row["p"] == pytest.approx(binomtest(row["only_a"], row["only_a"] + row["only_b"]).pvalue)


def test_only_what_both_were_scored_on_counts(three):
    some = three[(three["network"] != "poor") | (three.index % 2 == 0)]
    assert compare_models(some, [(GOOD.id, BETTER.id)])["difference"].iloc[0] == pytest.approx(-12 / 400)
    apart = three.assign(seed=(three["network"] == "good").astype(int))
    with pytest.raises(WastebookError, match="share no test photos"):
        compare_models(apart, [(GOOD, POOR)])


def test_seeds_are_paired_too():
    several = pd.concat(
        [made_up(skill=skill, seed=seed, model=f"skill {skill}") for skill in (2.0, 1.0) for seed in range(3)]
    )
    row = compare_models(several, metrics=("accuracy",)).iloc[0]
    values = score(several, "made up", draws=1).query("metric == 'accuracy'")["value"].to_numpy()
    assert row["difference"] == pytest.approx(values[0] - values[1])


def test_unpaired_difference_is_newcombes():
    scores = []
    for hits, photos in ((56, 70), (48, 80)):
        low, high = share_interval(hits, photos)
        scores.append(pd.Series({"value": hits / photos, "low": low, "high": high}))
    found = compare_unpaired(*scores)
    low, high = confint_proportions_2indep(56, 70, 48, 80, method="newcomb", compare="diff")
    assert found.tolist() == pytest.approx([0.2, low, high])


def test_many_comparisons_leave_a_chance(three):
    """However many pairs share a correction, a plain difference can still pass it."""
    table = compare_models(three, [(BETTER, POOR)] * 60, ["accuracy"])
    assert (table["low"] > 0).all() and (table["p_holm"] < SIGNIFICANCE).all()
    assert compare_models(three, []).empty


def difference(value, low, high, **more):
    return pd.Series({"difference": value, "low": low, "high": high} | more)


def test_a_difference_is_judged_by_its_corrected_p():
    assert judge_difference(difference(0.1, 0.01, 0.2)) == "better"
    assert judge_difference(difference(-0.1, -0.2, -0.01)) == "worse"
    assert judge_difference(difference(0.1, -0.01, 0.2)) == "undecided"
    assert judge_difference(difference(0.1, 0.01, 0.2, p_holm=0.3)) == "undecided"
    assert judge_difference(difference(-0.1, -0.2, -0.01, p_holm=0.04)) == "worse"
    assert judge_difference(difference(0.1, 0.01, 0.2, p_holm=np.nan)) == "better"
    assert judge_difference(difference(0.0, 0.0, 0.0, p_holm=1.0)) == "undecided"


def test_validation_chooses():
    rows = [("a", "validation", 0.6), ("b", "validation", 0.7), ("c", "validation", 0.7), ("a", "test", 0.9)]
    scores = pd.DataFrame(rows, columns=["model", "split", "value"]).assign(
        scheme="grouped", metric="macro_f1"
    )
    assert choose_on_validation(scores, "grouped") == "b"
    with pytest.raises(WastebookError, match="No accuracy on validation under the grouped split"):
        choose_on_validation(scores, "grouped", "accuracy")
