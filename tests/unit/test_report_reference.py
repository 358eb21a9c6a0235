"""Two runs held against one another, and the reference that a run leaves."""

import re

import pandas as pd
import pytest
import yaml

from wastebook import paths
from wastebook.data.cards import load_cards
from wastebook.errors import WastebookError
from wastebook.files import write_text, write_yaml
from wastebook.learning.predictions import MODEL, Model
from wastebook.report import reference
from wastebook.report.chapter import Chapter

SMALL, LARGE = Model("resnet18", "64x64"), Model("efficientnet_b0", "96x128", head="exact")


def scores_table(**changes):
    """A score per model and metric; `changes` to columns of all."""
    rows = [
        {"dataset": "trashnet", **model.columns, "scheme": "grouped", "split": "test", "metric": metric}
        | {"value": 0.8, "low": 0.75, "high": 0.85, "n": 61, "seeds": 2}
        for model in (SMALL, LARGE)
        for metric in ("accuracy", "macro_f1")
    ]
    return pd.DataFrame(rows).assign(**changes)


def write_run(folder, scores, data=("trashnet",), drawn=False):
    """A run of one chapter with these scores."""
    chapter = Chapter("04-efficientnet", folder, folder)
    chapter.save("scores", scores)
    chapter.save("predictions", pd.DataFrame({"path": ["a"] * 501}))
    chapter.record(scheme="grouped", dataset="trashnet")
    record = {"written": "2026", "commit": "abc", "hardware": {"cores": 2}, "versions": {"python": "3.11"}}
    facts = {"photos": 400, "fingerprint": "f" * 64, "drawn": drawn}
    record["data"] = {name: {"name": name, **facts} for name in data}
    write_text(folder / "run.yml", yaml.safe_dump({"parameters": {"04-efficientnet": {"seeds": [9]}}}))
    record |= {"seconds": 12.3, "parameters": {"dataset": "trashnet", "seeds": [0, 1]}}
    write_text(folder / "chapters" / "04-efficientnet.yml", yaml.safe_dump(record))
    return folder


def change_record(run, **changes):
    """Change what the chapter of a run says that it was made of."""
    file = run / "chapters" / "04-efficientnet.yml"
    write_text(file, yaml.safe_dump(yaml.safe_load(file.read_text()) | changes))


@pytest.fixture
def run(tmp_path):
    return write_run(tmp_path / "run", scores_table())


@pytest.fixture
def empty_reference(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "REFERENCE", tmp_path / "reference")
    return tmp_path / "reference"


def test_runs_are_listed_the_newest_first(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "RUNS", tmp_path)
    assert reference.describe_runs() == []
    for name, written in (("old", "2026-01-02T03:04:05+00:00"), ("new", "2026-02-03T04:05:06+00:00")):
        write_yaml(tmp_path / name / "run.yml", {"written": written, "data": {"sample": {}}})
    (tmp_path / "by-hand" / "results").mkdir(parents=True)
    for file in ("new/chapters/01-a.ipynb", "new/chapters/02-b.ipynb", "new/site/index.html"):
        write_text(tmp_path / file, "")
    assert pd.DataFrame(reference.describe_runs()).to_dict("list") == {
        "run": ["new", "old", "by-hand"],
        "written": ["2026-02-03T04:05", "2026-01-02T03:04", ""],
        "data": ["sample", "sample", ""],
        "chapters": [2, 0, 0],
        "page": [str(tmp_path / "new" / "site" / "index.html"), "", ""],
    }


@pytest.mark.parametrize("damage", ["{", "- 1", "data: 3", "data: {sample: {}}\n\0", "3"])
def test_a_damaged_run_is_listed_beside_the_others(tmp_path, monkeypatch, damage):
    monkeypatch.setattr(paths, "RUNS", tmp_path)
    write_yaml(tmp_path / "whole" / "run.yml", {"written": "2026-01-02", "data": {"sample": {}}})
    write_text(tmp_path / "broken" / "run.yml", damage)
    told = {row["run"]: row["data"] for row in reference.describe_runs()}
    assert told == {"whole": "sample", "broken": "(its run.yml is damaged)"}


def test_a_run_does_not_differ_from_itself(run):
    outcome = reference.compare_runs({"one": run, "again": run})
    assert outcome["differ"] == outcome["unlike"] == []
    assert outcome["shared"] == 4 and outcome["largest"]["one"] == outcome["largest"]["again"] == 0.8
    with pytest.raises(WastebookError, match="itself"):
        reference.compare_runs({"one": run})


def test_what_differs_beyond_its_interval_is_said(run, tmp_path):
    changed = scores_table()
    changed.loc[0, ["value", "low", "high"]] += 0.3
    changed.loc[1, ["value", "low", "high"]] += 0.005
    other = write_run(tmp_path / "other", changed[changed["network"] == "resnet18"])
    change_record(other, commit="def", parameters={"dataset": "trashnet", "seeds": [0], "views": 2})
    outcome = reference.compare_runs({"one": run, "again": run, "other": other})
    (differs,) = outcome["differ"]
    assert (differs["network"], differs["metric"]) == ("resnet18", "accuracy")
    assert (differs["one"], differs["again"], differs["other"]) == (0.8, 0.8, pytest.approx(1.1))
    assert outcome["largest"] == differs and outcome["shared"] == 4
    assert outcome["lacking"] == {"one": [], "again": [], "other": [f"trashnet/{LARGE.id}"]}
    commit = {"what": "commit", "one": "abc", "again": "abc", "other": "def"}
    seeds = {"what": "parameters.04-efficientnet.seeds", "one": "[0, 1]", "again": "[0, 1]", "other": "[0]"}
    assert outcome["unlike"] == [commit, seeds]  # as it says that it was made, whatever was asked for since


def test_models_are_told_apart_by_every_column_and_scores_without_an_interval_never_differ():
    other = scores_table(image_size="224x224")
    assert reference.compare_scores(scores_table(), other).empty
    bare = scores_table(low=None, high=None).astype({"low": float, "high": float})
    assert not reference.compare_scores(bare, bare.assign(value=0.1))["differs"].any()


def test_runs_without_a_score_in_common_cannot_be_compared(run, tmp_path):
    other = write_run(tmp_path / "other", scores_table(dataset="another"))
    with pytest.raises(WastebookError, match="no score in common"):
        reference.compare_runs({"run": run, "other": other})
    with pytest.raises(WastebookError, match="no scores in"):
        reference.compare_runs({"run": run, "nothing": tmp_path / "nothing"})


def test_the_reference_is_what_the_run_found(run, empty_reference):
    with pytest.raises(WastebookError, match="no scores in"):
        reference.compare_runs({"run": run, "reference": reference.find_results("reference")})
    (folder,) = reference.write_reference(run)
    assert folder == empty_reference / "trashnet" / "04-efficientnet"
    assert {file.name for file in folder.iterdir()} == {"scores.csv", "values.json", "run.yml"}
    facts = yaml.safe_load((folder / "run.yml").read_text())
    assert (facts["seconds"], facts["versions"]["python"]) == (12.3, "3.11")
    assert facts["data"]["trashnet"]["photos"] == 400
    places = {"run": run, "reference": reference.find_results("reference")}
    assert reference.compare_runs(places)["differ"] == []
    assert len(reference.reference_scores("trashnet", "f" * 64)) == 4
    assert reference.reference_scores("sample", "f" * 64).empty


def test_a_table_goes_to_the_data_sets_of_its_rows(tmp_path, empty_reference):
    both = pd.concat([scores_table(), scores_table(dataset="waste-classification")])
    written = reference.write_reference(
        write_run(tmp_path / "run", both, ("trashnet", "waste-classification"))
    )
    assert sorted(folder.parent.name for folder in written) == ["trashnet", "waste-classification"]
    assert {len(pd.read_csv(folder / "scores.csv")) for folder in written} == {4}
    assert [(folder / "values.json").exists() for folder in written] == [True, False]


def test_other_photos_and_versions_are_noted(run, empty_reference):
    reference.write_reference(run)
    change_record(run, data={"trashnet": {"fingerprint": "0" * 64}}, versions={"python": "3.12"})
    unlike = reference.compare_runs({"run": run, "kept": empty_reference})["unlike"]
    assert {row["what"] for row in unlike} == {"versions.python", "data.trashnet.fingerprint"}


def test_data_sets_of_one_name_are_not_mixed(run, empty_reference):
    reference.write_reference(run)
    change_record(run, data={"trashnet": {"fingerprint": "0" * 64}})
    with pytest.raises(WastebookError, match="of other photos"):
        reference.write_reference(run)
    assert reference.reference_scores("trashnet", "0" * 64).empty


def test_drawn_photos_make_no_reference(tmp_path, empty_reference):
    run = write_run(tmp_path / "run", scores_table(), drawn=True)
    with pytest.raises(WastebookError, match="drawn photos"):
        reference.write_reference(run)
    assert not empty_reference.exists()


KEPT = sorted(paths.REFERENCE.glob("*/*/*.csv"))


@pytest.mark.parametrize("file", KEPT, ids=lambda file: "/".join(file.parts[-3:]))
def test_the_kept_tables_have_the_columns_of_models(file):
    table = pd.read_csv(file)
    if "model" in table:
        assert set(MODEL) <= set(table)
        models = table[MODEL].drop_duplicates().to_dict("records")
        assert all(Model(*list(row.values())[1:]).columns == row for row in models)
    if "dataset" in table:
        assert set(table["dataset"]) == {file.parts[-3]}


def test_the_kept_reference_is_of_real_photos_with_a_card():
    for record in paths.REFERENCE.glob("*/*/run.yml"):
        (name, facts), *others = yaml.safe_load(record.read_text())["data"].items()
        assert name == record.parts[-3] and not others and not facts["drawn"]
        assert facts["fingerprint"] == load_cards()[name].get("fingerprint", facts["fingerprint"])


def test_a_model_with_fewer_seeds_than_those_beside_it_is_named_with_the_reason():
    told = (paths.REFERENCE / "README.md").read_text(encoding="utf-8")
    for table in filter(lambda each: {"model", "seeds"} <= set(each), map(pd.read_csv, KEPT)):
        for model in table.loc[table["seeds"] < table["seeds"].max(), "model"].unique():
            assert f"`{model}`" in told


@pytest.mark.parametrize("readme", [paths.PROJECT / "README.md", paths.CARDS / "audit" / "README.md"])
def test_files_named_in_a_readme_exist(readme):
    text = readme.read_text(encoding="utf-8")
    named = re.findall(r"data/[\w/.-]+\.(?:csv|yml|md)", text)
    named += [
        f"data/audit/{name}" for name in re.findall(r"`([\w-]+\.csv)`", text) if readme.parent.name == "audit"
    ]
    assert named
    assert [name for name in named if not (paths.PROJECT / name).exists()] == []
