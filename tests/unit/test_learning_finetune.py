"""Fine-tuning and its checkpoints."""

import multiprocessing
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
import torch

from wastebook.data.datasets import draw_per_class
from wastebook.data.splits import split_photos
from wastebook.errors import WastebookError
from wastebook.learning import finetune as room
from wastebook.learning.backbones import load_backbone, network_hash
from wastebook.learning.features import extract_features
from wastebook.learning.finetune import finetune_heads
from wastebook.learning.heads import train_head
from wastebook.learning.predictions import HISTORY, Model
from wastebook.learning.study import Study

TUNED = Model("test_resnet", "48x48", head="finetuned")
SETTINGS = {"epochs": 3, "blocks": 2, "batch_size": 16, "learning_rate": 5e-3}


@pytest.fixture(scope="module")
def trained(sample):
    photos = split_photos(draw_per_class(sample.photos, 10, seed=2), "random", seed=0)
    backbone = load_backbone("test_resnet", "random", 48, photos=photos, root=sample.root)
    features = extract_features(photos, sample.root, backbone)
    head = train_head(features, features[0], photos, sample.classes, Model("tiny", "48x48"), batch_size=16)
    return photos, sample.root, backbone, head


def finetune(photos, root, backbone, head, model, **options):
    """The tuned backbone and head of one deal."""
    deal = ("random", 0)
    started = Study(pd.DataFrame(), pd.DataFrame(), {deal: head})
    study, tuned = finetune_heads(model, root, backbone, started, {deal: photos}, *deal, **options)
    return tuned, study.heads[deal]


@pytest.fixture(autouse=True)
def own_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("WASTEBOOK_CACHE", str(tmp_path))


def test_only_the_upper_blocks_learn(trained, capsys):
    _, _, backbone, head = trained
    tuned, tuned_head = finetune(*trained, TUNED, **SETTINGS)
    before, after = backbone.network.state_dict(), tuned.network.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert any(name.startswith("layer4") for name in changed)
    assert any(name.startswith("layer3") for name in changed)
    assert not any(
        name.startswith(("conv1", "bn1", "layer1", "layer2")) or "running" in name for name in changed
    )
    assert not np.array_equal(tuned_head.weight, head.weight)
    assert tuned.sha256 == network_hash(tuned.network) != backbone.sha256
    assert len(tuned_head.history) == 6
    assert list(tuned_head.history) == HISTORY
    assert capsys.readouterr().err.count(", epoch ") == 3


def test_a_killed_training_goes_on_as_if_nothing_had_been(trained, monkeypatch, tmp_path):
    tuned, head = finetune(*trained, TUNED, **SETTINGS)
    monkeypatch.setenv("WASTEBOOK_CACHE", str(tmp_path / "again"))
    run_epoch, epochs = room._Learner.run_epoch, []

    def killed(self, epoch):
        if epoch == 3:
            raise KeyboardInterrupt
        return run_epoch(self, epoch)

    with monkeypatch.context() as patch:
        patch.setattr(room._Learner, "run_epoch", killed)
        with pytest.raises(KeyboardInterrupt):
            finetune(*trained, TUNED, **SETTINGS)
    monkeypatch.setattr(
        room._Learner, "run_epoch", lambda self, epoch: epochs.append(epoch) or run_epoch(self, epoch)
    )
    resumed, resumed_head = finetune(*trained, TUNED, **SETTINGS)
    assert epochs == [3]
    assert resumed.sha256 == tuned.sha256
    assert np.array_equal(resumed_head.weight, head.weight)
    assert resumed_head.history.equals(head.history)
    finetune(*trained, TUNED, **SETTINGS)
    assert epochs == [3]  # done already: given at once
    finetune(*trained, TUNED, **SETTINGS | {"epochs": 1})
    assert epochs == [3, 1]  # other arguments are another training


@pytest.mark.fault(
    "weights and caches", "a fine-tuning's checkpoint cut short or overwritten", "trained anew"
)
@pytest.mark.parametrize("damage", [lambda whole: b"", lambda whole: whole[:5000], lambda whole: b"?" * 5000])
def test_a_damaged_checkpoint_is_trained_anew(damage, trained, tmp_path):
    settings = SETTINGS | {"epochs": 1}
    tuned, _ = finetune(*trained, TUNED, **settings)
    (file,) = tmp_path.glob("finetuned/*.pt")
    file.write_bytes(damage(file.read_bytes()))
    assert finetune(*trained, TUNED, **settings)[0].sha256 == tuned.sha256


def test_two_that_want_the_same_training_share_it(trained, monkeypatch):
    run_epoch, epochs = room._Learner.run_epoch, []
    monkeypatch.setattr(
        room._Learner, "run_epoch", lambda self, epoch: epochs.append(epoch) or run_epoch(self, epoch)
    )
    with ThreadPoolExecutor(2) as pool:
        asked = [pool.submit(finetune, *trained, TUNED, **SETTINGS) for _ in range(2)]
        (one, _), (other, _) = (each.result() for each in asked)
    assert epochs == [1, 2, 3] and one.sha256 == other.sha256


def test_it_stops_when_nothing_gets_better(trained, monkeypatch):
    monkeypatch.setattr(room._Learner, "validate", lambda self: (1.0, 0.5))
    _, head = finetune(*trained, TUNED, **SETTINGS | {"epochs": 9}, patience=2)
    assert head.history["epoch"].max() == 3


def test_memory_that_runs_out_halves_the_batch(trained, monkeypatch, capsys):
    whole = room._Learner.logits

    def greedy(self, pixels, kept):
        if len(pixels) > 4:
            raise torch.OutOfMemoryError
        return whole(self, pixels, kept)

    monkeypatch.setattr(room._Learner, "logits", greedy)
    finetune(*trained, TUNED, **SETTINGS | {"epochs": 1})
    assert "going on with 4 photos" in capsys.readouterr().err


@pytest.mark.campaign  # each process takes a quarter of a minute to start
def test_two_processes_learn_what_one_does(trained, monkeypatch, tmp_path):
    """Begun by one process that is killed: two go on, the second of which gets no photo of the last batch."""
    photos, *others = trained
    given = (photos.drop(photos.index[photos["split"] == "train"][0]), *others, TUNED)
    settings = SETTINGS | {"batch_size": 2, "learning_rate": 5e-4}
    alone, head = finetune(*given, **settings)
    monkeypatch.setenv("WASTEBOOK_CACHE", str(tmp_path / "again"))
    run_epoch = room._Learner.run_epoch

    def killed(self, epoch):
        if epoch == 2:
            raise KeyboardInterrupt
        return run_epoch(self, epoch)

    monkeypatch.setattr(room._Learner, "run_epoch", killed)  # here, not in the processes that are launched
    with pytest.raises(KeyboardInterrupt):
        finetune(*given, **settings)
    together, shared = finetune(*given, **settings, processes=2)
    assert [file.name for file in tmp_path.glob("finetuned/*.pt")] == [
        file.name for file in tmp_path.glob("again/finetuned/*.pt")
    ]
    scores = ["loss", "accuracy"]
    assert np.allclose(shared.history[scores], head.history[scores], rtol=0, atol=2e-6)
    assert len(shared.history) == 6 and np.allclose(shared.weight, head.weight, rtol=0, atol=2e-6)
    for name, weights in alone.network.state_dict().items():
        assert torch.allclose(together.network.state_dict()[name], weights, rtol=0, atol=2e-6), name


@pytest.mark.campaign  # each process takes a quarter of a minute to start
def test_an_error_in_one_of_several_processes_is_the_users(trained, capfd):
    with pytest.raises(WastebookError, match=r"diverged: lower its learning rate\.$"):
        finetune(*trained, TUNED, **SETTINGS | {"learning_rate": 1e30}, processes=2)
    assert not multiprocessing.active_children() and "Traceback" not in capfd.readouterr().err


def test_bad_arguments(trained):
    for wrong, told in {
        "epochs": "epochs=0",
        "blocks": "blocks=0",
        "batch_size": "batch_size=0",
    }.items():
        with pytest.raises(WastebookError, match=told):
            finetune(*trained, TUNED, **SETTINGS | {wrong: 0})
    with pytest.raises(WastebookError, match="lower it"):
        finetune(*trained, TUNED, **SETTINGS | {"learning_rate": 1e30})
