"""What is odd about a set of photos, and what that, or a leak, is worth to a score."""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from statsmodels.stats.contingency_tables import StratifiedTable

from wastebook import paths
from wastebook.evaluation.comparison import compare_models
from wastebook.evaluation.metrics import (
    DRAWS,
    count_groups,
    describe_draws,
    draw_metrics,
    score,
    share_interval,
)
from wastebook.learning.predictions import MODEL
from wastebook.learning.study import Deals
from wastebook.photos.collection import Collection
from wastebook.photos.duplicates import group_photos, pairs_among

Learn = Callable[[Deals], pd.DataFrame]  # the predictions of a head that learns under every deal

COPIES = {
    "exact": "also outside test: the same file",
    "near": "also outside test: the same shot",
    "object": "also outside test: the same thing",
}
SIGNS = {"overlay": "watermark or text", "drawn": "drawing or chart", "discarded": "thrown away"}
LOOKED = "looked at"
VALIDATION = 1 / 6  # of the photos that are alone in their group, where leaks are dealt


def read_judgements(dataset: str, what: str) -> pd.DataFrame:
    """What somebody who looked at a data set's photos wrote down (see `data/audit/README.md`), or no row."""
    file = paths.CARDS / "audit" / f"{dataset}-{what}.csv"
    return pd.read_csv(file) if file.exists() else pd.DataFrame()


def drop_refuted(data: Collection) -> Collection:
    """The photos of a chapter without the pairs that were judged not to show the same, grouped anew."""
    ends, judged = ["path_a", "path_b"], read_judgements(data.name, "pairs")
    refuted = judged.reindex(columns=[*ends, "same"]).query("same == 0").set_index(ends).index
    pairs = data.pairs[~data.pairs.set_index(ends).index.isin(refuted)]
    pairs = pairs_among(data.photos, pairs).reset_index(drop=True)
    return data._replace(pairs=pairs, photos=group_photos(data.photos, pairs))


def twins_outside_test(photos: pd.DataFrame, pairs: pd.DataFrame) -> pd.Series:
    """For each photo of `test` the path of the first one outside test that shows the same, whatever its
    label, by any chain of `pairs`; missing where there is none, and outside test."""
    group, in_test = group_photos(photos, pairs)["group"], photos["split"] == "test"
    return photos["path"].mask(in_test).groupby(group).transform("first").where(in_test)


def find_twins(deals: Deals, pairs: pd.DataFrame) -> pd.DataFrame:
    """Each test photo of each deal, `path, label, sha256, scheme, seed`, and its twin's path (see
    `twins_outside_test`): `twin`, of any kind, and one of each of `COPIES`."""
    parts = []
    for (scheme, seed), photos in deals.items():
        found = {kind: twins_outside_test(photos, pairs[pairs["kind"] == kind]) for kind in COPIES}
        test = photos.loc[photos["split"] == "test", ["path", "label", "sha256"]]
        parts.append(test.assign(scheme=scheme, seed=seed, twin=twins_outside_test(photos, pairs), **found))
    return pd.concat(parts, ignore_index=True)


def list_oddities(data: Collection, photos: pd.DataFrame) -> pd.DataFrame:
    """Every odd one of the `photos`, dealt out, once per finding, `because` of a twin or copy, of what
    `check_photos` found, or of what somebody saw in photos drawn at random (`SIGNS`; all are `LOOKED`)."""
    pairs = pairs_among(photos, data.pairs)
    both = pd.concat([pairs, pairs.rename(columns={"path_a": "path_b", "path_b": "path_a"})])
    in_test = (photos["split"] == "test").set_axis(photos["path"])
    own_side = both["path_a"].map(in_test) == both["path_b"].map(in_test)
    found = {name: twins_outside_test(photos, pairs[pairs["kind"] == kind]) for kind, name in COPIES.items()}
    found["also outside test: any of these"] = twins_outside_test(photos, pairs)
    copies = {"copy on its own side": both[own_side], "under two labels": both[~both["same_label"]]}
    for finding, rows in copies.items():
        found[finding] = photos["path"].map(rows.drop_duplicates("path_a").set_index("path_a")["path_b"])
    for problem, rows in data.problems.groupby("problem"):
        found[f"file {problem}"] = photos["path"].map(rows.set_index("path")["detail"])
    seen = read_judgements(data.name, "looked-at").reindex(columns=["path", *SIGNS]).assign(**{LOOKED: 1})
    for sign, finding in (SIGNS | {LOOKED: LOOKED}).items():
        found[finding] = photos["path"].where(photos["path"].isin(seen.loc[seen[sign] == 1, "path"]))
    tables = [photos.assign(finding=finding, because=because) for finding, because in found.items()]
    listed = pd.concat(tables)[["finding", "path", "label", "split", "because"]]
    return listed.dropna(subset="because").reset_index(drop=True)


def oddity_effects(predictions: pd.DataFrame, oddities: pd.DataFrame, draws: int = DRAWS) -> pd.DataFrame:
    """What each finding in `oddities` is worth to one model's accuracy: its `value` on them, on the `others`
    in the same proportions of classes (of those `LOOKED` at for `SIGNS`), and on all minus without them; and
    `p`, that it is as often right on both (see `_test_odds`)."""
    looked = predictions["path"].isin(oddities.loc[oddities["finding"] == LOOKED, "path"])
    rows = []
    for finding, part in oddities[oddities["finding"] != LOOKED].groupby("finding", sort=False):
        table = predictions[looked] if finding in SIGNS.values() else predictions
        right, odd = table["label"] == table["predicted"], table["path"].isin(part["path"])
        if odd.any():
            others = table.loc[odd, "label"].map(right[~odd].groupby(table["label"]).mean())
            low, high = map(float, share_interval(right[odd].sum(), odd.sum()))
            worth = subset_differences(table, ~odd, ("accuracy",), draws)[["difference", "low", "high"]]
            facts = (finding, odd.sum(), right[odd].mean(), low, high, others.mean())
            rows.append((*facts, *worth.iloc[0], _test_odds(right, odd, table["label"])))
    columns = ["finding", "photos", "value", "low", "high", "others", "worth", "worth_low", "worth_high"]
    return pd.DataFrame(rows, columns=[*columns, "p"])


def _test_odds(right: pd.Series, odd: pd.Series, labels: pd.Series) -> float:
    """The p of the test of Cochran, Mantel and Haenszel (1959) that within each class odd photos are `right`
    as often as others; 1 where no class has both kinds and both outcomes."""
    tables = [pd.crosstab(odd[part.index], part).to_numpy() for _, part in right.groupby(labels)]
    tables = [table for table in tables if table.shape == (2, 2)]
    return float(StratifiedTable(tables).test_null_odds(correction=True).pvalue) if tables else 1.0


def subset_differences(
    predictions: pd.DataFrame, inside: pd.Series, metrics: tuple[str, ...], draws: int = DRAWS
) -> pd.DataFrame:
    """How much higher each model scores on all its rows than on those `inside` (bool, same index): `scheme`,
    `MODEL`, `metric, whole, part, difference, low, high, p`, of a bootstrap of both at once."""
    rows, columns = [], ["scheme", *MODEL, "metric", "whole", "part", "difference", "low", "high", "p"]
    for key, table in predictions.groupby(["scheme", *MODEL], sort=False):
        chosen = inside.loc[table.index].to_numpy().astype(np.float32)
        both = (draw_metrics(table, metrics, draws, each).values() for each in (1.0, chosen))
        for metric, whole, part in zip(metrics, *both, strict=True):
            found = describe_draws(whole - part, np.inf) if chosen.any() else {}
            rows.append(dict(zip(columns, (*key, metric, whole[0], part[0]), strict=False)) | found)
    return pd.DataFrame(rows, columns=columns)


def measure_memory(answers: pd.DataFrame, learn: Learn, deals: Deals) -> pd.DataFrame:
    """What a head owes to having met the twins of test photos, whose `group` they share: on these test photos
    alone, its `answers` against those of one that learned without the twins. No row where there is none."""
    parts = []
    for key, photos in deals.items():
        in_test, group = photos["split"] == "test", photos["group"]
        twin = group.isin(group[in_test].dropna()) & group.isin(group[~in_test].dropna())
        unmet = photos["split"].mask(twin & (photos["split"] == "train"), "left out")
        if twin.any() and _can_learn(photos.assign(split=unmet)):
            met = answers[(answers["scheme"] == key[0]) & (answers["seed"] == key[1])]
            sides = {"met": met, "unmet": learn({key: photos.assign(split=unmet)})}
            asked = photos.loc[twin & in_test, "path"]
            parts += [side[side["path"].isin(asked)].assign(model=name) for name, side in sides.items()]
    columns = ["metric", "photos", "met", "unmet", "difference", "low", "high"]
    if not parts:
        return pd.DataFrame(columns=columns)
    table, metrics = pd.concat(parts, ignore_index=True), ("accuracy", "log_loss")
    memory = compare_models(table, [("met", "unmet")], metrics).assign(photos=table["path"].nunique())
    for name, part in table.groupby("model"):
        memory[name] = [draw_metrics(part, [metric], 0)[metric][0] for metric in memory["metric"]]
    return memory[columns]


def learning_curve(learn: Learn, deals: Deals, shares: Sequence[float]) -> pd.DataFrame:
    """How often a head is right on test that learned from so large `shares` of each class's train photos, a
    smaller part of a larger: the model's columns, `value, low, high, photos` (how many, the deals' mean). A
    share that leaves a class with too little to learn from is left out."""
    rows = []
    for share in shares:
        dealt = {}
        for key, photos in deals.items():
            order = pd.Series(np.random.default_rng(key[1]).permutation(len(photos)), index=photos.index)
            rank = order.groupby([photos["label"], photos["split"]]).rank(pct=True)
            spared = (photos["split"] == "train") & (rank > share)
            dealt[key] = photos.assign(split=photos["split"].mask(spared, "left out"))
        if all(map(_can_learn, dealt.values())):
            scores = score(learn(dealt).query("split == 'test'"), "", metrics=["accuracy"])
            found = scores.iloc[0][[*MODEL, "value", "low", "high"]].to_dict()
            learned = np.mean([(photos["split"] == "train").sum() for photos in dealt.values()])
            rows.append(found | {"photos": round(learned)})
    return pd.DataFrame(rows)


def deal_leaks(
    photos: pd.DataFrame, shares: Sequence[float], seed: int, most: int
) -> dict[tuple[float, int], pd.DataFrame]:
    """The photos dealt out once for each of the `shares`, by share and seed. Test is one photo of every group
    of several (of one label); of so large a share of these groups the other photos are learned from. Train
    has the same number of each class at every share (at most some `most` in all, but room for all of these):
    it is filled up with photos that are alone in their groups, of which validation is made as well."""
    drawn = photos.sample(frac=1, random_state=seed)
    groups, first = drawn.groupby("group"), ~drawn.duplicated("group")
    several = (groups["path"].transform("size") > 1) & (groups["label"].transform("nunique") == 1)
    alone, asked = groups["path"].transform("size") == 1, several & first
    rank = drawn.groupby([drawn["label"], alone, asked]).cumcount()
    count = rank.groupby([drawn["label"], alone, asked]).transform("size")
    held_out = alone & (rank < VALIDATION * count)
    spare, partners = ((each.groupby(drawn["label"]).sum()) for each in (alone & ~held_out, several & ~first))
    room = (spare * min(1.0, most / spare.sum())).clip(lower=partners).clip(upper=spare).astype(int)
    dealt = {}
    for share in shares:
        known = drawn.loc[asked & (rank < share * count), "group"]
        leaked = several & ~first & drawn["group"].isin(known)
        waiting = pd.concat([drawn[leaked], drawn[alone & ~held_out]])
        learned = waiting.index[waiting.groupby("label").cumcount() < waiting["label"].map(room)]
        split = pd.Series("left out", index=drawn.index).mask(asked, "test").mask(held_out, "validation")
        split.loc[learned] = "train"
        dealt[share, seed] = photos.assign(split=split)
    return dealt


def fit_slopes(answers: pd.DataFrame, draws: int = DRAWS) -> pd.DataFrame:
    """What it is worth to each model to know all test objects instead of none, by the `line` through its
    accuracies on test at each share leaked (the `scheme` of its answers); what the `first step` between two
    shares is worth, and how much more than the last (`bend`): the model's columns, which `of` these, and
    `difference, low, high, p` (see `describe_draws`), by group and seed."""
    rows = []
    for keys, part in answers[answers["split"] == "test"].groupby(MODEL, sort=False):
        shares, model = part["scheme"].to_numpy(float), dict(zip(MODEL, keys, strict=True))
        inside = [(shares == share).astype(np.float32) for share in np.unique(shares)]
        accuracy = np.stack([draw_metrics(part, ["accuracy"], draws, each)["accuracy"] for each in inside])
        steps, groups = np.diff(accuracy, axis=0), count_groups(part, "accuracy")
        drawn = {"line": np.polyfit(np.unique(shares), accuracy, 1)[0]}
        drawn |= {"first step": steps[0], "bend": steps[0] - steps[-1]}
        rows += [model | {"of": name} | describe_draws(each, groups) for name, each in drawn.items()]
    return pd.DataFrame(rows)


def _can_learn(photos: pd.DataFrame) -> bool:
    """Whether train has something of each class: where validation is made from it, two things at least."""
    train = photos[photos["split"] == "train"]
    things = train.groupby("label")["group"].nunique().reindex(photos["label"].unique(), fill_value=0)
    return things.min() > (0 if (photos["split"] == "validation").any() else 1)
