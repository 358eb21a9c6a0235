"""What all tests share: a cache of their own, the samples, and the real photos where they are at hand."""

import os
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from wastebook import paths
from wastebook.data.cards import load_cards
from wastebook.data.datasets import Dataset, open_dataset
from wastebook.data.download import at_hand
from wastebook.data.sample import draw_sample
from wastebook.files import write_text

AREAS = [  # of what a test marked `fault` tries: the chapters of docs/faults.md
    "own folders",
    "damaged photos",
    "hostile names",
    "archives",
    "kills",
    "disk and places",
    "weights and caches",
    "network",
    "app",
]
FAULTS_HEAD = """# Faults: what was tried, and what follows

Everything below is tried by a test of the suite, and the page is made by those tests:
`python -m pytest -m fault --faults docs/faults.md`. An input is one photo, folder, name, address or kill
given to the book; it holds where what follows is what the last column says.
"""


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory):
    """A temporary `WASTEBOOK_CACHE`, one for all the processes of a test run."""
    base = tmp_path_factory.getbasetemp()
    base = base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WASTEBOOK_CACHE", str(base / "cache"))
        yield base / "cache"


@pytest.fixture
def own_data(monkeypatch):
    """Set `WASTEBOOK_DATA` to the folders and zips given; none at first."""
    monkeypatch.delenv("WASTEBOOK_DATA", raising=False)
    return lambda *places: monkeypatch.setenv("WASTEBOOK_DATA", os.pathsep.join(map(str, places)))


@pytest.fixture(scope="session")
def whole_sample(cache) -> Dataset:
    """The drawn sample of six materials, as a chapter opens it: 360 photos."""
    return open_dataset("sample")


@pytest.fixture(scope="session")
def sample(cache) -> Dataset:
    """A small sample of six materials, 72 photos with official splits: quick to draw and to work on."""
    root = draw_sample("sample", photos=72, near_duplicates=8)
    small = open_dataset(root)
    splits = pd.read_csv(root / "splits.csv", index_col="file")["split"]
    photos = small.photos.assign(split=small.photos["path"].str.split("/").str[-1].map(splits))
    return small._replace(name="sample", card=load_cards()["sample"], photos=photos)


@pytest.fixture(scope="session")
def trashnet(cache) -> Dataset:
    """The real TrashNet, for tests marked `real`."""
    return open_dataset("trashnet")


@pytest.fixture(scope="session")
def kept_model(sample):
    """A head on ResNet18 with random weights: little sense, every property of a real model (`model, backbone,
    head, card`)."""
    from wastebook.learning.backbones import load_backbone
    from wastebook.learning.features import extract_features
    from wastebook.learning.heads import solve_head
    from wastebook.learning.predictions import Model

    backbone = load_backbone("resnet18", "random", (64, 80), sample.photos, sample.root)
    features = extract_features(sample.photos, sample.root, backbone)
    head, _ = solve_head(features, features[0], sample.photos, sample.classes)
    data = load_cards()["sample"] | {"title": "Sample", "photos": 72, "fingerprint": "0" * 64}
    card = {"data": data, "scores": {"accuracy": 0.5}, "temperature": 1.5, "threshold": 0.4}
    return SimpleNamespace(
        model=Model("resnet18", "64x80", head="exact"), backbone=backbone, head=head, card=card
    )


@pytest.fixture(scope="session")
def ask_torch():
    """A function that asks a model in torch, in fp32, what its ONNX file should answer too: (N, K) class
    probabilities of the photos in some files."""
    from wastebook.learning.backbones import accelerator, for_inference, forward
    from wastebook.learning.heads import head_probabilities
    from wastebook.photos.decode import decode_photos

    def ask(backbone, head, files, temperature=1.0):
        device, cooled = accelerator(), 1 / temperature
        network = for_inference(backbone).to(device)
        pixels = np.stack(list(decode_photos(files, backbone.image_size)))
        head = head._replace(weight=head.weight * cooled, bias=head.bias * cooled)
        return head_probabilities(head, forward(network, backbone, pixels, device, bf16=False))

    return ask


@pytest.fixture(scope="session")
def kept_runs(kept_model, tmp_path_factory):
    """A folder of runs: `small` has kept that model, and one of two classes as chapter 05 does."""
    from wastebook.learning.export import export_model
    from wastebook.learning.predictions import Model

    folder, kept = tmp_path_factory.mktemp("runs"), kept_model
    models = folder / "small" / "models"
    file = models / "04-efficientnet" / f"{kept.model.id}.onnx"
    export_model(kept.backbone, kept.head, kept.model, kept.card, file)
    two = {"weight": kept.head.weight[:2], "bias": kept.head.bias[:2], "classes": ["organic", "recyclable"]}
    card, model = kept.card | {"data": load_cards()["sample-binary"]}, Model("xception", "71x71")
    file = models / "05-xception" / f"{model.id}.onnx"
    export_model(kept.backbone, kept.head._replace(**two), model, card, file)
    return folder


@pytest.fixture
def drawn():
    """Every figure of the test is drawn at its end, so that what a figure warns of is seen."""
    import matplotlib.pyplot as plt

    from wastebook.report import figures

    figures.set_up()
    yield
    for number in plt.get_fignums():
        plt.figure(number).canvas.draw()
    plt.close("all")


def pytest_addoption(parser):
    text = "write the table of faults to FILE: from the tests' marks, and how this run went"
    parser.addoption("--faults", type=Path, metavar="FILE", help=text)
    text = "make the pictures that the README and a link to the site show anew, of this run (tests/site)"
    parser.addoption("--pictures", type=Path, metavar="RUN", help=text)


def pytest_configure(config):
    if config.option.faults and not hasattr(config, "workerinput"):  # xdist's workers report to the one
        config.pluginmanager.register(FaultTable(config.option.faults))


class FaultTable:
    """Counts the inputs of each mark `fault`, and how many held: a test is one, or what it records as
    `record_property("inputs", number)`."""

    def __init__(self, file):
        self.file, self.rows = file, {}

    def pytest_runtest_logreport(self, report):
        told = [dict([each]) for each in report.user_properties]
        inputs = next((each["inputs"] for each in told if "inputs" in each), 1)
        if report.when == "call" or (report.when == "setup" and not report.passed):
            for fault in (tuple(each["fault"]) for each in told if "fault" in each):
                self.rows.setdefault(fault, Counter())[report.outcome] += inputs

    def pytest_sessionfinish(self):
        if self.rows:
            write_text(self.file, describe_faults(self.rows))


def describe_faults(rows):
    """The page of the faults, Markdown, from the inputs by outcome (passed, failed, skipped) of each
    `(area, tried, follows)`."""
    total = sum(rows.values(), Counter())
    page = [
        FAULTS_HEAD,
        f"Of {total.total():,} inputs, {total['passed']:,} held and {total['failed']:,} did not.",
    ]
    if total["skipped"]:
        page += [f"{total['skipped']:,} were not tried when this page was made: long campaigns run weekly."]
    for area in sorted({area for area, *_ in rows}, key=AREAS.index):
        page += [
            f"\n## {area.capitalize()}\n",
            "| tried | inputs | held | what follows |",
            "| --- | --: | --: | --- |",
        ]
        for (_, tried, follows), counts in ((row, rows[row]) for row in sorted(rows) if row[0] == area):
            held = f"{counts['passed']:,}" if counts["skipped"] < counts.total() else "not tried here"
            tried, follows = (text.replace("|", r"\|") for text in (tried, follows))
            page += [f"| {tried} | {counts.total():,} | {held} | {follows} |"]
    return "\n".join(page) + "\n"


def pytest_collection_modifyitems(config, items):
    """Skip, and say why: the tests on real photos where TrashNet is not at hand; benchmarks, which need the
    machine to themselves, and campaigns, which take an hour, unless asked for. Marks of faults go along with
    the reports."""
    why = {mark: f"run by hand with -m {mark}" for mark in ("benchmark", "campaign")}
    why = {mark: reason for mark, reason in why.items() if mark not in config.option.markexpr}
    marked = [(item, mark) for item in items for mark in ("real", *why) if item.get_closest_marker(mark)]
    if not (paths.own_copies("WASTEBOOK_DATA") and at_hand(load_cards()["trashnet"])):
        why["real"] = "needs real photos: TrashNet is not in WASTEBOOK_DATA"
    for item, mark in marked:
        if mark in why:
            item.add_marker(pytest.mark.skip(reason=why[mark]))
    for item in items:
        item.user_properties += [("fault", mark.args) for mark in item.iter_markers("fault")]
