"""What is odd about photos is found with its reason, and what it is worth is measured; so is a leak, by
degrees."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import cohen_kappa_score

from wastebook import paths
from wastebook.evaluation import audit
from wastebook.learning.predictions import MODEL, Model, predictions_table
from wastebook.photos.collection import Collection

CLASSES = ["organic", "recyclable"]
# Test photo t1 is a learned one's copy only by way of t2; t3 and its copy are both in test.
PHOTOS = pd.DataFrame(
    {
        "path": ["a", "b", "t1", "t2", "t3", "t4"],
        "label": ["organic", "recyclable", "organic", "organic", "organic", "recyclable"],
        "split": ["train", "validation", "test", "test", "test", "test"],
        "sha256": list("abcdef"),
        "group": pd.array([pd.NA] * 6, "Int64"),
    }
)
PAIRS = pd.DataFrame(
    [
        ("a", "t2", "exact", True, False),
        ("t1", "t2", "near", True, True),
        ("b", "t3", "object", False, False),
        ("t3", "t4", "object", False, True),
        ("a", "elsewhere", "exact", True, False),
    ],
    columns=["path_a", "path_b", "kind", "same_label", "same_split"],
)
PROBLEMS = pd.DataFrame(
    {"path": ["t4"], "problem": ["near-blank"], "detail": ["values hardly vary"], "readable": [True]}
)


def test_twins_are_found_through_chains():
    twins = audit.twins_outside_test(PHOTOS, PAIRS)
    assert dict(zip(PHOTOS["path"], twins, strict=True)) | {"a": None, "b": None} == {
        "a": None, "b": None, "t1": "a", "t2": "a", "t3": "b", "t4": "b",
    }  # fmt: skip
    assert twins[:2].isna().all()
    exact = audit.twins_outside_test(PHOTOS, PAIRS[PAIRS["kind"] == "exact"])
    assert PHOTOS.loc[exact.notna(), "path"].tolist() == ["t2"]


def test_twins_of_every_deal():
    deals = {("official", 0): PHOTOS, ("random", 1): PHOTOS.assign(split=["test", *["train"] * 5])}
    twins = audit.find_twins(deals, PAIRS).set_index(["scheme", "path"])
    assert len(twins) == 5 and twins.loc[("random", "a"), "twin"] == "t1"
    assert twins.loc["official"][["exact", "near", "object", "twin"]].count().to_list() == [1, 0, 2, 4]


def collection(pairs=PAIRS, problems=PROBLEMS, name="no-such-set"):
    return Collection(name, "", None, CLASSES, {}, PHOTOS, pairs, PHOTOS, problems, {})


def test_oddities_are_listed_with_their_reason(monkeypatch):
    looked = pd.DataFrame({"path": ["t1", "t2"], "overlay": [0, 1], "drawn": [0, 0], "discarded": [0, 0]})
    monkeypatch.setattr(audit, "read_judgements", lambda dataset, what: looked)
    odd = audit.list_oddities(collection(), PHOTOS)
    found = {
        finding: dict(zip(part["path"], part["because"], strict=True))
        for finding, part in odd.groupby("finding")
    }
    assert found == {
        audit.COPIES["exact"]: {"t2": "a"},
        audit.COPIES["object"]: {"t3": "b", "t4": "b"},
        "also outside test: any of these": {"t1": "a", "t2": "a", "t3": "b", "t4": "b"},
        "copy on its own side": {"t1": "t2", "t2": "t1", "t3": "t4", "t4": "t3"},
        "under two labels": {"b": "t3", "t3": "t4", "t4": "t3"},
        "file near-blank": {"t4": "values hardly vary"},
        "watermark or text": {"t2": "t2"},
        "looked at": {"t1": "t1", "t2": "t2"},
    }
    monkeypatch.undo()
    assert audit.list_oddities(collection(PAIRS[:0], PROBLEMS[:0]), PHOTOS).empty


def test_pairs_that_were_refuted_do_not_count(monkeypatch):
    data = collection()
    among = PAIRS[PAIRS["path_b"] != "elsewhere"]  # nobody has looked at these photos
    assert audit.drop_refuted(data).pairs.equals(among.reset_index(drop=True))
    assert audit.drop_refuted(data).photos["group"].notna().sum() == 6
    judged = pd.DataFrame({"path_a": ["a", "t1"], "path_b": ["t2", "t2"], "same": [0, 1]})
    monkeypatch.setattr(audit, "read_judgements", lambda *_: judged)
    assert audit.drop_refuted(data).pairs["path_a"].tolist() == ["t1", "b", "t3"]


def test_judgements_are_of_photos_of_the_collection():
    pairs, photos = (audit.read_judgements("waste-classification", what) for what in ("pairs", "looked-at"))
    assert set(pairs["same"]) == {0, 1} and set(pairs["kind"]) == {"near", "object"}
    across = pairs["path_a"].str.split("/").str[0] != pairs["path_b"].str.split("/").str[0]
    assert (across == (pairs["drawn"] == "all across")).all()
    assert photos["path"].str.startswith("TEST/").all() and photos["path"].is_unique


def test_how_far_two_readers_agree_comes_from_what_they_judged():
    kept = pd.read_csv(paths.CARDS / "audit" / "agreement.csv").set_index(["file", "judged"])
    again = []
    for file in (paths.CARDS / "audit").glob("waste-classification-*.csv"):
        table = pd.read_csv(file)
        again += [(file.name, column.removesuffix("_again")) for column in table if column.endswith("_again")]
    assert sorted(kept.index) == sorted(again) and again
    for (file, judged), row in kept.iterrows():
        table = pd.read_csv(paths.CARDS / "audit" / file)
        first, second = table[judged], table[f"{judged}_again"]
        assert set(first) | set(second) == {0, 1}
        assert (row["photos"], row["agree"]) == (len(table), (first == second).sum())
        assert row["kappa"] == pytest.approx(cohen_kappa_score(first, second), abs=0.0005)
        drawn = np.random.default_rng(0).integers(len(table), size=(2000, len(table)))
        one, other = first.to_numpy()[drawn], second.to_numpy()[drawn]
        agree, yes, yes_too = (one == other).mean(1), one.mean(1), other.mean(1)
        chance = yes * yes_too + (1 - yes) * (1 - yes_too)
        low, high = np.percentile((agree - chance) / (1 - chance), [2.5, 97.5])
        assert (row["low"], row["high"]) == pytest.approx((low, high), abs=0.0005)


def test_what_the_search_for_copies_misses_agrees_with_what_is_told_of_it():
    folder = paths.CARDS / "audit"
    scores, pairs = (
        pd.read_csv(folder / f"trashnet-{name}.csv") for name in ("lookalikes", "lookalike-pairs")
    )
    assert scores["difference"].to_list() == pytest.approx(
        (scores["whole"] - scores["part"]).to_list(), abs=1e-5
    )
    kept = pd.read_csv(paths.REFERENCE / "trashnet" / "finetuning" / "accuracy.csv")
    kept = kept.query("scheme == 'grouped' and split == 'test' and metric == 'accuracy'").set_index("model")
    assert scores["whole"].to_list() == pytest.approx(kept.loc[scores["model"], "value"].to_list(), abs=1e-5)
    seen = pairs.assign(same=pairs["same"].fillna(-1)).groupby("drawn")["same"].value_counts()
    unmet = pd.read_csv(folder / "trashnet-lookalikes-unmet.csv").set_index("asked")
    assert (unmet["fewer"] - unmet["unmet"] - unmet["difference"]).abs().max() < 1e-5
    whole = unmet.drop("all")[["met", "fewer", "unmet"]].mul(unmet["share"].drop("all"), axis=0).sum()
    assert (whole - unmet.loc["all", whole.index]).abs().max() < 0.001  # shares differ from deal to deal
    assert seen["lookalike"].to_dict() == {1: 32, 0: 11, -1: 17} and seen["other"].to_dict() == {0: 17, -1: 3}
    text = (folder / "README.md").read_text(encoding="utf-8")
    assert "32 of the 60 show one thing" in text and "11 do not, and of 17" in text


def test_what_odd_photos_are_worth():
    photos = pd.concat([PHOTOS[PHOTOS["split"] == "test"]] * 10, ignore_index=True)
    photos["path"] = [f"{at}-{path}" for at, path in enumerate(photos["path"])]
    sure = np.where(photos["label"] == CLASSES[1], 0.9, 0.1)
    odd = photos["path"].str.endswith("t3").to_numpy()
    sure[odd] = 0.9  # all odd ones are mistaken, one in four of all
    table = predictions_table(
        photos, np.stack([1 - sure, sure], 1), CLASSES, Model("m", "8x8"), 0, "official"
    )

    row = audit.subset_differences(table, pd.Series(~odd), ("accuracy",), draws=200).iloc[0]
    assert (row["scheme"], row["model"]) == ("official", table["model"].iloc[0])
    assert (row["whole"], row["part"]) == (0.75, 1.0) and row["difference"] == -0.25
    assert row["low"] <= -0.25 <= row["high"] < 0 and row["p"] < 0.02

    inside = {every: pd.Series(every, table.index) for every in (True, False)}
    inside = {every: audit.subset_differences(table, each, ("accuracy",)) for every, each in inside.items()}
    assert inside[True][["low", "high", "p"]].to_numpy().tolist() == [[0, 0, 1]]
    assert inside[False]["difference"].isna().all()

    found = pd.DataFrame({"finding": "torn", "path": photos["path"][odd]})
    nothing = pd.DataFrame({"finding": ["lost"], "path": ["not among these"]})
    effects = audit.oddity_effects(table, pd.concat([found, nothing]), draws=200)
    assert effects["finding"].tolist() == ["torn"]
    effect = effects.iloc[0]
    assert (effect["photos"], effect["value"], effect["others"]) == (10, 0.0, 1.0)
    assert effect["low"] == 0 and effect["high"] == pytest.approx(0.278, abs=0.001)  # Wilson's, of 0 of 10
    assert (effect["worth"], effect["worth_high"] < 0) == (-0.25, True)
    assert effect["p"] < 0.001
    assert audit.oddity_effects(table[:0], found[:0]).empty

    looked = pd.DataFrame({"finding": audit.LOOKED, "path": photos["path"][odd]})
    drawn = looked.head(4).assign(finding="drawing or chart")
    effects = audit.oddity_effects(table, pd.concat([looked, drawn]), draws=20)
    assert effects[["finding", "photos", "others"]].to_numpy().tolist() == [["drawing or chart", 4, 0.0]]
    assert effects["p"].item() == 1, "where all are wrong, no kind is"


@pytest.fixture
def learned():
    """Photos, numbered, of which some of test share a group with one of train; and what learns them by heart
    that it has met."""
    photos = pd.DataFrame({"path": [f"{at}.jpg" for at in range(80)], "label": CLASSES * 40})
    photos["split"] = ["train"] * 60 + ["test"] * 20
    photos["group"] = pd.array([*range(60), *range(10), *range(100, 110)], "Int64")

    def learn(deals):
        parts = []
        for (scheme, seed), dealt in deals.items():
            met = dealt["group"].isin(dealt.loc[dealt["split"] == "train", "group"])
            truth = (dealt["label"] == CLASSES[1]).to_numpy()
            sure = np.where(met, np.where(truth, 0.9, 0.1), 0.4)
            model = Model("resnet18", "8x8", head="exact")
            parts.append(
                predictions_table(dealt, np.stack([1 - sure, sure], 1), CLASSES, model, seed, scheme)
            )
        return pd.concat(parts, ignore_index=True)

    return {("official", 0): photos}, learn


def test_memory_is_what_the_twins_bring(learned):
    deals, learn = learned
    memory = audit.measure_memory(learn(deals), learn, deals).set_index("metric")
    row = memory.loc["accuracy"]
    assert (row["photos"], row["met"], row["unmet"], row["difference"]) == (10, 1.0, 0.5, 0.5)
    assert memory.loc["log_loss", "difference"] < 0
    alone = {key: photos.assign(group=pd.NA) for key, photos in deals.items()}
    assert audit.measure_memory(learn(deals), learn, alone).empty


def test_learning_from_ever_more_photos(learned):
    deals, learn = learned
    curve = audit.learning_curve(learn, deals, [0.5, 1.0])
    assert curve["photos"].to_list() == [30, 60] and curve["value"].is_monotonic_increasing
    assert curve["value"].iloc[1] == 0.75 and (curve["low"] <= curve["value"]).all()


def test_the_scores_of_the_family_agree():
    """With the list of sets and classes, with one another, and with what each difference is between."""
    family, classes, scores = (
        pd.read_csv(paths.CARDS / "audit" / f"family{name}.csv") for name in ("", "-classes", "-scores")
    )
    assert set(classes["set"]) <= set(family["set"]) and set(scores["set"]) == {*classes["set"], "TrashNet"}
    assert (classes.groupby("set")["material"].nunique() == 4).all()
    assert (scores["low"] <= scores["value"]).all() and (scores["value"] <= scores["high"]).all()
    known = scores["against"].isna()
    unshared = scores["learned"].isin(["without TrashNet's test", "without TrashNet"])
    assert (scores.loc[known & unshared, "shared"] == 0).all()
    asked = scores[known & (scores["asked"] == "TrashNet's test")].set_index(["set", "learned"])
    assert asked.index.is_unique
    for row in scores[~known].itertuples():
        between = asked.loc[row.set, "value"]
        assert row.value == pytest.approx(between[row.learned] - between[row.against], abs=1e-5)
    fewer, without = (
        asked.xs(way, level="learned") for way in ("fewer at random", "without TrashNet's test")
    )
    assert (fewer["photos"] == without["photos"]).all() and (fewer["shared"] > 0).all()


SHARES = (0.0, 0.5, 1.0)


@pytest.fixture
def photos():
    """240 photos alone, 60 things photographed twice, one pair under two labels."""
    labels = ["a", "b", "c"] * 80
    alone = pd.DataFrame({"label": labels, "group": range(240)})
    twice = pd.DataFrame({"label": labels[:60] * 2, "group": [*range(300, 360)] * 2})
    torn = pd.DataFrame({"label": ["a", "b"], "group": [400, 400]})
    table = pd.concat([alone, twice, torn], ignore_index=True)
    return table.assign(path=[f"{at:03}.jpg" for at in range(len(table))])


@pytest.mark.parametrize("most", [10_000, 90])
def test_train_and_test_stay_and_only_the_objects_known_grow(photos, most):
    dealt = audit.deal_leaks(photos, SHARES, 3, most)
    assert list(dealt) == [(share, 3) for share in SHARES]
    tests, sizes, known = set(), set(), []
    for table in dealt.values():
        assert table["path"].equals(photos["path"])
        test, train = (table[table["split"] == split] for split in ("test", "train"))
        tests.add(tuple(test["path"]))
        sizes.add(tuple(train["label"].value_counts().sort_index()))
        known.append(test["group"].isin(train["group"]).mean())
        validation = table[table["split"] == "validation"]
        assert not validation["group"].isin([*train["group"], *test["group"]]).any()
        assert not table.loc[table["group"] == 400, "split"].ne("left out").any()
        assert test["group"].is_unique and len(test) == 60
    assert len(tests) == len(sizes) == 1
    assert known == pytest.approx(SHARES, abs=0.02)
    assert sum(next(iter(sizes))) <= max(most, 60)


def answers(rise, photos=200, power=1):
    """Test photos of which a share `rise` more is right once all objects are known; of a `power` below 1 the
    first known are worth more than the last."""
    parts = []
    for seed in (0, 1):
        for share in SHARES:
            order = np.random.default_rng(seed).permutation(photos) / photos
            table = pd.DataFrame({"path": [f"{at}.jpg" for at in range(photos)], "group": range(photos)})
            table = table.assign(label="a", p_a=0.5, p_b=0.5)
            table["predicted"] = np.where(order < 0.6 + rise * share**power, "a", "b")
            parts.append(table.assign(scheme=share, seed=seed, split="test", **Model("net", "8x8").columns))
    return pd.concat(parts, ignore_index=True)


@pytest.mark.parametrize("rise", [0.0, 0.2, -0.1])
def test_the_slope_is_what_all_objects_known_are_worth(rise):
    slopes = audit.fit_slopes(answers(rise), draws=300)
    assert list(slopes.columns[:5]) == MODEL
    slope, first, bend = slopes.to_dict("records")
    assert [each["of"] for each in (slope, first, bend)] == ["line", "first step", "bend"]
    assert slope["difference"] == pytest.approx(rise, abs=1e-6)
    assert first["difference"] == pytest.approx(rise / 2, abs=1e-6)
    for row in (slope, first):
        assert row["low"] <= row["difference"] <= row["high"] and (row["low"] < row["high"]) == (rise != 0)
        assert (row["low"] > 0, row["high"] < 0, row["p"] < 0.05) == (rise > 0, rise < 0, rise != 0)
    assert bend["difference"] == pytest.approx(0, abs=1e-6) and bend["p"] > 0.05


@pytest.mark.parametrize(("power", "sign"), [(0.2, 1), (5, -1)])
def test_where_the_curve_bends_the_first_step_is_worth_another_than_the_last(power, sign):
    bend = audit.fit_slopes(answers(0.3, power=power), draws=300).iloc[-1]
    assert sign * bend["difference"] > 0.15 and bend["p"] < 0.05
    assert min(sign * bend["low"], sign * bend["high"]) > 0
