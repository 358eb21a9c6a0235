"""Heads and the search over them: FIUBA's recipe as PyTorch has it, its exact solution, nothing lost when
killed."""

from functools import partial

import numpy as np
import optuna
import pandas as pd
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from sklearn.metrics import recall_score

from wastebook.errors import WastebookError
from wastebook.learning import heads
from wastebook.learning.heads import head_probabilities, predict_head, solve_head, train_head
from wastebook.learning.predictions import HISTORY, Model
from wastebook.learning.search import search_head

CLASSES = ["glass", "metal", "paper"]
MODEL = Model("resnet18", "224x224")


def made_up(classes=CLASSES, count=300, width=12, seed=0, noise=1.2):
    """Features of photos in overlapping clouds, the last class rare, and their table."""
    random = np.random.default_rng(seed)
    share = np.array([1.0] * (len(classes) - 1) + [0.15])
    numbers = random.choice(len(classes), count, p=share / share.sum())
    centres = random.normal(size=(len(classes), width))
    plain = (centres[numbers] + noise * random.normal(size=(count, width))).astype(np.float32)
    split = np.array(["train", "train", "train", "validation", "test"])[np.arange(count) % 5]
    photos = pd.DataFrame(
        {"path": [f"{at}.jpg" for at in range(count)], "label": np.array(classes)[numbers], "split": split}
    )
    photos["group"] = pd.Series(pd.NA, index=photos.index, dtype="Int64")
    photos["sha256"] = [f"{at:064x}" for at in range(count)]
    views = np.stack([plain, plain + random.normal(scale=0.3, size=plain.shape).astype(np.float32)])
    return views, plain, photos


def test_the_recipe_is_pytorchs(monkeypatch):
    """The same start and batches through torch's own layer, loss, Adam and StepLR end at the same weights."""
    import torch  # here: the processes of `test_learning_search` import this file without it

    views, plain, photos = made_up()
    settings = {
        "epochs": 7,
        "learning_rate": 0.01,
        "weight_decay": 1e-3,
        "batch_size": 32,
        "step_size": 2,
        "gamma": 0.4,
    }
    head = train_head(views, plain, photos, CLASSES, MODEL, seed=3, balance="class_weights", **settings)

    random = np.random.default_rng(3)
    layer = torch.nn.Linear(12, 3)
    start = torch.from_numpy(random.uniform(-1 / np.sqrt(12), 1 / np.sqrt(12), (3, 13)).astype(np.float32))
    layer.load_state_dict({"weight": start[:, :-1], "bias": start[:, -1]})
    train = (photos["split"] == "train").to_numpy()
    wanted = torch.tensor(pd.Index(CLASSES).get_indexer(photos.loc[train, "label"]))
    weights = len(wanted) / (3 * torch.bincount(wanted).float())
    optimiser = torch.optim.Adam(layer.parameters(), lr=0.01, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.StepLR(optimiser, step_size=2, gamma=0.4)
    for epoch in range(7):
        inputs = torch.from_numpy(views[epoch % 2][train])
        for batch in torch.from_numpy(random.permutation(len(wanted))).split(32):
            optimiser.zero_grad()
            torch.nn.functional.cross_entropy(layer(inputs[batch]), wanted[batch], weights).backward()
            optimiser.step()
        schedule.step()
    np.testing.assert_allclose(head.weight, layer.weight.detach().numpy(), atol=2e-4)
    np.testing.assert_allclose(head.bias, layer.bias.detach().numpy(), atol=2e-4)


def test_the_same_seed_gives_the_same_head_and_history():
    data = made_up()
    first, again, other = (train_head(*data, CLASSES, MODEL, seed=seed, mixup=0.2) for seed in (1, 1, 2))
    assert np.array_equal(first.weight, again.weight)
    assert not np.array_equal(first.weight, other.weight)
    pd.testing.assert_frame_equal(first.history, again.history)
    assert list(first.history) == HISTORY
    assert list(first.history["epoch"]) == [epoch for epoch in range(1, 16) for _ in range(2)]
    losses = first.history.query("split == 'train'")["loss"]
    assert losses.iloc[-1] < losses.iloc[0]


@pytest.mark.parametrize("balance", ["class_weights", "sampling"])
def test_balancing_finds_more_of_the_rare_class(balance):
    views, plain, photos = made_up(count=1000, noise=3.0)
    test = photos["split"] == "test"

    def recall(**how):
        head = train_head(views, plain, photos, CLASSES, MODEL, epochs=30, **how)
        told = predict_head(head, plain, photos, MODEL, 0, "official")[test.to_numpy()]
        return recall_score(told["label"], told["predicted"], labels=["paper"], average=None)[0]

    assert recall(balance=balance) > recall()


def test_fewer_photos_than_a_batch_are_one():
    views, plain, photos = made_up()
    few = photos.groupby(["split", "label"]).head(4).index
    given = views[:, few], plain[few], photos.loc[few].reset_index(drop=True), CLASSES, MODEL
    assert train_head(*given, epochs=2).history.equals(
        train_head(*given, epochs=2, batch_size=4 * len(CLASSES)).history
    )


def test_bad_arguments():
    views, plain, photos = made_up()
    with pytest.raises(WastebookError, match="batch_size=500 does not suit 180"):
        train_head(views, plain, photos, CLASSES, MODEL, batch_size=500)
    with pytest.raises(WastebookError, match="epochs=0"):
        train_head(views, plain, photos, CLASSES, MODEL, epochs=0)
    for learn in (partial(train_head, model=MODEL), solve_head):
        with pytest.raises(WastebookError, match="views=0"):
            learn(views[:0], plain, photos, CLASSES)
    with pytest.raises(WastebookError, match="class_weights"):
        train_head(views, plain, photos, CLASSES, MODEL, balance="weights")
    with pytest.raises(WastebookError, match="No photo of cardboard is in train"):
        train_head(views, plain, photos, ["cardboard", *CLASSES], MODEL)
    with pytest.raises(WastebookError, match="'paper', which is not one of"):
        train_head(views, plain, photos, CLASSES[:2], MODEL)
    with pytest.raises(WastebookError, match="lower it"), np.errstate(all="ignore"):
        train_head(np.float32(1e30) * views, plain, photos, CLASSES, MODEL, learning_rate=1e30)


@pytest.mark.parametrize("classes", [CLASSES, CLASSES[:2]])
@pytest.mark.parametrize("width", [12, 500])  # fewer features than photos, and more
def test_the_exact_solution_is_a_stationary_point(classes, width):
    views, plain, photos = made_up(classes, width=width, noise=0.35 * width**0.5)
    head, path = solve_head(views, plain, photos, classes)
    assert path["l2"].is_monotonic_decreasing
    assert path["train_loss"].is_monotonic_decreasing

    l2 = path.loc[path["validation_loss"].idxmin(), "l2"]
    train = (photos["split"] == "train").to_numpy()
    learned = np.concatenate([view[train] for view in views]).astype(np.float64)
    wanted = np.tile(np.eye(len(classes))[pd.Index(classes).get_indexer(photos.loc[train, "label"])], (2, 1))
    gap = (head_probabilities(head, learned) - wanted).T
    scale = learned.std(axis=0)
    gradient = gap @ ((learned - learned.mean(axis=0)) / scale) / len(learned)
    penalty = (
        2 if len(classes) == 2 else 1
    )  # one row of weights is penalised there, two halves of it are kept
    np.testing.assert_allclose(gradient, -l2 * penalty * head.weight * scale, atol=2e-3)
    assert np.abs(gap.mean(axis=1)).max() < 2e-3


def test_predictions_are_a_table_of_probabilities():
    views, plain, photos = made_up()
    head = train_head(views, plain, photos, CLASSES, MODEL)
    told = predict_head(head, plain, photos, MODEL, 4, "random")
    names = ["path", "label", "group", "split", "predicted", *MODEL.columns, "seed", "scheme"]
    assert list(told) == [*names, "p_glass", "p_metal", "p_paper"]
    np.testing.assert_allclose(told.filter(like="p_").drop(columns="path", errors="ignore").sum(axis=1), 1)
    assert (told["predicted"] == told[["p_glass", "p_metal", "p_paper"]].idxmax(axis=1).str[2:]).all()


PARAMETERS = ["learning_rate", "weight_decay", "batch_size", "step_size", "gamma"]


def search(file, trials, seed=0, epochs=3):
    views, plain, photos = made_up(count=150)
    return search_head(views, plain, photos, CLASSES, MODEL, file, trials, seed, epochs)


def told(study):
    """What was tried, and what came of it."""
    return [(trial.number, trial.params, trial.value) for trial in study.trials]


def test_a_killed_search_goes_on_as_if_nothing_had_been(tmp_path, monkeypatch):
    whole = search(tmp_path / "whole.log", 14)
    calls = []

    def killed(*arguments, **parameters):
        calls.append(1)
        if len(calls) == 12:
            raise KeyboardInterrupt
        return train_head(*arguments, **parameters)

    monkeypatch.setattr("wastebook.learning.search.train_head", killed)
    with pytest.raises(KeyboardInterrupt):
        search(tmp_path / "cut.log", 14)
    resumed = search(tmp_path / "cut.log", 14)
    assert len(calls) == 15  # eleven, the one cut off, and three more: no trial lost
    assert told(resumed) == told(whole)
    assert list(resumed.best_params) == PARAMETERS
    assert all(trial.duration.total_seconds() > 0 for trial in resumed.trials)


@pytest.mark.fault("weights and caches", "the journal of a search cut short or overwritten", "searched anew")
@pytest.mark.parametrize(
    "damage", [lambda whole: whole[:-20], lambda whole: whole[:-40] + bytes(40), lambda whole: b"?" * 300]
)
def test_a_damaged_journal_is_searched_anew(damage, tmp_path):
    before = search(tmp_path / "study.log", 2)
    (tmp_path / "study.log").write_bytes(damage((tmp_path / "study.log").read_bytes()))
    for _ in range(2):
        assert told(search(tmp_path / "study.log", 2)) == told(before)


def test_a_search_done_is_not_done_again_but_other_data_are(tmp_path, monkeypatch):
    file = tmp_path / "a folder" / "study.log"
    before = search(file, 3)
    with monkeypatch.context() as patch:
        patch.setattr("wastebook.learning.search.train_head", None)
        assert told(search(file, 3)) == told(before)
        assert told(search(file, 2)) == told(before)[:2]
    assert len(search(file, 2, seed=1).trials) == len(search(file, 2, epochs=4).trials) == 2
    views, plain, photos = made_up(count=150)
    relabelled = photos.assign(label=photos["label"].replace({"glass": "metal", "metal": "glass"}))
    assert len(search_head(views, plain, relabelled, CLASSES, MODEL, file, 1, 0, 3).trials) == 1
    assert len(optuna.get_all_study_names(JournalStorage(JournalFileBackend(str(file))))) == 4


def test_zero_trials(tmp_path):
    with pytest.raises(WastebookError, match="trials=0"):
        search(tmp_path / "study.log", 0)


def test_no_batch_of_the_search_is_larger_than_the_data(tmp_path):
    views, plain, photos = made_up(count=60)
    study = search_head(views, plain, photos, CLASSES, MODEL, tmp_path / "study.log", 4, 0, 2)
    assert {trial.params["batch_size"] for trial in study.trials} <= {16, 32}


def test_adam_stays_in_place():
    matrix = np.ones((2, 3), np.float32)
    heads._adam(matrix, weight_decay=0)(np.ones_like(matrix), 0.1)
    np.testing.assert_allclose(matrix, 0.9, rtol=1e-6)
