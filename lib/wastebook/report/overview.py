"""Every model of a run side by side: what the chapters before kept, put into one table."""

from contextlib import suppress

import numpy as np
import pandas as pd
from statsmodels.stats.multitest import multipletests

from wastebook.errors import WastebookError
from wastebook.evaluation.comparison import compare_models, mcnemar
from wastebook.evaluation.metrics import METRICS
from wastebook.report.chapter import Chapter
from wastebook.report.reference import SCORE_KEYS
from wastebook.report.sentences import format_number, format_points, format_score

Pair = tuple[str, str]

COSTS = ("parameters", "multiply_adds", "megabytes", "milliseconds")
ANSWER_COLUMNS = ["dataset", "question", "model_a", "model_b", "difference", "low", "high", "p"]
ANSWER_COLUMNS += ["macro_f1", "only_a", "only_b", "p_mcnemar"]
SURE = 0.05  # p below which a difference is taken for more than luck
KERAS_NAMES = {"MB": "megabytes", "ms_a_photo": "milliseconds", "pixels": "image_size"}


def read_earlier(chapter: Chapter, name: str) -> pd.DataFrame:
    """The table `name` of every chapter before this one that kept it in the run, one below the other with the
    column `chapter`; empty where none did."""
    parts = []
    for file in sorted(chapter.run.glob(f"results/*/{name}.parquet")):
        if file.parent.name < chapter.name:
            parts.append(pd.read_parquet(file).assign(chapter=file.parent.name))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=["chapter"])


def read_values(chapter: Chapter, earlier: str) -> dict:
    """The single values of an earlier chapter; empty where it has not run."""
    with suppress(WastebookError):
        return chapter.values(earlier)
    return {}


def test_scores(chapter: Chapter) -> pd.DataFrame:
    """The scores on test of every model, each once, with the `chapter` it is from. WastebookError where no
    chapter with models has run."""
    scores = read_earlier(chapter, "scores")
    if scores.empty:
        raise WastebookError(f"No chapter with models has run in {chapter.run}: run one there first.")
    return scores[scores["split"] == "test"].drop_duplicates(SCORE_KEYS, ignore_index=True)


def predictions_by_dataset(chapter: Chapter, scores: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The predictions of the models in `scores`, each once, by data set."""
    predictions = {}
    for dataset, part in scores.groupby("dataset", sort=False):
        tables = []
        for earlier in part["chapter"].unique():
            with suppress(WastebookError):
                tables.append(chapter.read(earlier, "predictions"))
        if tables:
            keys = ["model", "scheme", "seed", "split", "path"]
            both = pd.concat(tables).drop_duplicates(keys, ignore_index=True)
            predictions[str(dataset)] = both
    return predictions


def all_models(chapter: Chapter, scores: pd.DataFrame, watts: float) -> pd.DataFrame:
    """A row a data set, scheme and model: `dataset, scheme, model, chapter, n, seeds`, each metric with its
    `<metric>_low` and `<metric>_high`, what one photo costs (see `measure_cost`), `seconds` of training a
    seed (a search included) and `joules`, an estimate at `watts`. What nobody measured is missing."""
    keys = ["dataset", "scheme", "model", "chapter", "n", "seeds"]
    wide = {
        name: scores.pivot(index=keys, columns="metric", values=name) for name in ("value", "low", "high")
    }
    table = wide["value"].join(wide["low"].add_suffix("_low")).join(wide["high"].add_suffix("_high"))
    table = table.reset_index()
    costs, seconds = _costs(chapter), _seconds(chapter)
    found = [_cost_of(row["model"], costs[costs["dataset"] == row["dataset"]]) for _, row in table.iterrows()]
    table = table.join(pd.DataFrame(found, index=table.index, columns=list(COSTS)).astype(float))
    table = table.merge(seconds, on=["dataset", "scheme", "model"], how="left")
    first = {scheme: at for at, scheme in enumerate(scores["scheme"].unique())}  # the leading ones come first
    table = table.assign(joules=table["seconds"] * watts, place=table["scheme"].map(first))
    order = ["dataset", "place", "accuracy"]
    table = table.sort_values(order, ascending=[True, True, False], kind="stable", ignore_index=True)
    return table.drop(columns="place")


def told(models: pd.DataFrame) -> pd.DataFrame:
    """`all_models` to read: a group a data set and scheme, intervals for accuracy and macro F1."""
    lines = pd.DataFrame({"group": models["dataset"] + ", " + models["scheme"] + " split"})
    lines["model"] = models["model"]
    for metric in METRICS[:2]:
        names = {metric: "value", f"{metric}_low": "low", f"{metric}_high": "high"}
        lines[metric] = [format_score(row) for _, row in models.rename(columns=names).iterrows()]
    for metric in METRICS[2:]:
        lines[metric] = models[metric].map("{:.3f}".format)
    costs = {
        "million parameters": models["parameters"] / 1e6,
        "million multiply-adds": models["multiply_adds"] / 1e6,
        "MB": models["megabytes"],
        "ms a photo": models["milliseconds"],
        "training, s": models["seconds"],
        "energy, J": models["joules"],
    }
    for name, values in costs.items():
        lines[name] = values.map(
            lambda value: f"{value:,.3g}" if value < 1000 else f"{value:,.0f}", na_action="ignore"
        )
    return lines


def answer_questions(
    predictions: dict[str, pd.DataFrame], leading: dict[str, str], questions: dict[str, dict[str, Pair]]
) -> pd.DataFrame:
    """Two paired tests for each question (by data set: the question, and the two models it is about) whose
    models are both there, under the `leading` split of its data set.

    A row a question: `dataset, question, model_a, model_b, difference, low, high, p` (of accuracy, see
    `compare_models`), `macro_f1` (its difference, told), `only_a, only_b, p_mcnemar` (see `mcnemar`).
    Each test's p are corrected for all questions (Holm).
    """
    parts = [pd.DataFrame(columns=ANSWER_COLUMNS)]
    for dataset, asked in questions.items():
        table = predictions.get(dataset, pd.DataFrame(columns=["model", "scheme"]))
        own = table[table["scheme"] == leading.get(dataset)]
        asked = {question: pair for question, pair in asked.items() if set(pair) <= set(own["model"])}
        if asked:
            pairs = list(asked.values())
            exact = mcnemar(own, pairs)[["only_a", "only_b", "p"]].rename(columns={"p": "p_mcnemar"})
            both = compare_models(own, pairs)
            f1 = [format_points(row, unit="") for _, row in both[both["metric"] == "macro_f1"].iterrows()]
            found = both[both["metric"] == "accuracy"].reset_index(drop=True).join(exact)
            parts.append(found.assign(dataset=dataset, question=list(asked), macro_f1=f1)[ANSWER_COLUMNS])
    answers = pd.concat(parts[1:] or parts, ignore_index=True)
    for p in ("p", "p_mcnemar"):
        answers[p] = multipletests(answers[p], method="holm")[1] if len(answers) else answers[p]
    return answers


def answers_told(answers: pd.DataFrame) -> pd.DataFrame:
    """`answer_questions` to read."""
    return pd.DataFrame(
        {
            "models": answers["model_a"] + " − " + answers["model_b"],
            "accuracy": [format_points(row, unit="") for _, row in answers.iterrows()],
            "macro F1": answers["macro_f1"],
            "p": answers["p"],
            "only first right": answers["only_a"],
            "only second": answers["only_b"],
            "McNemar's p": answers["p_mcnemar"],
        }
    )


def answer_in_words(row: pd.Series) -> str:
    """A row of `answer_questions` as a sentence or two."""
    answer = "That cannot be told"
    if row["p"] < SURE:
        answer = "Yes" if row["difference"] > 0 else "No, it is worse"
    agree = "agrees" if (row["p"] < SURE) == (row["p_mcnemar"] < SURE) else "does not agree"
    p, exact = (format_number(row[name], 3) for name in ("p", "p_mcnemar"))
    first, second = row["model_a"], row["model_b"]
    return (
        f"**{row['question']}** {answer}: {format_points(row)} of accuracy ($p$ = {p}). Photos that only {first} "
        f"gets right: {row['only_a']}; only {second}: {row['only_b']}. McNemar's test {agree}, $p$ = {exact}."
    )


def pareto_front(cost: pd.Series, quality: pd.Series) -> pd.Series:
    """Whether each model (bool, by the same index) is one that no other beats in one without being beaten in
    the other; False where a cost is missing."""
    beaten = [
        ((cost <= cost[at]) & (quality >= quality[at]) & ((cost < cost[at]) | (quality > quality[at]))).any()
        for at in cost.index
    ]
    return np.isfinite(cost) & ~pd.Series(beaten, index=cost.index, dtype=bool)


def beside_published(published: pd.DataFrame, scores: pd.DataFrame, reference: pd.DataFrame) -> pd.DataFrame:
    """A row a published metric: `work, model, metric, published, protocol`, the same model's score in the
    kept `reference` and in `this_run` (both with intervals, a dash where there is none), and `reading`: where
    the published figure lies, seen from this run's interval."""
    rows = []
    for _, theirs in published[published["statistic"].isin(METRICS)].iterrows():
        line = {"work": theirs["work"], "protocol": theirs["data"], "model": theirs["what"]}
        line |= {"metric": theirs["statistic"], "published": theirs["value"]}
        for name, table in (("reference", reference), ("this_run", scores)):
            same = table[(table["model"] == theirs["what"]) & (table["metric"] == theirs["statistic"])]
            line[name] = format_score(same.iloc[0]) if len(same) else None
            if name == "this_run" and len(same):
                low, high = same.iloc[0][["low", "high"]]
                line["reading"] = (
                    "below" if theirs["value"] < low else "above" if theirs["value"] > high else "within"
                )
        rows.append(line)
    columns = ["work", "model", "metric", "published", "reference", "this_run", "reading", "protocol"]
    return pd.DataFrame(rows, columns=columns)


def _costs(chapter: Chapter) -> pd.DataFrame:
    """`dataset, model` and what one photo costs it, from the chapters that counted and timed."""
    costs = read_earlier(chapter, "costs")
    for old, new in KERAS_NAMES.items():
        if old in costs:
            costs[new] = costs[new].fillna(costs[old]) if new in costs else costs[old]
    return _with_dataset(chapter, costs).reindex(columns=["dataset", "model", *COSTS])


def _seconds(chapter: Chapter) -> pd.DataFrame:
    """`dataset, scheme, model, seconds`: of training, the mean of the seeds; of a search, all its trials."""
    keys = ["dataset", "scheme", "model"]
    trained = read_earlier(chapter, "seconds").reindex(
        columns=["chapter", "model", "scheme", "seed", "seconds"]
    )
    trials = read_earlier(chapter, "trials").reindex(columns=["chapter", "scheme", "seed", "seconds"])
    tuned = trained[trained["model"].str.endswith("-tuned").fillna(False).astype(bool)]
    spent = trials.groupby(["chapter", "scheme", "seed"])["seconds"].sum().rename("searched").reset_index()
    tuned = tuned.merge(spent, on=["chapter", "scheme", "seed"])
    tuned = tuned.assign(seconds=tuned["seconds"] + tuned["searched"]).drop(columns="searched")
    trained = pd.concat([trained[~trained["model"].isin(tuned["model"])], tuned])
    epochs = read_earlier(chapter, "costs").reindex(
        columns=["chapter", "model", "seconds_an_epoch", "epochs"]
    )
    epochs = epochs.dropna().assign(seconds=lambda table: table["seconds_an_epoch"] * table["epochs"])
    for earlier in epochs["chapter"].unique():
        epochs.loc[epochs["chapter"] == earlier, "scheme"] = read_values(chapter, earlier)["scheme"]
    both = pd.concat([trained, epochs.reindex(columns=["chapter", "model", "scheme", "seconds"])])
    both = _with_dataset(chapter, both).drop_duplicates([*keys, "seed"])
    return both.groupby(keys)["seconds"].mean().reset_index()


def _with_dataset(chapter: Chapter, table: pd.DataFrame) -> pd.DataFrame:
    """The table with the `dataset` of each row's chapter, as its scores name it."""
    scores = read_earlier(chapter, "scores").drop_duplicates("chapter")
    return table.assign(dataset=table["chapter"].map(scores.set_index("chapter")["dataset"]))


def _cost_of(model: str, costs: pd.DataFrame) -> dict[str, float]:
    """The costs of the network that a model is a head on: the longest name that its own begins with;
    fine-tuned are the networks of the larger photos."""
    base = model.split("-")[0].split("+")[0]
    tuned = model.endswith("-finetuned")
    fits = [
        name
        for name in costs["model"]
        if model == name
        or model.startswith((f"{name}-", f"{name}+"))
        or (tuned and name.startswith(f"{base}-"))
    ]
    if not fits:
        return {}
    return costs[costs["model"] == max(fits, key=len)].iloc[0][list(COSTS)].to_dict()
