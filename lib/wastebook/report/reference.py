"""Two runs held against one another, and the reference that is kept in the repository: the small tables of a
run on the real photos, without pictures."""

import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from wastebook import paths
from wastebook.book.plan import BUILD, find_run, read_record
from wastebook.errors import WastebookError
from wastebook.files import write_text

SCORE_KEYS = ["dataset", "model", "scheme", "split", "metric"]
MOST_ROWS = 500  # of a table that is kept
TOLERANCE = 1e-5  # what is lost by writing six figures


def find_results(name: str) -> Path:
    """The folder of a run's results, or of the reference's where the name is `reference`; WastebookError
    where there are none."""
    if name == "reference":
        if not any(paths.REFERENCE.glob("*/*/scores.csv")):
            raise WastebookError(
                "No reference is kept yet: build the book on the real photos, then wastebook reference RUN."
            )
        return paths.REFERENCE
    return find_run(name, "results")


def scores_of(place: Path) -> pd.DataFrame:
    """Every score of a run's folder, or of the reference's, each once; WastebookError where there is none."""
    parts = [pd.read_parquet(file) for file in sorted(place.glob("results/*/scores.parquet"))]
    parts += [pd.read_csv(file) for file in sorted(place.glob("*/*/scores.csv"))]
    if not parts:
        raise WastebookError(f"There are no scores in {place}: build the book there first.")
    return pd.concat(parts).drop_duplicates(SCORE_KEYS, ignore_index=True)


def reference_scores(dataset: str) -> pd.DataFrame:
    """The scores kept as the reference of a data set; no row where none are."""
    folder = paths.REFERENCE / dataset
    parts = [pd.read_csv(file) for file in sorted(folder.glob("*/scores.csv"))]
    columns = [*SCORE_KEYS, "value", "low", "high", "n", "seeds"]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)


def compare_scores(first: pd.DataFrame, second: pd.DataFrame) -> pd.DataFrame:
    """The scores that two tables share, the most different first: `dataset, model, scheme, split, metric`,
    `value, low, high` of both (`_a, _b`), `difference` (second minus first) and `differs`: each value lies
    outside the other's interval."""
    values = [*SCORE_KEYS, "value", "low", "high"]
    both = first[values].merge(second[values], on=SCORE_KEYS, suffixes=("_a", "_b"))
    outside = []
    for a, b in ("ab", "ba"):
        # The interval of a calibration error need not hold its own value: resampling makes the error larger.
        low, high = (both[[f"{name}_{b}", f"value_{b}"]] for name in ("low", "high"))
        outside.append(
            (both[f"value_{a}"] < low.min(axis=1) - TOLERANCE)
            | (both[f"value_{a}"] > high.max(axis=1) + TOLERANCE)
        )
    both = both.assign(difference=both["value_b"] - both["value_a"], differs=outside[0] & outside[1])
    order = both["difference"].abs().sort_values(ascending=False, kind="stable").index
    return both.loc[order].reset_index(drop=True)


def compare_runs(first: Path, second: Path) -> dict[str, Any]:
    """What two runs (or a run and the reference) say of the same models: `shared` (how many scores),
    `differ` (those beyond their intervals), `largest` (the most different of all), `only_first` and
    `only_second` (models that the other lacks) and `notes` on what else is not alike. WastebookError where
    they share nothing."""
    tables = [scores_of(place) for place in (first, second)]
    both = compare_scores(*tables)
    if both.empty:
        raise WastebookError(f"{first} and {second} have no score in common: they cannot be compared.")
    models = [set(table["dataset"] + "/" + table["model"]) for table in tables]
    return {
        "first": str(first),
        "second": str(second),
        "shared": len(both),
        "differ": both[both["differs"]].drop(columns="differs").to_dict("records"),
        "largest": both.drop(columns="differs").iloc[0].to_dict(),
        "only_first": sorted(models[0] - models[1]),
        "only_second": sorted(models[1] - models[0]),
        "notes": list(_notes(_facts(first), _facts(second))),
    }


def write_reference(run: Path) -> list[Path]:
    """Keep the small tables and single values of a run as `data/reference/<data set>/<chapter>/`, in the
    place of what was there, each with a `run.yml`: versions, commit, hardware, data, parameters, seconds.
    Gives the folders. WastebookError where the run has no record, or was built from drawn photos."""
    record = read_record(run)
    if not record.get("data") or not (run / "results").is_dir():
        raise WastebookError(f"{run} is not a run that was built whole: wastebook build --run {run.name}")
    if any(map(paths.is_drawn, record["data"])):
        raise WastebookError(f"{run} was built from drawn photos: a reference is of real ones.")
    written = []
    for results in sorted(path for path in (run / "results").iterdir() if path.is_dir()):
        chapter = results.name
        parameters = record["parameters"].get(chapter, {})
        dataset = Path(str(parameters.get("dataset", ""))).name
        if dataset not in record["data"]:
            continue
        folder = paths.REFERENCE / dataset / chapter
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for file in sorted(results.glob("*.parquet")):
            table = pd.read_parquet(file)
            if 0 < len(table) <= MOST_ROWS:
                table.to_csv(folder / f"{file.stem}.csv", index=False, float_format="%.6g")
        values = run / "results" / f"{chapter}.json"
        if values.exists():
            shutil.copyfile(values, folder / "values.json")
        facts = {name: record[name] for name in ("written", "commit", "hardware", "versions")}
        facts |= {
            "data": record["data"][dataset],
            "parameters": parameters,
            "seconds": _seconds(run, chapter),
        }
        write_text(folder / "run.yml", yaml.safe_dump(facts, sort_keys=False, allow_unicode=True))
        written.append(folder)
    return written


def _seconds(run: Path, chapter: str) -> float | None:
    """How long a chapter ran when it was last run."""
    state = run / BUILD / f"{chapter}.json"
    found = json.loads(state.read_text(encoding="utf-8")) if state.exists() else {}
    return round(found["seconds"], 1) if "seconds" in found else None


def _facts(place: Path) -> list[dict[str, Any]]:
    """The records of a run, or of the chapters of the reference."""
    files: Iterable[Path] = [place / "run.yml", *sorted(place.glob("*/*/run.yml"))]
    return [yaml.safe_load(file.read_text(encoding="utf-8")) for file in files if file.exists()]


def _notes(first: list[dict[str, Any]], second: list[dict[str, Any]]) -> Iterable[str]:
    """What differs between two runs besides their scores, a line each."""
    data = [_data(records) for records in (first, second)]
    for name in sorted(set(data[0]) & set(data[1])):
        if data[0][name] != data[1][name]:
            yield f"The photos of {name} are not the same."
    for what in ("commit", "hardware", "versions"):
        found = [[record.get(what) for record in records] for records in (first, second)]
        if found[0] and found[1] and any(one not in found[1] for one in found[0]):
            yield f"Not the same {what}."


def _data(records: list[dict[str, Any]]) -> dict[str, set[str]]:
    """The fingerprints of each data set in some records."""
    found: dict[str, set[str]] = {}
    for record in records:
        data = record.get("data", {})
        for facts in [data] if "fingerprint" in data else data.values():
            found.setdefault(facts["name"], set()).add(facts["fingerprint"])
    return found
