"""What travels with a model and a data set: their cards, and the checklist of a run, filled from what was
measured. Their words are in `model_card.md`, `dataset_card.md` (both beside) and `data/checklist.csv`."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnx
import pandas as pd
from huggingface_hub import DatasetCard, DatasetCardData, EvalResult, ModelCard, ModelCardData

from wastebook import paths
from wastebook.data.datasets import fingerprint
from wastebook.files import as_written
from wastebook.photos.collection import Collection
from wastebook.report.sentences import (
    describe_balance,
    format_count,
    format_percent,
    format_score,
    join_names,
    name_model,
)

TEMPLATES, TASK = Path(__file__).parent, "image-classification"
LICENCES = {"MIT": "mit", "CC BY-SA 4.0": "cc-by-sa-4.0", "CC0": "cc0-1.0"}  # as the hub writes them
WEIGHTS = {"imagenet": "ImageNet's", "random": "random: it has never learned to see"}


def write_model_card(file: Path, folder: Path, scores: pd.DataFrame) -> Path:
    """The card of the model in an ONNX `file` of a chapter, from the facts in its metadata and from those
    `scores` that are of its data set and id, as `<chapter>-<id>.md` in `folder`."""
    facts = json.loads({entry.key: entry.value for entry in onnx.load(file).metadata_props}["wastebook"])
    data, size = facts["card"]["data"], "x".join(map(str, facts["image_size"]))
    title = name_model(facts | {"image_size": size})
    own = scores[(scores["model"] == facts["name"]) & (scores["dataset"] == data["name"])].to_dict("records")
    asked = (TASK, data["name"], data["title"])
    results = [
        EvalResult(*asked, row["metric"], round(row["value"], 4), dataset_split=f"test ({row['scheme']})")
        for row in own
    ]
    kind: Any = {"language": "en", "library_name": "wastebook", "pipeline_tag": TASK}
    tags = ["waste", TASK, facts["network"]]
    head = ModelCardData(**kind, tags=tags, model_name=title, eval_results=results or None)
    told = {"title": title, "size": size, "data": data, "kinds": WEIGHTS, "written": as_written}
    told |= {"scores": [row | {"text": format_score(pd.Series(row))} for row in own]}
    card = ModelCard.from_template(head, str(TEMPLATES / "model_card.md"), **facts | told)
    card.save(written := folder / f"{file.parent.name}-{file.stem}.md")
    return written


def write_dataset_card(data: Collection, folder: Path) -> Path:
    """The card of a data set as it was at hand, as `dataset-<name>.md` in `folder`."""
    kind: Any = {"language": "en", "license": LICENCES.get(data.card["licence"]), "task_categories": [TASK]}
    head = DatasetCardData(**kind, pretty_name=data.title)
    counts = data.files.groupby("label")["split"].value_counts(dropna=False).unstack(fill_value=0)
    pairs, across = data.pairs["kind"].value_counts(), ~data.pairs["same_label"].astype(bool)
    splits = ["photos" if name != name else name for name in counts]  # missing where the set is not split
    told: dict[str, Any] = {"written": as_written, "splits": splits, "across": int(across.sum())}
    told |= {"here": len(data.files), "content": fingerprint(data.files), "problems": len(data.problems)}
    told |= {"counts": {label: list(map(format_count, row)) for label, row in counts.iterrows()}}
    told |= {"pairs": join_names(f"{format_count(number)} {kind}" for kind, number in pairs.items())}
    card = DatasetCard.from_template(head, str(TEMPLATES / "dataset_card.md"), **data.card | told)
    card.save(written := folder / f"dataset-{data.name}.md")
    return written


def checklist(
    record: Mapping[str, Any], data: Collection, models: pd.DataFrame, known: Mapping[str, int]
) -> pd.DataFrame:
    """A row per question of REFORMS (Kapoor et al. 2024) that this book can answer for itself: `module,
    question, answer`, from the run's record, its data and models (`all_models`), and how many test photos
    show an object known from train under each scheme (`known`)."""
    commit, counts = str(record.get("commit") or "unknown"), data.photos["label"].value_counts()
    published = pd.read_csv(paths.CARDS / "published.csv").query("data.str.startswith('RealWaste')")["value"]
    facts = {
        "data": data,
        "here": len(data.photos),
        "commit": f"{commit[:12]}{' with changes' * commit.endswith('+')}",
        "versions": len(record.get("versions", {})),
        "hardware": {"processor": "unknown", "cores": "?"} | record.get("hardware", {}),
        "accelerator": record.get("hardware", {}).get("accelerator") or "no accelerator",
        "balance": describe_balance(counts),
        "models": models["model"].nunique(),
        "seeds": models["seeds"].max(),
        "known": join_names(f"{format_count(number)} under {scheme}" for scheme, number in known.items()),
        "width": format_percent((models["accuracy_high"] - models["accuracy_low"]).median(), 1),
        "landfill": format_percent(published.min()),
    }
    questions = pd.read_csv(paths.CARDS / "checklist.csv")
    return questions.assign(answer=[answer.format(**facts) for answer in questions["answer"]])
