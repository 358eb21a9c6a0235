"""Keras models as ONNX: the same answers, the same evidence."""

import numpy as np
import pytest

from wastebook.answers.predictor import Predictor
from wastebook.errors import WastebookError
from wastebook.learning import keras_networks
from wastebook.learning.keras_export import _Graph, export_keras_model
from wastebook.learning.keras_training import extract_keras_features
from wastebook.photos.decode import read_photo, resize

keras = keras_networks.keras


@pytest.fixture(
    scope="module", params=[("efficientnet_b0", 96), ("xception", 71)], ids=["efficient", "xception"]
)
def exported(request, sample, tmp_path_factory):
    """A backbone with random weights and a head of two classes: photos, features, head and the file."""
    name, size = request.param
    photos = sample.photos.iloc[::9]
    backbone = keras_networks.load_keras_backbone(name, "random", size, sample.photos, sample.root)
    features = extract_keras_features(photos, sample.root, backbone)[0]
    weight = np.random.default_rng(0).normal(size=features.shape[1])
    weight = 2 * weight / (features @ weight).std()  # logits as far apart as a trained head's
    bias = -float(np.median(features @ weight))
    file = tmp_path_factory.mktemp("models") / f"{name}.onnx"
    card = {"data": {"name": "sample-binary"}, "temperature": 2.0}
    export_keras_model(backbone, weight, bias, name, ["organic", "recyclable"], card, file)
    files = [sample.root / path for path in photos["path"]]
    return backbone, files, features @ weight + bias, weight, file


def test_the_same_answers_as_in_keras(exported):
    _, files, logits, _, file = exported
    expected = 1 / (1 + np.exp(-logits / 2))
    assert expected.std() > 0.001
    for suffix, most in (("", 1e-3), ("-int8", 0.02)):
        predictor = Predictor(file.with_stem(file.stem + suffix))
        found = np.array([answer.probabilities[1] for answer in predictor.stream(files)])
        assert np.abs(found - expected).max() < most
    assert predictor.spanish == ["orgánico", "reciclable"] and predictor.task == "Organic or recyclable?"


@pytest.mark.parametrize(
    ("shape", "most"), [(None, 1e-3), (((301, 97)), 1e-3), ((50, 60), 0.03), ((64, 200), 0.03)]
)
def test_the_graph_resizes_as_training_does(exported, shape, most):
    """Where a photo has to grow, OpenCV rounds more roughly than ONNX, and random weights magnify it."""
    _, files, _, _, file = exported
    photo = read_photo(files[0])
    photo = photo if shape is None else resize(photo, shape)
    predictor = Predictor(file)
    alone = predictor._session.run(["probabilities"], {"photo": photo})[0][0]
    assert np.abs(alone - predictor.ask(photo)[0]).max() < most


def test_the_evidence_is_grad_cam(exported):
    import tensorflow as tf

    backbone, files, _, weight, file = exported
    pixels = resize(read_photo(files[0]), (backbone.image_size, backbone.image_size))
    inner = next(layer for layer in backbone.network.layers if isinstance(layer, keras.Model))
    split = keras.Model(inner.inputs, [inner.layers[-2].output, inner.output])
    module = keras_networks.BACKBONES[backbone.name][1]
    maps, _ = split([module.preprocess_input(pixels[None].astype("float32"))])
    with tf.GradientTape() as tape:
        tape.watch(maps)
        logit = tf.tensordot(tf.reduce_mean(maps, (1, 2)), weight.astype("float32")[:, None], 1)
    importance = tf.reduce_mean(tape.gradient(logit, maps), (1, 2), keepdims=True)
    signed = tf.reduce_sum(maps * importance, axis=-1)[0].numpy() * maps.shape[1] * maps.shape[2] / 2
    evidence = Predictor(file).ask(pixels)[1]
    most = np.abs(signed).max()
    np.testing.assert_allclose(evidence, np.maximum([-signed, signed], 0), atol=1e-3 * most)


def test_a_layer_that_is_not_known_is_said():
    with pytest.raises(WastebookError, match=r"shuffled \(UpSampling2D\) cannot be exported"):
        _Graph().layer(keras.layers.UpSampling2D(name="shuffled"), ["pixels"])
