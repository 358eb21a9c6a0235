"""Training in Keras: photos and features kept, runs repeated and carried on."""

import numpy as np
import pytest

from wastebook.data.datasets import open_dataset
from wastebook.data.splits import split_photos
from wastebook.errors import WastebookError
from wastebook.learning import keras_networks, keras_training
from wastebook.learning.features import extract_features
from wastebook.learning.predictions import HISTORY, Model
from wastebook.photos.decode import read_photo, resize_antialiased

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


def fit(pixels, photos, epochs=3, seed=0):
    network = keras_networks.build_cnn("optimised_cnn", 32, "fp32", seed)
    return train(network, pixels, photos, epochs=epochs, seed=seed, batch_size=16, patience=99)


def train(network, inputs, photos, **recipe):
    recipe = keras_training.KerasRecipe(**recipe)
    given = (network, inputs, photos, CLASSES, Model(network.name, "32x32"), recipe, "official")
    return keras_training.train_and_predict(*given)[:2]


def test_photos_are_decoded_once(data, photos, pixels):
    assert pixels.shape == (len(photos), 32, 32, 3) and pixels.dtype == np.uint8
    assert (pixels[3] == resize_antialiased(read_photo(data.root / photos["path"][3]), (32, 32))).all()
    assert isinstance(keras_training.decode_once(photos, data.root, 32), np.memmap)


def test_batches_hold_each_row_once_an_epoch(pixels, photos):
    numbers, splits = np.arange(len(pixels)), photos["split"].to_numpy()
    recipe = keras_training.KerasRecipe(2, seed=1, batch_size=16)
    learner = keras_training._Learner(base_cnn("fp32"), pixels, numbers, splits, recipe)
    epochs = [
        np.concatenate([rows for _, rows in learner.batches(*asked)[0]])
        for asked in (("train", 1), ("train", 2), ("train", 1), ("validation", 1))
    ]
    assert sorted(epochs[0]) == sorted(epochs[1]) == list(np.flatnonzero(splits == "train"))
    assert (epochs[0] != epochs[1]).any() and (epochs[0] == epochs[2]).all()
    assert list(epochs[3]) == list(np.flatnonzero(splits == "validation"))


@pytest.fixture
def epochs_run(monkeypatch):
    """The epochs that are run from now on; a negative one is to kill the training once it has run."""
    run_epoch, epochs = keras_training._Learner.run_epoch, []

    def watched(self, epoch):
        scores = run_epoch(self, epoch)
        if -epoch in epochs:
            raise KeyboardInterrupt
        epochs.append(epoch)
        return scores

    monkeypatch.setattr(keras_training._Learner, "run_epoch", watched)
    return epochs


def test_training_repeats_and_carries_on_to_the_bit(pixels, photos, monkeypatch, tmp_path, epochs_run):
    monkeypatch.setenv("WASTEBOOK_CACHE", str(tmp_path / "one"))
    model, history = fit(pixels, photos)
    assert list(history.columns) == [*HISTORY, "seconds"] and len(history) == 6
    again, the_same = fit(pixels, photos)
    assert history.equals(the_same) and epochs_run == [1, 2, 3]  # not run again: the very same seconds

    monkeypatch.setenv("WASTEBOOK_CACHE", str(tmp_path / "two"))
    epochs_run[:] = [-3]
    with pytest.raises(KeyboardInterrupt):
        fit(pixels, photos)
    epochs_run.clear()
    resumed, carried_on = fit(pixels, photos)
    assert epochs_run == [3]
    columns = ["epoch", "split", "loss", "accuracy"]
    assert carried_on[columns].equals(history[columns])
    rows = np.arange(len(pixels))
    expected = keras_training.predict(model, pixels, rows)
    assert (keras_training.predict(resumed, pixels, rows) == expected).all()
    assert (keras_training.predict(again, pixels, rows) == expected).all()


@pytest.mark.fault(
    "weights and caches", "a Keras training's checkpoint cut short or overwritten", "trained anew"
)
@pytest.mark.parametrize("damage", [lambda whole: b"", lambda whole: whole[:-300], lambda whole: b"?" * 5000])
def test_a_damaged_checkpoint_is_trained_anew(damage, photos, monkeypatch, tmp_path, epochs_run):
    monkeypatch.setenv("WASTEBOOK_CACHE", str(tmp_path))
    noise = np.random.default_rng(0).normal(size=(len(photos), 4)).astype(np.float32)
    _, history = train(keras_networks.small_head(4), noise, photos, epochs=1, batch_size=8)
    (file,) = tmp_path.glob("training/*.npz")
    file.write_bytes(damage(file.read_bytes()))
    _, anew = train(keras_networks.small_head(4), noise, photos, epochs=1, batch_size=8)
    assert epochs_run == [1, 1] and anew["loss"].equals(history["loss"])


@pytest.mark.fault(
    "weights and caches", "decoded photos in the cache cut short or overwritten", "decoded anew"
)
@pytest.mark.parametrize("damage", [lambda whole: b"", lambda whole: whole[:-9], lambda whole: b"?" * 500])
def test_damaged_decoded_photos_are_decoded_anew(damage, data, photos, pixels, monkeypatch, tmp_path):
    monkeypatch.setenv("WASTEBOOK_CACHE", str(tmp_path))
    for _ in range(2):
        assert np.array_equal(keras_training.decode_once(photos, data.root, 32), pixels)
        (file,) = tmp_path.glob("decoded/*.npy")
        file.write_bytes(damage(file.read_bytes()))


def test_a_study_predicts_what_was_not_learned(pixels, photos):
    network, model = keras_networks.build_cnn("base_cnn", 32, "fp32"), Model("base_cnn", "32x32")
    recipe = keras_training.KerasRecipe(1, batch_size=16)
    study = keras_training.train_and_predict(network, pixels, photos, CLASSES, model, recipe, "official")
    held_out = photos[photos["split"] != "train"]
    assert study.predictions["path"].tolist() == held_out["path"].tolist()
    assert len(study.history) == 2 and set(study.predictions["model"]) == {model.id}
    cost = keras_training.measure_cost(study.network)
    assert cost["parameters"] == network.count_params() and cost["milliseconds"] > 0


def test_training_keeps_the_best_epoch_and_stops(photos, monkeypatch, tmp_path):
    monkeypatch.setenv("WASTEBOOK_CACHE", str(tmp_path))
    noise = np.random.default_rng(0).normal(size=(len(photos), 200)).astype(np.float32)
    network = keras_networks.small_head(200)
    model, history = train(network, noise, photos, epochs=60, batch_size=8, learning_rate=0.05, patience=3)
    held_out = history[history["split"] == "validation"].reset_index(drop=True)
    best = held_out["loss"].idxmin()
    assert len(held_out) == best + 1 + 3 < 60
    rows = np.flatnonzero(photos["split"] == "validation")
    sure = keras_training.predict(model, noise, rows)
    truth = (photos["label"].iloc[rows] == CLASSES[1]).to_numpy().astype(int)
    assert -np.log(sure[np.arange(len(rows)), truth]).mean() == pytest.approx(
        held_out["loss"][best], abs=1e-5
    )
    assert len(list(tmp_path.glob("training/*.npz"))) == 1


def test_what_is_kept_of_a_training_is_of_the_same_model(pixels, photos, monkeypatch, tmp_path):
    """The same weights to begin with, but in other numbers or with other layers that learn."""
    monkeypatch.setenv("WASTEBOOK_CACHE", str(tmp_path))
    some_frozen = base_cnn("fp32")
    some_frozen.layers[1].trainable = False
    assert keras_networks.weights_hash(some_frozen) == keras_networks.weights_hash(base_cnn("bf16"))
    for model in (base_cnn("fp32"), base_cnn("bf16"), some_frozen):
        train(model, pixels, photos, epochs=1, batch_size=16)
    assert len(list(tmp_path.glob("training/base_cnn-*.npz"))) == 3


def base_cnn(precision):
    return keras_networks.build_cnn("base_cnn", 32, precision)


def test_training_refuses(pixels, photos):
    with pytest.raises(WastebookError, match="batch_size=999"):
        train(base_cnn("fp32"), pixels, photos, epochs=1, batch_size=999)
    with pytest.raises(WastebookError, match="epochs=0"):
        train(base_cnn("fp32"), pixels, photos, epochs=0, batch_size=8)
    with pytest.raises(WastebookError, match="No photo of organic"):
        without = photos.assign(split=photos["split"].mask(photos["label"] == "organic", "test"))
        train(base_cnn("fp32"), pixels, without, epochs=1)
    broken = np.full((len(photos), 4), np.nan, np.float32)
    with pytest.raises(WastebookError, match="diverged"):
        train(keras_networks.small_head(4), broken, photos, epochs=1, batch_size=8)


def test_a_batch_too_large_for_the_memory_is_halved(pixels, photos, monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("WASTEBOOK_CACHE", str(tmp_path))
    begun, run_epoch = [], keras_training._Learner.run_epoch

    class ResourceExhaustedError(Exception):
        pass

    def small_memory(self, epoch):
        begun.append(keras_networks.weights_hash(self.network))
        scores = run_epoch(self, epoch)  # it has learned by then
        if self.recipe.batch_size > 8:
            raise ResourceExhaustedError
        return scores

    monkeypatch.setattr(keras_training._Learner, "run_epoch", small_memory)
    _, history = fit(pixels, photos, epochs=1)
    assert len(history) == 2 and begun[0] == begun[1]
    assert "Out of memory with 16 photos at once" in capsys.readouterr().err


def test_features_are_kept_by_photo(data, photos, monkeypatch, tmp_path):
    monkeypatch.setenv("WASTEBOOK_CACHE", str(tmp_path))
    few = photos.head(5)
    backbone = keras_networks.load_keras_backbone("xception", "random", 71, few, data.root)
    alone = extract_features(few.iloc[[2]], data.root, backbone)[0]
    together = extract_features(few, data.root, backbone)[0]
    assert together.shape == (5, 2048) and (together[2] == alone[0]).all()
    broken = backbone._replace(network=None)  # nothing is computed again
    backwards = extract_features(few[::-1], data.root, broken)[0]
    assert (backwards[::-1] == together).all()


def test_fewer_photos_leave_test_alone(photos):
    fewer = keras_training.limit_photos(photos, 10, 0)
    assert (fewer["split"] != "test").sum() == 10
    assert (fewer["split"] == "test").sum() == (photos["split"] == "test").sum()
    assert set(fewer["path"]) < set(keras_training.limit_photos(photos, 20, 0)["path"])
