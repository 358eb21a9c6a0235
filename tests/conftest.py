"""What all tests share: a cache of their own, the samples, and the real photos where they are at hand."""

import os

import numpy as np
import pandas as pd
import pytest

from wastebook import paths
from wastebook.data import Dataset, draw_sample, load_cards, open_dataset
from wastebook.data.download import at_hand


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
    root = draw_sample("sample", photos=72, near_duplicates=8, exact_duplicates=2)
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
    """A head on ResNet18 with random weights: little sense, every property of a real model."""
    from wastebook.evaluation.trust import model_card
    from wastebook.learning.backbones import load_backbone
    from wastebook.learning.features import extract_features
    from wastebook.learning.heads import predict_head, solve_head
    from wastebook.learning.models import Model

    backbone = load_backbone("resnet18", "random", (64, 80), sample.photos, sample.root)
    features = extract_features(sample.photos, sample.root, backbone)
    head, _ = solve_head(features, features[0], sample.photos, sample.classes)
    predictions = predict_head(head, features[0], sample.photos, "resnet18-exact", 0, "official")
    card = model_card(sample.name, sample.photos, predictions)
    return Model("resnet18-exact", backbone, head, card)


@pytest.fixture(scope="session")
def ask_torch():
    """A function that asks a model in torch, in fp32, what its ONNX file should answer too: (N, K) class
    probabilities of the photos in some files."""
    from wastebook.learning.backbones import accelerator, for_inference, forward
    from wastebook.learning.heads import head_probabilities
    from wastebook.photos.decode import decode_photos

    def ask(model, files):
        device, cooled = accelerator(), 1 / model.card.get("temperature", 1.0)
        network = for_inference(model.backbone).to(device)
        pixels = np.stack(list(decode_photos(files, model.backbone.image_size)))
        head = model.head._replace(weight=model.head.weight * cooled, bias=model.head.bias * cooled)
        return head_probabilities(head, forward(network, model.backbone, pixels, device, bf16=False))

    return ask


@pytest.fixture(scope="session")
def kept_runs(kept_model, tmp_path_factory):
    """A folder of runs: `small` has kept that model, and one of two classes as chapter 05 does."""
    from wastebook.learning.export import export_model

    folder = tmp_path_factory.mktemp("runs")
    models = folder / "small" / "models"
    export_model(kept_model, models / "04-efficientnet" / f"{kept_model.name}.onnx")
    head = kept_model.head._replace(
        weight=kept_model.head.weight[:2], bias=kept_model.head.bias[:2], classes=["organic", "recyclable"]
    )
    card = kept_model.card | {"data": {"name": "sample-binary", "photos": 360}}
    binary = kept_model._replace(name="xception-exact", head=head, card=card)
    export_model(binary, models / "05-xception" / "xception-exact.onnx")
    return folder


def pytest_collection_modifyitems(items):
    """Skip the tests on real photos, and say why, where TrashNet is not at hand."""
    real = [item for item in items if item.get_closest_marker("real")]
    if real and not (paths.own_copies("WASTEBOOK_DATA") and at_hand(load_cards()["trashnet"])):
        for item in real:
            item.add_marker(pytest.mark.skip(reason="needs real photos: TrashNet is not in WASTEBOOK_DATA"))
