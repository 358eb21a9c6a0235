"""The page "The photos": a run's own photos with what each model said of them, put into the site.

Thumbnails lie beside the page. What is known of them is a script, since a page opened as a file may load
scripts and pictures and nothing else.
"""

import base64
import json
import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pandas as pd
from IPython.display import HTML, display
from PIL import Image

from wastebook.cache import cache_folder
from wastebook.errors import WastebookError
from wastebook.files import DATA, as_written, atomic_write, write_text
from wastebook.learning.predictions import probabilities_of
from wastebook.photos.collection import Collection
from wastebook.photos.decode import parallel_map, read_photo
from wastebook.report.chapter import Chapter, read_values
from wastebook.report.overview import read_earlier
from wastebook.report.sentences import name_models

FOLDER = "photos"  # in the site
SIDE, QUALITY = 360, 60  # a thumbnail's longer side in pixels, and of its WebP: some 5 KB for a photo
EXAMPLES = 6  # on the front page and on "Try it"
CONFUSIONS = 5  # that are linked to one by one


def read_shown(run: Path) -> tuple[list[tuple[Collection, pd.DataFrame]], list[str]]:
    """The data sets of a run whose photos may be shown, each with what its models answered on test
    (predictions and how `sure`, those of the models that validation chose first), and why others are not."""
    sets, notes, values = [], [], read_values(run)
    seen: dict[str, list[str]] = {}  # the chapters that saw the same photos
    for name in values:
        if "drawn" in values[name]:
            seen.setdefault(values[name]["drawn"]["fingerprint"], []).append(name)
    for names in seen.values():
        chapter = Chapter(names[0], run, run)
        try:
            data = chapter.load_photos(names[0])
            reason = data.card.get("rights", "")
        except WastebookError as error:
            reason = str(error)
        answers = read_earlier(chapter, names, "predictions")
        if reason:
            notes.append(f"The photos of {values[names[0]]['title']} are not shown: {reason}")
        elif len(answers):
            leading = answers["chapter"].map({name: values[name].get("scheme") for name in names})
            answers = answers[(answers["split"] == "test") & (answers["scheme"] == leading)]
            answers = answers.drop_duplicates(["model", "path", "seed"])
            answers = answers.assign(sure=probabilities_of(answers).max(axis=1).round(3))
            chosen = answers["model"].isin([values[name].get("chosen") for name in names])
            sets.append((data, pd.concat([answers[chosen], answers[~chosen]])))
    return sets, notes


def write_gallery(run: Path, site: Path) -> None:
    """Put the page's script into `site`, and a thumbnail of each photo that a model was tested on."""
    sets, notes = read_shown(run)
    told = {"sets": [_show(*each, site / FOLDER) for each in sets], "notes": notes}
    script = Path(__file__).with_name("gallery.js").read_text(encoding="utf-8")
    write_text(site / FOLDER / "photos.js", f"const gallery = {json.dumps(told)};\n{script}")


def _show(data: Collection, answers: pd.DataFrame, folder: Path) -> dict[str, Any]:
    """Put a data set's thumbnails into a folder; gives what the page has to know of it. The `group` of a
    photo is 0 where no other shows the same."""
    photos = data.photos[data.photos["path"].isin(answers["path"])].reset_index(drop=True)
    folder.mkdir(parents=True, exist_ok=True)
    files = [shutil.copyfile(file, folder / file.name).name for file in make_thumbnails(photos, data.root)]
    group = photos["group"].where(photos["group"].duplicated(keep=False), -1) + 1
    photos = photos[["path", "label"]].assign(file=files, group=group)
    answers = answers.assign(photo=pd.Index(photos["path"]).get_indexer(answers["path"]))
    models = []
    for model, name in name_models(answers).items():
        part = answers.loc[answers["model"] == model, ["photo", "predicted", "sure"]]
        models.append({"id": model, "name": name, "answers": part.to_dict("records")})
    told = {"title": data.title, "classes": data.classes, "photos": photos.to_dict("records")}
    return told | {"models": models}


def make_thumbnails(photos: pd.DataFrame, root: Path) -> list[Path]:
    """Photos small and upright, as files of the cache."""

    def make(file: Path, sha256: str) -> Path:
        made = cache_folder("thumbnails") / f"{sha256[:24]}-{SIDE}-{QUALITY}.webp"
        with suppress(OSError):  # not there, or damaged
            Image.open(made).load()
            return made
        picture = Image.fromarray(read_photo(file))
        picture.thumbnail((SIDE, SIDE))
        with atomic_write(made) as partial:
            picture.save(partial, "webp", quality=QUALITY)
        return made

    files = zip([root / path for path in photos["path"]], photos["sha256"], strict=True)
    return list(parallel_map(lambda each: make(*each), files))


def pick_examples(run: Path) -> list[tuple[str, str]]:
    """A test photo of each of the first classes of the first set that may be shown: label, WebP in base64."""
    for data, answers in read_shown(run)[0][:1]:
        tested = answers.loc[answers["seed"] == answers["seed"].min(), "path"]
        photos = data.photos[data.photos["path"].isin(tested)].drop_duplicates("label").sort_values("label")
        files = make_thumbnails(photos.head(EXAMPLES), data.root)
        pictures = (base64.b64encode(file.read_bytes()).decode() for file in files)
        return list(zip(photos["label"], pictures, strict=False))
    return []


def link_mistakes(predictions: pd.DataFrame, data: Collection) -> None:
    """Show links to the photos behind a confusion matrix: to those that each model got wrong and, of one, to
    those of its commonest mistakes; none where none is wrong, they are not shown, or no page is built."""
    wrong, names = predictions[predictions["predicted"] != predictions["label"]], name_models(predictions)
    if wrong.empty or "rights" in data.card or not os.environ.get("WASTEBOOK_STAGE"):
        return
    links, counted = [], {"photos": ("path", "nunique"), "answers": ("path", "size")}
    confused = wrong.groupby(["model", "label", "predicted"]).agg(**counted).nlargest(CONFUSIONS, "answers")
    for row in confused.reset_index().to_dict("records") if len(names) == 1 else []:
        state = {"model": row["model"], "label": row["label"], "answer": row["predicted"]}
        links.append((f"{row['label']} taken for {row['predicted']} ({row['photos']})", state))
    for model, photos in wrong.groupby("model", sort=False)["path"].nunique().items():
        state = {"model": model, "verdict": "wrong", "sort": "surest"}
        links.append((f"wrong answers of {names[str(model)]} ({photos})", state))
    places = [(as_written(name), as_written(f"../photos.html#{urlencode(state)}")) for name, state in links]
    told = " · ".join(f'<a href="{place}">{name}</a>' for name, place in places)
    display(HTML(f'<p class="see {DATA}">See the photos, those of the most answers first: {told}</p>'))
