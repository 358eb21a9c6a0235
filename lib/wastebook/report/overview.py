"""Every model of a run side by side: what the chapters before kept, put into one table."""

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd

from wastebook.errors import WastebookError
from wastebook.evaluation import comparison
from wastebook.evaluation.metrics import METRICS
from wastebook.learning.predictions import MODEL
from wastebook.report.chapter import Chapter
from wastebook.report.reference import SCORE_KEYS
from wastebook.report.sentences import format_points, format_score, name_models, select_row

COSTS = ["parameters", "multiply_adds", "megabytes", "milliseconds"]
TOLD = {  # what a model costs, to read: the column and its unit
    "million parameters": ("parameters", 1e6),
    "million multiply-adds": ("multiply_adds", 1e6),
    "MB": ("megabytes", 1),
    "ms per photo": ("milliseconds", 1),
    "training, s": ("seconds", 1),
    "energy, J": ("joules", 1),
}
SAID = {"better": "Yes", "worse": "No, it is worse", "undecided": "That cannot be told"}


def read_earlier(chapter: Chapter, needs: Iterable[str], name: str) -> pd.DataFrame:
    """The table `name` of each of the chapters `needs` that kept it in the run, one below the other with the
    column `chapter`; empty where none did."""
    files = {earlier: chapter.run / "results" / earlier / f"{name}.parquet" for earlier in needs}
    parts = [pd.read_parquet(file).assign(chapter=key) for key, file in files.items() if file.exists()]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=["chapter"])


def test_scores(chapter: Chapter, needs: Iterable[str]) -> pd.DataFrame:
    """The scores on test of every model of the chapters `needs`, each once, with the `chapter` it is from.
    WastebookError where none of them has run."""
    scores = read_earlier(chapter, needs, "scores")
    if scores.empty:
        raise WastebookError(f"No chapter with models has run in {chapter.run}: run one there first.")
    return scores[scores["split"] == "test"].drop_duplicates(SCORE_KEYS, ignore_index=True)


def chosen_models(chapter: Chapter, needs: Iterable[str]) -> pd.DataFrame:
    """A row per data set: the accuracy on test (see `test_scores`) of the model that validation chose, under
    the split of the set's first score, which leads there; no row where validation was not scored."""
    scores = read_earlier(chapter, needs, "scores").drop_duplicates(SCORE_KEYS, ignore_index=True)
    rows = []
    for _, part in scores.groupby("dataset", sort=False):
        scheme = part["scheme"].iloc[0]
        part = part[part["scheme"] == scheme]
        tested = part[(part["split"] == "test") & (part["metric"] == "accuracy")]
        asked = part[(part["split"] == "validation") & part["model"].isin(tested["model"])]
        if len(asked):
            rows.append(select_row(tested, model=comparison.choose_on_validation(asked, str(scheme))))
    return pd.DataFrame(rows, columns=scores.columns)


def predictions_by_dataset(chapter: Chapter, scores: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The predictions of the models in `scores` that chapters kept, each once, by data set."""
    keys = ["model", "scheme", "seed", "split", "path"]
    found = dict(scores.groupby("dataset", sort=False)["chapter"].unique())
    tables = {str(name): read_earlier(chapter, each, "predictions") for name, each in found.items()}
    return {name: each.drop_duplicates(keys, ignore_index=True) for name, each in tables.items() if len(each)}


def all_models(chapter: Chapter, needs: list[str], watts: float) -> pd.DataFrame:
    """A row per data set, scheme and model: `dataset, scheme`, `MODEL`, `chapter, n, seeds`, each metric with
    its `<metric>_low` and `<metric>_high`, what one photo costs its network (`COSTS`), `seconds` of training
    per seed (a search included) and `joules`, an estimate at `watts`. What nobody measured is missing."""
    scores = test_scores(chapter, needs)
    keys = ["dataset", "scheme", *MODEL, "chapter", "n", "seeds"]
    endings = {"value": "", "low": "_low", "high": "_high"}
    table = scores.pivot(index=keys, columns="metric", values=list(endings))
    table.columns = table.columns.map(lambda pair: f"{pair[1]}{endings[pair[0]]}")
    table = table.reset_index()
    dataset_of = scores.drop_duplicates("chapter").set_index("chapter")["dataset"]
    costs, seconds = _costs(chapter, needs, dataset_of), _seconds(chapter, needs, dataset_of)
    table = table.merge(costs, on=["dataset", "network", "image_size"], how="left")
    table = table.merge(seconds, on=["dataset", "scheme", "model"], how="left")
    first = {scheme: at for at, scheme in enumerate(scores["scheme"].unique())}  # the leading ones come first
    table = table.assign(joules=table["seconds"] * watts, place=table["scheme"].map(first))
    order = ["dataset", "place", "accuracy"]
    table = table.sort_values(order, ascending=[True, True, False], kind="stable", ignore_index=True)
    return table.drop(columns="place")


def models_table(models: pd.DataFrame) -> pd.DataFrame:
    """`all_models` to read: a group per data set and scheme, intervals for accuracy and macro F1."""
    lines = pd.DataFrame({"group": models["dataset"] + ", " + models["scheme"] + " split"})
    lines["model"] = models["model"].map(name_models(models))
    for metric in METRICS[:2]:
        names = {metric: "value", f"{metric}_low": "low", f"{metric}_high": "high"}
        table = models.rename(columns=names).assign(metric=metric)
        lines[metric] = [format_score(row) for _, row in table.iterrows()]
    lines[[*METRICS[2:]]] = models[[*METRICS[2:]]].map("{:.3f}".format)
    for name, (column, unit) in TOLD.items():
        lines[name] = (models[column] / unit).map(
            lambda value: f"{value:,.3g}" if value < 1000 else f"{value:,.0f}", na_action="ignore"
        )
    return lines


def answer_questions(
    predictions: Mapping[str, pd.DataFrame],
    leading: Mapping[str, str],
    questions: Mapping[str, Mapping[str, tuple[str, str]]],
) -> pd.DataFrame:
    """Two paired tests for each question (by data set: the question, and the ids of the two models it is
    about) whose models are both there, under the `leading` split of its data set.

    A row per question: `dataset, question, model_a, model_b, difference, low, high, p_holm` (of accuracy, see
    `compare_models`), `macro_f1` (its difference, as text), `only_a, only_b, p_mcnemar` (see `mcnemar`).
    Each test's p are corrected for all questions (Holm)."""
    columns = ["dataset", "question", "model_a", "model_b", "difference", "low", "high", "p_holm"]
    columns += ["macro_f1", "only_a", "only_b", "p_mcnemar"]
    parts = []
    for dataset in [name for name in questions if name in predictions]:
        table = predictions[dataset]
        table = table[table["scheme"] == leading.get(dataset)]
        asked = {text: pair for text, pair in questions[dataset].items() if set(pair) <= set(table["model"])}
        if asked:
            pairs = list(asked.values())
            exact = comparison.mcnemar(table, pairs).rename(columns={"p": "p_mcnemar"})
            both = comparison.compare_models(table, pairs)
            f1 = [format_points(row, unit="") for _, row in both[both["metric"] == "macro_f1"].iterrows()]
            found = both[both["metric"] == "accuracy"].reset_index(drop=True).join(exact[columns[-3:]])
            found = found.assign(dataset=dataset, question=list(asked), macro_f1=f1, p_holm=found["p"])
            parts.append(found[columns])
    answers = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)
    return answers.assign(**answers[["p_holm", "p_mcnemar"]].apply(comparison.correct_holm))


def answers_table(answers: pd.DataFrame, names: Mapping[str, str]) -> pd.DataFrame:
    """`answer_questions` to read; `names` of the models for people, by id (see `name_models`)."""
    alike = ~answers[["difference", "only_a", "only_b"]].any(axis=1)
    judged = [SAID[comparison.judge_difference(row)] for _, row in answers.iterrows()]
    shown = {
        "question": answers["question"],
        "models": answers["model_a"].map(names) + " − " + answers["model_b"].map(names),
        "accuracy": [format_points(row, unit="") for _, row in answers.iterrows()],
        "p": answers["p_holm"],
        "McNemar's p": answers["p_mcnemar"],
        "answer": pd.Series(judged, answers.index, dtype=object).mask(alike, "Both answer alike"),
    }
    return pd.DataFrame(shown)


def describe_memory(memory: pd.Series, copies: pd.Series) -> str:
    """What a model owes to having met the twins of test photos (a row of `measure_memory`; `copied` of its
    `photos` have one), of what all `copies` are worth, or why that cannot be told."""
    more, whole = memory["difference"] * memory["copied"], copies["difference"] * memory["photos"]
    sure = comparison.judge_difference(memory) == "better" and round(more) >= 6
    if not sure or more > whole:
        why = "more than copies are worth" if sure else "which may be luck (fewer than six always may)"
        found = f"the head that met the twins has {round(more)} more of {memory['copied']:.0f} right, {why}"
        return f"the share of memory cannot be told: {found}.".replace("-", "−")
    points = (f"{100 * photos / memory['photos']:.1f}" for photos in (more, whole))
    return f"memory makes {' of the '.join(points)} points that copies are worth."


def weigh_changes(changes: Mapping[str, pd.Series], direct: pd.Series) -> str:
    """Which of two changes is worth more: from a row of `answer_questions` for each, by what it is called,
    and the row of the `direct` test of the first against the second."""
    names, judged = list(changes), comparison.judge_difference(direct)
    if judged != "undecided":
        return names[judged == "worse"]
    clear = [name for name, row in changes.items() if comparison.judge_difference(row) == "better"]
    if len(clear) == 1:
        return f"only {clear[0]} helps beyond luck; that it is worth more than the other is not proven"
    return "that cannot be told from these photos"


def pareto_front(cost: pd.Series, quality: pd.Series) -> pd.Series:
    """Whether no other model is as good in both and better in one (bool, same index); not without a cost."""
    both = pd.DataFrame({"cost": cost, "badness": -quality})
    beaten = [((both <= row).all(axis=1) & (both < row).any(axis=1)).any() for _, row in both.iterrows()]
    return np.isfinite(cost) & ~np.array(beaten, dtype=bool)


def _costs(chapter: Chapter, needs: list[str], dataset_of: pd.Series) -> pd.DataFrame:
    """`dataset, network, image_size` and `COSTS`, from the chapters that counted and timed."""
    keys, costs = ["dataset", "network", "image_size"], read_earlier(chapter, needs, "costs")
    costs = costs.assign(dataset=costs["chapter"].map(dataset_of)).reindex(columns=[*keys, *COSTS])
    return costs.drop_duplicates(keys).astype(dict.fromkeys(COSTS, float))


def _seconds(chapter: Chapter, needs: list[str], dataset_of: pd.Series) -> pd.DataFrame:
    """`dataset, scheme, model, seconds`: of training, the mean of the seeds; of a search, all its trials."""
    keys, once = ["chapter", "model", "scheme", "seed"], ["dataset", "scheme", "model"]
    parts = [read_earlier(chapter, needs, name) for name in ("seconds", "trials")]
    trained, trials = (part.reindex(columns=[*keys, "seconds"]) for part in parts)
    spent = pd.concat([trained.drop_duplicates(keys), trials]).groupby(keys, as_index=False)["seconds"].sum()
    spent = spent.assign(dataset=spent["chapter"].map(dataset_of)).drop_duplicates([*once, "seed"])
    return spent.groupby(once, as_index=False)["seconds"].mean()
