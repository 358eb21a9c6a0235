"""Two runs held against one another, and the reference that is kept in the repository: the small tables of a
run on the real photos, without pictures."""

import json
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pandas as pd

from wastebook import paths
from wastebook.errors import WastebookError
from wastebook.files import write_yaml
from wastebook.learning.predictions import MODEL

MATERIALS, BINARY = "trashnet", "waste-classification"  # its data sets
SCORE_KEYS = ["dataset", *MODEL, "scheme", "split", "metric"]
MOST_ROWS = 500  # of a table that is kept
MADE_OF = r"^(commit|hardware|versions|parameters)\b|^data\..*\.fingerprint$"  # of what a record holds
TOLERANCE = 1e-5  # what is lost by writing six figures


def read_kept(chapter: str, dataset: str = MATERIALS, name: str = "scores") -> pd.DataFrame:
    """A table that the reference keeps of a chapter."""
    return pd.read_csv(paths.REFERENCE / dataset / chapter / f"{name}.csv")


def read_values(dataset: str, chapter: str) -> dict[str, Any]:
    """The single values that the reference keeps of a chapter."""
    return json.loads((paths.REFERENCE / dataset / chapter / "values.json").read_text(encoding="utf-8"))


def find_results(name: str) -> Path:
    """The folder of a run that has results (WastebookError where it has none), or `reference`'s."""
    return paths.REFERENCE if name == "reference" else paths.find_run(name, "results")


def describe_runs() -> list[dict[str, Any]]:
    """Every run under `runs/`, the newest first: its name, when it was `written`, the data sets that it is
    of, how many `chapters` are whole, and the `page` to open, if there is one."""
    rows = []
    for run in sorted(paths.RUNS.glob("[!.]*/")):
        row = {"run": run.name, "written": "", "data": "(its run.yml is damaged)"}
        with suppress(WastebookError, AttributeError, TypeError):  # the others are listed all the same
            record = paths.read_record(run)
            row |= {"data": ", ".join(record["data"]), "written": str(record.get("written", ""))[:16]}
        page = str(run / "site" / "index.html") if (run / "site" / "index.html").exists() else ""
        rows.append(row | {"chapters": len([*run.glob("chapters/*.ipynb")]), "page": page})
    return sorted(rows, key=lambda row: row["written"], reverse=True)


def scores_of(place: Path) -> pd.DataFrame:
    """Every score of a run's folder, or of the reference's, each once; WastebookError where there is none."""
    parts = [pd.read_parquet(file) for file in sorted(place.glob("results/*/scores.parquet"))]
    parts += [pd.read_csv(file) for file in sorted(place.glob("*/*/scores.csv"))]
    if not parts:
        raise WastebookError(f"There are no scores in {place}: build the book there first.")
    return pd.concat(parts).drop_duplicates(SCORE_KEYS, ignore_index=True)


def reference_scores(dataset: str, fingerprint: str) -> pd.DataFrame:
    """The scores kept as the reference of the data set of that name, if it has these very photos (see
    `wastebook.data.datasets.fingerprint`); no row where none are."""
    files = sorted((paths.REFERENCE / dataset).glob("*/scores.csv"))
    parts = [pd.read_csv(file) for file in files if _fingerprint(file.parent) == fingerprint]
    columns = [*SCORE_KEYS, "value", "low", "high", "n", "seeds"]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)


def compare_scores(first: pd.DataFrame, second: pd.DataFrame) -> pd.DataFrame:
    """The scores that two tables share, the most different first: `SCORE_KEYS`, `value, low, high` of both
    (`_a, _b`), `difference` (second minus first) and `differs`: each value lies outside the other's interval
    (which none does that has no interval)."""
    values = [*SCORE_KEYS, "value", "low", "high"]
    both = first[values].merge(second[values], on=SCORE_KEYS, suffixes=("_a", "_b"))
    outside = [
        (both[f"value_{a}"] < both[f"low_{b}"] - TOLERANCE)
        | (both[f"value_{a}"] > both[f"high_{b}"] + TOLERANCE)
        for a, b in ("ab", "ba")
    ]
    both = both.assign(difference=both["value_b"] - both["value_a"], differs=outside[0] & outside[1])
    return both.sort_values("difference", key=abs, ascending=False, kind="stable", ignore_index=True)


def compare_runs(places: Mapping[str, Path]) -> dict[str, Any]:
    """What runs (or the reference), by name, say of the same models, each held against the first: how many
    scores are `shared`, those that `differ` beyond their intervals and the one that does most (`largest`), as
    `SCORE_KEYS` and the value in each run; which models each is `lacking`; and what they were made of that is
    `unlike` (see `MADE_OF`). WastebookError where one shares no score with the first."""
    first, *others = places
    if not others:
        raise WastebookError(f"{first} cannot be compared with itself: name another run.")
    tables = {name: scores_of(place) for name, place in places.items()}
    pairs = {name: compare_scores(tables[first], tables[name]) for name in others}
    if apart := [name for name, both in pairs.items() if both.empty]:
        raise WastebookError(f"{first} and {apart[0]} have no score in common: they cannot be compared.")
    shared = pd.concat(pairs.values()).sort_values("difference", key=abs, ascending=False, kind="stable")
    differs = shared.groupby(SCORE_KEYS, sort=False)["differs"].any()
    values = pd.DataFrame({name: table.set_index(SCORE_KEYS)["value"] for name, table in tables.items()})
    values = values.astype(object).where(values.notna(), None).loc[differs.index].reset_index()
    facts = {name: pd.json_normalize(paths.read_record(place)).iloc[0] for name, place in places.items()}
    alike = pd.DataFrame(facts).filter(regex=MADE_OF, axis=0).dropna().astype(str)
    models = {name: {*(table["dataset"] + "/" + table["model"])} for name, table in tables.items()}
    return {
        "runs": {name: str(place) for name, place in places.items()},
        "shared": len(differs),
        "differ": values[differs.to_numpy()].to_dict("records"),
        "largest": values.iloc[0].to_dict(),
        "lacking": {name: sorted(set().union(*models.values()) - own) for name, own in models.items()},
        "unlike": alike[alike.nunique(axis=1) > 1].rename_axis("what").reset_index().to_dict("records"),
    }


def write_reference(run: Path) -> list[Path]:
    """Keep the small tables and single values of a run as `data/reference/<data set>/<chapter>/`, in the
    place of what was there, each with a `run.yml`: versions, commit, hardware, data, parameters, seconds.
    Gives the folders. WastebookError where the run cannot be a reference (see `_real_data`)."""
    data, written = _real_data(run, paths.read_record(run)), []
    for results in sorted(path for path in (run / "results").iterdir() if path.is_dir()):
        values = results.with_suffix(".json")
        main = json.loads(values.read_text(encoding="utf-8")).get("dataset", "") if values.exists() else ""
        facts = paths.read_yaml(run / "chapters" / f"{results.name}.yml")
        tables_of = _small_tables(results, main)
        for dataset in [name for name in tables_of if name in data]:
            folder = paths.REFERENCE / dataset / results.name
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            for name, table in tables_of[dataset].items():
                table.to_csv(folder / f"{name}.csv", index=False, float_format="%.6g")
            if dataset == main:
                shutil.copyfile(values, folder / "values.json")
            write_yaml(folder / "run.yml", facts | {"data": {dataset: data[dataset]}})
            written.append(folder)
    return written


def _real_data(run: Path, record: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The facts of a run's data sets. WastebookError where it has no record, was built from drawn photos, or
    from others than those whose reference is kept under that name."""
    if not record.get("data") or not (run / "results").is_dir():
        raise WastebookError(f"{run} is not a run that was built whole: wastebook build --run {run.name}")
    for name, facts in record["data"].items():
        if facts.get("drawn"):
            raise WastebookError(f"{run} was built from drawn photos: a reference is of real ones.")
        kept = paths.REFERENCE / name
        if any(_fingerprint(file.parent) != facts["fingerprint"] for file in kept.glob("*/run.yml")):
            raise WastebookError(f"The reference of {name} is of other photos: remove {kept} first.")
    return record["data"]


def _small_tables(results: Path, main: str) -> dict[str, dict[str, pd.DataFrame]]:
    """The tables of a chapter that are kept, by data set: one with the column `dataset` by its rows, others
    with the `main` data set of the chapter."""
    found: dict[str, dict[str, pd.DataFrame]] = {main: {}}
    for file in sorted(results.glob("*.parquet")):
        table = pd.read_parquet(file)
        for dataset, part in table.groupby("dataset") if "dataset" in table else [(main, table)]:
            if 0 < len(part) <= MOST_ROWS:
                found.setdefault(str(dataset), {})[file.stem] = part
    return found


def _fingerprint(chapter: Path) -> str:
    """The fingerprint of the data that a chapter of the reference is of."""
    return paths.read_record(chapter)["data"][chapter.parent.name]["fingerprint"]
