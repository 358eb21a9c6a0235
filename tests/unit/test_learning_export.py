"""Models as ONNX: the same answers and the same evidence as in the framework that trained them."""

import json

import numpy as np
import onnx
import pytest

from wastebook.answers.predictor import Predictor
from wastebook.data.cards import load_cards
from wastebook.learning import keras_networks
from wastebook.learning.backbones import load_backbone
from wastebook.learning.export import export_model
from wastebook.learning.features import extract_features
from wastebook.learning.heads import Head, solve_head
from wastebook.learning.predictions import Model
from wastebook.photos.decode import read_photo, resize_antialiased


@pytest.fixture
def files(sample):
    return [sample.root / path for path in sample.photos["path"][::5]]


@pytest.fixture
def in_torch(kept_runs, kept_model):
    """The ONNX file of the torch model that `kept_model` describes."""
    return kept_runs / "small" / "models" / "04-efficientnet" / f"{kept_model.model.id}.onnx"


def probabilities(file, photos):
    return np.stack([answer.probabilities for answer in Predictor(file).stream(photos)])


def test_the_same_answers_as_in_torch(in_torch, kept_model, files, ask_torch):
    expected = ask_torch(kept_model.backbone, kept_model.head, files, kept_model.card["temperature"])
    assert np.abs(probabilities(in_torch, files) - expected).max() < 2e-3  # random weights magnify
    eighths = probabilities(in_torch.with_stem(f"{in_torch.stem}-int8"), files)
    assert 0 < np.abs(eighths - expected).max() < 0.02
    close = np.sort(expected, axis=1)[:, -1] - np.sort(expected, axis=1)[:, -2] < 0.04
    assert ((eighths.argmax(1) == expected.argmax(1)) | close).all()


def test_the_file_tells_all_that_a_card_needs(in_torch, kept_model):
    told = {entry.key: entry.value for entry in onnx.load(in_torch).metadata_props}
    facts = json.loads(told["wastebook"])
    backbone = kept_model.backbone
    weights = {"name": "resnet18", "weights": "random", "sha256": backbone.sha256, "note": backbone.note}
    assert facts == kept_model.model.columns | {
        "name": "resnet18-64x80-exact",
        "image_size": [64, 80],
        "classes": kept_model.head.classes,
        "spanish": ["cartón", "vidrio", "metal", "papel", "plástico", "basura"],
        "task": "Which material is it?",
        "weights": weights,
        "card": kept_model.card,
        "bits": 32,
    }


@pytest.mark.real
def test_the_same_answers_on_real_photos(trashnet, tmp_path, ask_torch):
    photos = trashnet.photos.groupby("label").head(4).reset_index(drop=True)
    photos["split"] = ["train", "validation"] * 12
    backbone = load_backbone("efficientnet_b0", "auto", (192, 256), photos, trashnet.root)
    if backbone.weights == "random":
        pytest.skip("needs ImageNet weights: WASTEBOOK_WEIGHTS has none")
    features = extract_features(photos, trashnet.root, backbone)
    head, _ = solve_head(features, features[0], photos, trashnet.classes)
    card = {"data": trashnet.card, "temperature": 1.5}
    export_model(backbone, head, Model("efficientnet_b0", "192x256"), card, tmp_path / "real.onnx")
    files = [trashnet.root / path for path in photos["path"]]
    expected = ask_torch(backbone, head, files, 1.5)
    lead = np.sort(expected, axis=1)[:, -1] - np.sort(expected, axis=1)[:, -2]
    for name, most in (("real", 1e-3), ("real-int8", 0.02)):
        found = probabilities(tmp_path / f"{name}.onnx", files)
        assert np.abs(found - expected).max() < most, name
        assert (found.argmax(1) == expected.argmax(1))[lead > most].all(), name


def test_the_graph_resizes_by_itself(in_torch, kept_model, files, ask_torch):
    session = Predictor(in_torch)._session
    alone = np.concatenate([session.run(["probabilities"], {"photo": read_photo(file)})[0] for file in files])
    expected = ask_torch(kept_model.backbone, kept_model.head, files, kept_model.card["temperature"])
    assert np.abs(alone - expected).max() < 5e-3 and (alone.argmax(1) == expected.argmax(1)).all()


def test_the_evidence_is_grad_cam(in_torch, kept_model, files):
    import torch
    from captum.attr import LayerGradCam

    from wastebook.learning.backbones import as_input

    backbone, head = kept_model.backbone, torch.nn.Linear(kept_model.backbone.feature_width, 6)
    state = {"weight": kept_model.head.weight, "bias": kept_model.head.bias}
    head.load_state_dict({name: torch.tensor(values) for name, values in state.items()})
    whole = torch.nn.Sequential(backbone.network, head).eval()
    pixels = resize_antialiased(read_photo(files[0]), backbone.image_size)
    inputs = as_input(backbone, torch.from_numpy(pixels)[None])
    evidence = Predictor(in_torch).look(files[0])[0].evidence
    assert evidence.shape == (6, 2, 3)
    for number in range(6):
        theirs = LayerGradCam(whole, backbone.network.layer4).attribute(
            inputs, number, relu_attributions=True
        )
        theirs = theirs.detach().numpy()[0, 0] * evidence[0].size  # the mean's gradient
        np.testing.assert_allclose(evidence[number], theirs, atol=0.01 * max(1, theirs.max()))


def test_a_network_without_maps_gives_no_evidence(sample, files, tmp_path, ask_torch):
    backbone = load_backbone("test_vit", "random", (160, 160), sample.photos, sample.root)
    features = extract_features(sample.photos, sample.root, backbone)
    head, _ = solve_head(features, features[0], sample.photos, sample.classes)
    card = {"data": sample.card}
    export_model(backbone, head, Model("test_vit", "160x160"), card, tmp_path / "vit.onnx")
    answer = Predictor(tmp_path / "vit.onnx").look(files[0])[0]
    expected = ask_torch(backbone, head, files[:1])[0]
    assert answer.evidence is None and np.abs(answer.probabilities - expected).max() < 2e-3


# Each takes half a minute to write: the thesis' own at every change, both every week.
KERAS = [("xception", 71), pytest.param(("efficientnet_b0", 96), marks=pytest.mark.campaign)]


@pytest.fixture(scope="module", params=KERAS, ids=["xception", "efficientnet"])
def in_keras(request, sample, tmp_path_factory):
    """A Keras backbone with random weights under a head of two classes: backbone, photos, logits of the
    second class, its weight and the file."""
    name, size = request.param
    photos = sample.photos.iloc[::9]
    # Seed 0's Xception makes .06 of the grey level by which two resizes differ, seed 1's .02 or less.
    backbone = keras_networks.load_keras_backbone(name, "random", size, sample.photos, sample.root, seed=1)
    features = extract_features(photos, sample.root, backbone)[0]
    weight = np.random.default_rng(0).normal(size=features.shape[1])
    weight = 2 * weight / (features @ weight).std()  # logits as far apart as a trained head's
    bias = -float(np.median(features @ weight))
    both = np.array([[-0.5], [0.5]])
    head = Head(both * weight, both[:, 0] * bias, ["organic", "recyclable"])
    file = tmp_path_factory.mktemp("models") / f"{name}.onnx"
    card = {"data": load_cards()["sample-binary"], "temperature": 2.0}
    export_model(backbone, head, Model(name, f"{size}x{size}", head="exact"), card, file)
    files = [sample.root / path for path in photos["path"]]
    return backbone, files, features @ weight + bias, weight, file


def test_the_same_answers_as_in_keras(in_keras):
    _, files, logits, _, file = in_keras
    expected = 1 / (1 + np.exp(-logits / 2))
    assert expected.std() > 0.001
    for suffix, most in (("", 1e-3), ("-int8", 0.02)):
        found = probabilities(file.with_stem(file.stem + suffix), files)[:, 1]
        assert np.abs(found - expected).max() < most
    facts = Predictor(file).facts
    assert facts["spanish"] == ["orgánico", "reciclable"] and facts["task"] == "Organic or recyclable?"


@pytest.mark.parametrize(("shape", "most"), [(None, 0.02), ((301, 97), 0.02), ((50, 60), 0.02)])
def test_the_graph_of_a_keras_network_resizes_by_itself(in_keras, shape, most):
    """Nearly as Pillow does, which rounds to whole values between the two directions."""
    _, files, _, _, file = in_keras
    photo = read_photo(files[0])
    photo = photo if shape is None else resize_antialiased(photo, shape)
    predictor = Predictor(file)
    alone = predictor._session.run(["probabilities"], {"photo": photo})[0][0]
    assert np.abs(alone - predictor.ask(photo)[0]).max() < most


def test_the_evidence_of_a_keras_network_is_grad_cam(in_keras):
    import tensorflow as tf

    backbone, files, _, weight, file = in_keras
    pixels = resize_antialiased(read_photo(files[0]), backbone.image_size)
    inner = keras_networks.inner_network(backbone)
    split = keras_networks.import_keras().Model(inner.inputs, [inner.layers[-2].output, inner.output])
    maps, _ = split([keras_networks.preprocess(backbone.name, pixels[None].astype("float32"))])
    with tf.GradientTape() as tape:
        tape.watch(maps)
        logit = tf.tensordot(tf.reduce_mean(maps, (1, 2)), weight.astype("float32")[:, None], 1)
    importance = tf.reduce_mean(tape.gradient(logit, maps), (1, 2), keepdims=True)
    signed = tf.reduce_sum(maps * importance, axis=-1)[0].numpy() * maps.shape[1] * maps.shape[2] / 2
    evidence = Predictor(file).ask(pixels)[1]
    most = np.abs(signed).max()
    np.testing.assert_allclose(evidence, np.maximum([-signed, signed], 0), atol=1e-3 * most)
