"""Training in Keras: photos and features kept, runs repeated and carried on, heads validated on runs of
numbers."""

import numpy as np
import pandas as pd
import pytest

from wastebook.data import open_dataset, split_photos
from wastebook.errors import WastebookError
from wastebook.evaluation.trust import best_threshold, cost_interval, decision_costs
from wastebook.learning import keras_networks, keras_training
from wastebook.learning import sessions as blocks
from wastebook.photos.decode import read_photo, resize

CLASSES = ["organic", "recyclable"]


@pytest.fixture(scope="module")
def data(cache):
    return open_dataset("sample-binary")


@pytest.fixture(scope="module")
def photos(data):
    dealt = split_photos(data.photos, "official", 0)
    return dealt.groupby(["label", "split"]).head(12).reset_index(drop=True)


@pytest.fixture
def pixels(data, photos):
    return keras_training.decode_once(photos, data.root, 32)


def fit(pixels, photos, epochs=3, seed=0, **more):
    model = keras_networks.optimised_cnn(32, "fp32", seed)
    return keras_training.train(model, pixels, photos, CLASSES, epochs, seed, 16, patience=99, **more)


def test_photos_are_decoded_once(data, photos, pixels):
    assert pixels.shape == (len(photos), 32, 32, 3) and pixels.dtype == np.uint8
    assert (pixels[3] == resize(read_photo(data.root / photos["path"][3]), (32, 32))).all()
    assert isinstance(keras_training.decode_once(photos, data.root, 32), np.memmap)


def test_batches_hold_each_row_once_an_epoch(pixels, photos):
    rows = np.arange(5, 40)
    batches = keras_training.Batches(pixels, np.arange(len(pixels)), rows, 16, seed=1)
    first = np.concatenate([batches[at][1] for at in range(len(batches))])
    batches.on_epoch_end()
    second = np.concatenate([batches[at][1] for at in range(len(batches))])
    assert sorted(first) == sorted(second) == list(rows) and (first != second).any()
    later = keras_training.Batches(pixels, np.arange(len(pixels)), rows, 16, seed=1, epoch=1)
    assert (later[0][1] == second[:16]).all()


def test_training_repeats_and_carries_on_to_the_bit(pixels, photos, monkeypatch, tmp_path):
    monkeypatch.setenv("WASTEBOOK_CACHE", str(tmp_path / "one"))
    model, history = fit(pixels, photos)
    assert list(history.columns) == keras_training.HISTORY and len(history) == 6
    again, the_same = fit(pixels, photos)  # not run again: the very same seconds
    assert history.equals(the_same)

    monkeypatch.setenv("WASTEBOOK_CACHE", str(tmp_path / "two"))
    save = keras_training._Keeper.on_epoch_end

    def killed(keeper, epoch, logs=None):
        if epoch == 2:
            raise KeyboardInterrupt
        save(keeper, epoch, logs)

    monkeypatch.setattr(keras_training._Keeper, "on_epoch_end", killed)
    with pytest.raises(KeyboardInterrupt):
        fit(pixels, photos)
    monkeypatch.setattr(keras_training._Keeper, "on_epoch_end", save)
    resumed, carried_on = fit(pixels, photos)
    columns = ["epoch", "split", "loss", "accuracy"]
    assert carried_on[columns].equals(history[columns])
    expected = keras_training.predict(model, pixels)
    assert (keras_training.predict(resumed, pixels) == expected).all()
    assert (keras_training.predict(again, pixels) == expected).all()


def test_training_keeps_the_best_epoch_and_stops(photos, monkeypatch, tmp_path):
    monkeypatch.setenv("WASTEBOOK_CACHE", str(tmp_path))
    noise = np.random.default_rng(0).normal(size=(len(photos), 200)).astype(np.float32)
    model, history = keras_training.train(
        keras_networks.small_head(200),
        noise,
        photos,
        CLASSES,
        60,
        batch_size=8,
        learning_rate=0.05,
        patience=3,
    )
    held_out = history[history["split"] == "validation"].reset_index(drop=True)
    best = held_out["loss"].idxmin()
    assert len(held_out) == best + 1 + 3 < 60
    rows = np.flatnonzero(photos["split"] == "validation")
    sure = keras_training.predict(model, noise, rows)
    truth = (photos["label"].iloc[rows] == CLASSES[1]).to_numpy().astype(int)
    assert -np.log(sure[np.arange(len(rows)), truth]).mean() == pytest.approx(
        held_out["loss"][best], abs=1e-5
    )
    assert not list(tmp_path.glob("training/*/*.keras"))


def test_what_is_kept_of_a_training_is_of_the_same_model(pixels, photos, monkeypatch, tmp_path):
    """The same weights to begin with, but in other numbers or with other layers that learn."""
    monkeypatch.setenv("WASTEBOOK_CACHE", str(tmp_path))
    some_frozen = keras_networks.base_cnn(32, "fp32")
    some_frozen.layers[1].trainable = False
    assert keras_networks.weights_hash(some_frozen) == keras_networks.weights_hash(
        keras_networks.base_cnn(32, "bf16")
    )
    for model in (keras_networks.base_cnn(32, "fp32"), keras_networks.base_cnn(32, "bf16"), some_frozen):
        keras_training.train(model, pixels, photos, CLASSES, 1, batch_size=16)
    assert len(list(tmp_path.glob("training/base_cnn-*"))) == 3


def test_training_refuses(pixels, photos):
    with pytest.raises(WastebookError, match="batch_size=999"):
        keras_training.train(keras_networks.base_cnn(32), pixels, photos, CLASSES, 1, batch_size=999)
    with pytest.raises(WastebookError, match="epochs=0"):
        keras_training.train(keras_networks.base_cnn(32), pixels, photos, CLASSES, 0, batch_size=8)
    with pytest.raises(WastebookError, match="two classes apart; the data set has 3"):
        blocks.solve_session_head(np.zeros((40, 2)), numbered(), [*CLASSES, "c"], np.arange(40) % 4)
    with pytest.raises(WastebookError, match="No photo of organic"):
        without = photos.assign(split=photos["split"].mask(photos["label"] == "organic", "test"))
        keras_training.train(keras_networks.base_cnn(32), pixels, without, CLASSES, 1)
    broken = np.full((len(photos), 4), np.nan, np.float32)
    with pytest.raises(WastebookError, match="diverged"):
        keras_training.train(keras_networks.small_head(4), broken, photos, CLASSES, 1, batch_size=8)


def test_a_batch_too_large_for_the_memory_is_halved(pixels, photos, monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("WASTEBOOK_CACHE", str(tmp_path))
    fit_ = keras_networks.keras.Model.fit

    class ResourceExhaustedError(Exception):
        pass

    def small_memory(model, batches, **options):
        if batches.batch_size > 8:
            raise ResourceExhaustedError
        return fit_(model, batches, **options)

    monkeypatch.setattr(keras_networks.keras.Model, "fit", small_memory)
    _, history = fit(pixels, photos, epochs=1)
    assert len(history) == 2 and "going on with 8" in capsys.readouterr().err


def test_features_are_kept_by_photo(data, photos, monkeypatch, tmp_path):
    monkeypatch.setenv("WASTEBOOK_CACHE", str(tmp_path))
    few = photos.head(5)
    backbone = keras_networks.load_keras_backbone("xception", "random", 71, few, data.root)
    alone = keras_training.extract_keras_features(few.iloc[[2]], data.root, backbone)
    together = keras_training.extract_keras_features(few, data.root, backbone)
    assert together.shape == (1, 5, 2048) and (together[0, 2] == alone[0, 0]).all()
    monkeypatch.setattr(keras_training, "_features_of", None)  # nothing is computed again
    backwards = keras_training.extract_keras_features(few[::-1], data.root, backbone)
    assert (backwards[:, ::-1] == together).all()


def test_views_are_learned_from_and_only_train_has_them(data, photos):
    photos = photos.groupby("split").head(4).reset_index(drop=True)
    backbone = keras_networks.load_keras_backbone("xception", "random", 71, photos, data.root)
    plain = keras_training.extract_keras_features(photos, data.root, backbone)[0]
    inputs, rows = keras_training.with_views(plain, photos, data.root, backbone, "rotation", 1, 0)
    in_train = (photos["split"] == "train").to_numpy()
    assert len(inputs) == len(rows) == len(photos) + in_train.sum()
    assert set(rows["split"][len(photos) :]) == {"train"}
    assert (inputs[len(photos) :] != plain[in_train]).any(axis=1).all()


def test_fewer_photos_leave_test_alone(photos):
    fewer = keras_training.limit_photos(photos, 10, 0)
    assert (fewer["split"] != "test").sum() == 10
    assert (fewer["split"] == "test").sum() == (photos["split"] == "test").sum()
    assert set(fewer["path"]) < set(keras_training.limit_photos(photos, 20, 0)["path"])


def numbered(count=40):
    labels = np.repeat(CLASSES, count // 2)
    names = [f"{label}/{number}.jpg" for label in CLASSES for number in range(1, count // 2 + 1)]
    photos = pd.DataFrame({"path": names, "label": labels, "split": "train"})
    return photos.assign(group=pd.array([pd.NA] * count, dtype="Int64"))


def test_blocks_are_runs_of_numbers_and_keep_groups_whole():
    photos = numbered()
    block = blocks.session_folds(photos.sample(frac=1, random_state=0), 4)
    assert (np.bincount(block) == 10).all()
    ordered = blocks.session_folds(photos, 4)
    assert (np.diff(ordered[:20]) >= 0).all() and list(ordered[:20]) == list(ordered[20:])
    photos.loc[[0, 19], "group"] = 7
    assert blocks.session_folds(photos, 4)[19] == 0
    shuffled = blocks.shuffled_folds(numbered(), 4, 0)
    assert (np.bincount(shuffled) == 10).all() and (np.diff(shuffled[:20]) < 0).any()


def test_a_blocked_head_sees_through_what_only_neighbours_share():
    """Features that tell the run, not the class: shuffled validation believes in them, blocked does not."""
    random = np.random.default_rng(0)
    photos = numbered(400)
    target = (photos["label"] == CLASSES[1]).to_numpy()
    run = blocks.session_folds(photos, 20) + 20 * target
    of_run = random.normal(size=(40, 30))[run] + 0.1 * random.normal(size=(400, 30))
    features = np.column_stack([of_run, target + random.normal(size=400)]).astype(np.float32)
    blocked = blocks.solve_session_head(features, photos, CLASSES, blocks.session_folds(photos, 20))
    shuffled = blocks.solve_session_head(features, photos, CLASSES, blocks.shuffled_folds(photos, 20, 0))
    promised = [((head.left_out[:, 1] > 0.5) == target).mean() for head in (blocked, shuffled)]
    assert promised[1] > 0.95 > 0.85 > promised[0] > 0.5
    sure = blocks.session_probabilities(blocked, features)
    assert sure.shape == (400, 2) and np.allclose(sure.sum(axis=1), 1)
    penalties = [head.path.sort_values("log_loss")["l2"].iloc[0] for head in (blocked, shuffled)]
    assert penalties[0] > penalties[1]


def test_tell_apart():
    random = np.random.default_rng(0)
    ours = np.arange(200) < 100
    features = random.normal(size=(200, 5)).astype(np.float32)
    assert abs(blocks.domain_auc(features, ours) - 0.5) < 0.15
    assert blocks.domain_auc(features + 3 * ours[:, None], ours) > 0.99


def test_costs_of_decisions():
    predictions = pd.DataFrame(
        {"label": ["organic", "organic", "recyclable", "recyclable"], "p_recyclable": [0.1, 0.6, 0.55, 0.95]}
    )
    costs = decision_costs(predictions, "recyclable", 4.0, np.array([0.0, 0.5, 0.7, 0.99]))
    assert costs.tolist() == [200.0, 100.0, 25.0, 50.0]
    assert best_threshold(4.0) == 0.8
    predictions = predictions.assign(path=list("abcd"), group=pd.array([pd.NA] * 4, "Int64"), seed=0)
    low, high = cost_interval(predictions, "recyclable", 4.0, 0.5)
    assert low == 0 and 200 <= high <= 400  # one photo in four costs 4: drawn with replacement, none to all
