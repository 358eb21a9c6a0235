"""What travels with a model and a data set: their cards, and the checklist of a run, filled from what was
measured."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from huggingface_hub import DatasetCard, DatasetCardData, EvalResult, ModelCard, ModelCardData
from safetensors import safe_open

from wastebook.data import Dataset, fingerprint, how_many
from wastebook.report.sentences import format_count, format_number, format_percent, format_score, join_names

LIMITS = (
    "What was measured holds for photos like these. A full bin, a crushed thing or another light is another "
    "question, and no score here answers it."
)


def write_model_card(file: Path, folder: Path, scores: pd.DataFrame, data: Mapping[str, Any]) -> Path:
    """The card of the model kept in the safetensors `file`, as `<model>.md` in `folder`; its `scores` are
    those of the run on test, `data` the card of its data set."""
    with safe_open(file, framework="np") as opened:
        facts = json.loads(opened.metadata()["wastebook"])
    name, backbone, card = facts["name"], facts["backbone"], facts["card"]
    own = scores[scores["model"] == name]
    results = [
        EvalResult(
            task_type="image-classification",
            dataset_type=card["data"]["name"],
            dataset_name=data["title"],
            dataset_split=f"test ({row['scheme']})",
            metric_type=row["metric"],
            metric_value=round(float(row["value"]), 4),
        )
        for _, row in own.iterrows()
    ]
    head = ModelCardData(
        language="en",
        library_name="wastebook",
        pipeline_tag="image-classification",
        tags=["waste", "image-classification", backbone["name"]],
        model_name=name,
        eval_results=results or None,
    )
    weights = {"imagenet": "ImageNet's", "random": "random: it has never learned to see"}
    note = f" Note: {backbone['note']}." if backbone["note"] else ""
    lines = [
        f"| {row['scheme']} | {row['metric']} | {format_score(row)} | {row['n']} |"
        for _, row in own.iterrows()
    ]
    height, width = backbone["image_size"]
    text = f"""# {name}

{backbone["name"]} (weights: {weights.get(backbone["weights"], "a file of one's own")}, SHA-256
`{backbone["sha256"][:16]}`) with one linear layer on it.{note} Classes: {join_names(facts["classes"])}.

## Data

{data["title"]}, {format_count(card["data"]["photos"])} photos, fingerprint `{card["data"]["fingerprint"][:16]}`.
Source: {data["source"]}. Licence: {data["licence"] or "not given"}.

## How it is used

`wastebook predict` reads the ONNX file of that name. Photos are squeezed whole to {height} by {width} pixels.
Logits are divided by a temperature of {card["temperature"]:.2f}, fitted on validation,
so that a probability means what it says.

## Scores on test

With 95 % intervals, drawn by groups of photos of one object and by seeds.

| split | metric | value | photos |
| --- | --- | --- | ---: |
{chr(10).join(lines)}

## Limits

{LIMITS} It always answers with one of its classes, also for what is none of them.
"""
    return _keep(ModelCard(f"---\n{head.to_yaml()}\n---\n\n{text}"), folder / f"{name}.md")


def write_dataset_card(data: Dataset, folder: Path, duplicates: pd.DataFrame, problems: pd.DataFrame) -> Path:
    """The card of a data set as it was at hand, as `dataset-<name>.md` in `folder`; `duplicates` and
    `problems` as `find_duplicates` and `check_photos` give them."""
    card, photos = data.card, data.photos
    licences = {"MIT": "mit", "CC BY-SA 4.0": "cc-by-sa-4.0"}
    head = DatasetCardData(
        language="en",
        license=licences.get(card["licence"]),
        pretty_name=card["title"],
        task_categories=["image-classification"],
    )
    counts = photos.groupby("label")["split"].value_counts(dropna=False).unstack(fill_value=0)
    splits = [str(name) for name in counts]
    lines = [
        f"| {label} | {' | '.join(format_count(number) for number in row)} |"
        for label, row in counts.iterrows()
    ]
    kinds = duplicates.reindex(columns=["kind"])["kind"].value_counts()
    pairs = [f"{format_count(number)} {kind}" for kind, number in kinds.items()]
    across = int((~duplicates["same_label"].astype(bool)).sum()) if len(duplicates) else 0
    text = f"""# {card["title"]}

{card["task"]} {how_many(data)}; fingerprint `{fingerprint(photos)[:16]}`.
Source: {card["source"]}. {card["homepage"]}

Licence: {card["licence"] or "not given"}. To cite: {card["citation"] or "not given"}

| class | {" | ".join(splits)} |
| --- | {" | ".join(["---:"] * len(splits))} |
{chr(10).join(lines)}

## What was found in it

Pairs of photos that show the same: {join_names(pairs) if pairs else "none"};
with two labels: {across}. Files with a remark: {len(problems)}.

## Limits

{LIMITS}
"""
    return _keep(DatasetCard(f"---\n{head.to_yaml()}\n---\n\n{text}"), folder / f"dataset-{data.name}.md")


def checklist(
    record: Mapping[str, Any],
    data: Dataset,
    models: pd.DataFrame,
    known: Mapping[str, int],
    published: pd.DataFrame,
) -> pd.DataFrame:
    """A row a question of REFORMS (Kapoor et al. 2024) that this book can answer for itself: `module,
    question, answer`, from the run's record, its data and models, and how many test photos show an object
    known from train under each scheme (`known`)."""
    versions = record.get("versions", {})
    hardware = record.get("hardware", {})
    commit = str(record.get("commit") or "not under Git")
    seeds = models["seeds"].max()
    smallest = data.photos["label"].value_counts()
    leaks = [f"{format_count(number)} under {scheme}" for scheme, number in known.items()]
    gap = models["accuracy_high"] - models["accuracy_low"]
    elsewhere = (
        format_number(100 * published["value"].min(), 2) + " % (landfill)" if len(published) else "no place"
    )
    answers = {
        "goals": {
            "What is claimed, of which photos?": f"{data.card['task']} For photos like these: {data.name}.",
            "Why learn it from data?": "No rule in pixels tells glass from plastic; "
            "people can, so labels exist.",
        },
        "computing": {
            "Which code?": f"commit {commit[:12]}{' with changes' * commit.endswith('+')}",
            "Which software and machine?": f"{len(versions)} versions kept in run.yml; "
            f"{hardware.get('processor', 'unknown')}, {hardware.get('cores', '?')} cores, "
            f"{hardware.get('accelerator') or 'no accelerator'}",
            "Can it be run again?": "wastebook build; wastebook compare holds two runs against one another",
        },
        "data": {
            "Where from, how many?": f"{data.card['source']}; {how_many(data)}",
            "Is any class rare?": f"{smallest.index[-1]} with {format_count(smallest.iloc[-1])} photos against "
            f"{smallest.index[0]} with {format_count(smallest.iloc[0])}",
            "Who labelled?": "the authors, once; how far they agree was not measured",
        },
        "splits": {
            "Is test kept apart?": f"{models['model'].nunique()} models, each scored once; validation chose",
            "Test photos of an object known from train": join_names(leaks) or "not counted",
        },
        "uncertainty": {
            "Is luck shown?": f"95 % intervals by group and seed ({format_count(seeds)}), "
            f"{format_percent(gap.median(), 1)} wide (median)",
            "Are many comparisons corrected for?": "yes, by Holm's method, for all questions at once",
        },
        "generality": {
            "How far does it carry?": f"see the transfer above; elsewhere it was measured at {elsewhere}"
        },
    }
    rows = [(module, *pair) for module, asked in answers.items() for pair in asked.items()]
    return pd.DataFrame(rows, columns=["module", "question", "answer"])


def _keep(card: ModelCard | DatasetCard, file: Path) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    card.save(file)
    return file
