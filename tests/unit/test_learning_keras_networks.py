"""The Keras models: built as described, fed as they should be, the same on another backend and in torch."""

import hashlib
import json
import os
import subprocess
import sys
import zipfile

import numpy as np
import pytest
import torch

from wastebook.data.datasets import open_dataset
from wastebook.errors import WastebookError
from wastebook.learning import keras_networks, weights
from wastebook.learning.backbones import load_backbone, prepare_forward
from wastebook.learning.keras_networks import import_keras

SIZE = 71


@pytest.fixture(scope="module")
def sample_binary(cache):
    return open_dataset("sample-binary")


@pytest.fixture
def no_weights(monkeypatch, tmp_path):
    """Nowhere to get weights from."""
    monkeypatch.delenv("WASTEBOOK_WEIGHTS", raising=False)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setattr(weights, "server_answers", lambda url: False)


def test_the_optimised_cnn_is_the_published_one():
    model = keras_networks.build_cnn("optimised_cnn", 224, "fp32")
    assert model.count_params() == 6_819_393
    kinds = [type(layer).__name__ for layer in model.layers]
    assert kinds[:4] == ["RandomFlip", "RandomRotation", "RandomZoom", "Rescaling"]
    convolutions = [layer for layer in model.layers if isinstance(layer, import_keras().layers.Conv2D)]
    assert [layer.filters for layer in convolutions] == [32, 64, 128, 256]
    assert [layer.rate for layer in model.layers if isinstance(layer, import_keras().layers.Dropout)] == [
        0.2,
        0.2,
    ]
    assert model.output_shape == (None, 1)


def test_networks_depend_on_the_seed_alone():
    hashes = [
        keras_networks.weights_hash(keras_networks.build_cnn("base_cnn", 32, "fp32", seed))
        for seed in (0, 0, 1)
    ]
    assert hashes[0] == hashes[1] != hashes[2]


def test_bf16_keeps_weights_and_output_in_fp32():
    model = keras_networks.build_cnn("optimised_cnn", 32, "bf16")
    assert {variable.dtype for variable in model.trainable_variables} == {"float32"}
    assert model(np.zeros((1, 32, 32, 3), np.float32)).dtype in ("float32", torch.float32)
    assert model.layers[4].compute_dtype == "bfloat16"


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: keras_networks.find_policy("fp16"), "name `auto`"),
        (lambda: keras_networks.build_cnn("optimised_cnn", 8), "image_size=8"),
        (lambda: keras_networks.load_keras_backbone("xeption", "random", SIZE, None, None), "xception"),
        (lambda: keras_networks.load_keras_backbone("xception", "random", 64, None, None), "71 pixels"),
        (lambda: keras_networks.load_keras_backbone("xception", "none.h5", SIZE, None, None), "no weights"),
        (
            lambda: keras_networks.load_keras_backbone("xception", "imagenet", SIZE, None, None),
            "WASTEBOOK_WEIGHTS",
        ),
    ],
)
def test_errors_say_what_to_do(call, said, no_weights):
    with pytest.raises(WastebookError, match=said):
        call()


def test_weights_that_are_not_what_their_name_says(monkeypatch, tmp_path, sample_binary):
    file = tmp_path / "efficientnetb0_notop.weights.h5"
    file.write_bytes(b"nothing of the kind")
    monkeypatch.setenv("WASTEBOOK_WEIGHTS", str(tmp_path))
    arguments = (SIZE, sample_binary.photos, sample_binary.root)
    with pytest.raises(WastebookError, match="damaged"):
        keras_networks.load_keras_backbone("efficientnet_b0", "auto", *arguments)
    with pytest.raises(WastebookError, match="do not fit"):
        keras_networks.load_keras_backbone("efficientnet_b0", str(file), *arguments)


def test_weights_in_a_zip_are_found(monkeypatch, tmp_path, sample_binary):
    with zipfile.ZipFile(tmp_path / "weights.zip", "w") as archive:
        archive.writestr("some/efficientnetb0_notop.weights.h5", b"nothing of the kind")
    monkeypatch.setenv("WASTEBOOK_WEIGHTS", str(tmp_path / "weights.zip"))
    monkeypatch.setenv("WASTEBOOK_CACHE", str(tmp_path / "cache"))
    with pytest.raises(WastebookError, match="damaged"):
        keras_networks.load_keras_backbone(
            "efficientnet_b0", "auto", SIZE, sample_binary.photos, sample_binary.root
        )


def test_random_weights_do_not_collapse(no_weights, sample_binary):
    backbone = keras_networks.load_keras_backbone(
        "xception", "random", SIZE, sample_binary.photos, sample_binary.root
    )
    assert (backbone.weights, backbone.feature_width) == ("random", 2048)
    assert not backbone.network.trainable_variables
    noise = np.random.default_rng(0).integers(0, 256, (4, SIZE, SIZE, 3)).astype(np.float32)
    features = np.asarray(backbone.network.predict_on_batch(noise))
    assert features.std(axis=0).mean() > 1e-3


def test_mobilenet_sees_what_torchs_sees(tmp_path, monkeypatch, no_weights, sample_binary):
    """With the tensors of torch's network Keras' gives its features: order, padding, preprocessing fit."""
    few, root = sample_binary.photos.head(8), sample_binary.root
    backbone = load_backbone("mobilenetv2_100", "random", SIZE, few, root)
    torch.save(backbone.network.state_dict(), tmp_path / "tensors.pth")
    with zipfile.ZipFile(tmp_path / "x.whl", "w") as wheel:
        wheel.write(tmp_path / "tensors.pth", "tensors.pth")
    named = tmp_path / "named.safetensors"
    weights.name_tensors(tmp_path / "x.whl", "tensors.pth", "mobilenetv2_100", named)
    monkeypatch.setattr(weights, "find_standin", lambda network: ("mobilenetv2_100", named))
    twin = keras_networks.load_keras_backbone("xception", "auto", SIZE, few, root)
    assert (twin.name, twin.weights) == ("mobilenetv2_100", "imagenet")
    assert "stands in for Xception" in twin.note
    pixels = np.random.default_rng(0).integers(0, 256, (3, SIZE, SIZE, 3), dtype=np.uint8)
    expected = prepare_forward(backbone, "fp32")[1](pixels)
    np.testing.assert_allclose(np.asarray(twin.network(pixels.astype("float32"))), expected, atol=1e-3)
    model = keras_networks.fine_tunable(twin, keras_networks.small_head(twin.feature_width), 1)
    assert {variable.path.split("/")[1].rsplit("_", 1)[0] for variable in model.trainable_variables}


def test_only_the_last_blocks_learn(no_weights, sample_binary):
    backbone = keras_networks.load_keras_backbone(
        "efficientnet_b0", "random", SIZE, sample_binary.photos, sample_binary.root
    )
    model = keras_networks.fine_tunable(backbone, keras_networks.small_head(backbone.feature_width), 1)
    names = {variable.path for variable in model.trainable_variables}
    assert any("block7a" in name for name in names) and any("top_conv" in name for name in names)
    assert not any("block6" in name or "_bn" in name for name in names)
    with pytest.raises(WastebookError, match="7 blocks"):
        keras_networks.fine_tunable(backbone, keras_networks.small_head(backbone.feature_width), 8)


ANSWER = """
import numpy as np
from wastebook.learning import keras_networks
model = keras_networks.build_cnn("base_cnn", 32, "fp32", seed=3)
pixels = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3)).astype(np.float32)
drawn = keras_networks.import_keras().random.normal((2,), seed=1)
answer = [keras_networks.weights_hash(model), model.predict_on_batch(pixels).tolist(), drawn.numpy().tolist()]
"""
KERAS_JSON = {
    "other axes": {"image_data_format": "channels_first", "floatx": "float16", "epsilon": 0.1},
    "none that Keras knows": {"floatx": "bfloat16", "image_data_format": "wrong", "backend": "torch"},
}


@pytest.mark.fault("own folders", "other axes, precision or backend in keras.json", "the same networks")
@pytest.mark.parametrize("said", KERAS_JSON.values(), ids=list(KERAS_JSON))
def test_the_readers_own_settings_of_keras_change_nothing(said, tmp_path):
    (tmp_path / "keras.json").write_text(json.dumps(said))
    here: dict = {}
    exec(ANSWER, here)
    own = {name: value for name, value in os.environ.items() if name != "KERAS_BACKEND"}
    code, environment = f"{ANSWER}\nprint(answer)", own | {"KERAS_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.stdout.strip() == str(here["answer"]), done.stderr[-2000:]
    assert json.loads((tmp_path / "keras.json").read_text()) == said


@pytest.mark.fault("weights and caches", "weights damaged in Keras' cache", "downloaded anew; else as absent")
def test_weights_damaged_in_keras_cache_are_not_taken(no_weights, tmp_path, monkeypatch, sample_binary):
    card = {"backbone": "xception", "file": "xception.h5", "url": "https://weights.invalid/xception.h5"}
    whole, kept = b"not read here", tmp_path / "models" / "xception.h5"
    card["md5"] = hashlib.md5(whole).hexdigest()
    monkeypatch.setattr(keras_networks.sources, "known_weights", lambda whose: [card])
    kept.parent.mkdir()
    kept.write_bytes(whole[:-1])
    arguments = (SIZE, sample_binary.photos, sample_binary.root)
    with pytest.raises(WastebookError, match=r"No ImageNet weights, xception\.h5"):
        keras_networks.load_keras_backbone("xception", "imagenet", *arguments)
    monkeypatch.setattr(weights, "server_answers", lambda url: True)
    asked = []
    monkeypatch.setattr(import_keras().utils, "get_file", lambda *names, **how: asked.append(how) or kept)
    with pytest.raises(WastebookError, match="do not fit"):  # it is what was fetched that is read
        keras_networks.load_keras_backbone("xception", "auto", *arguments)
    assert asked == [{"cache_dir": tmp_path, "cache_subdir": "models", "file_hash": card["md5"]}]


@pytest.mark.parametrize("missing", ["tensorflow", "keras"])
def test_without_a_backend_it_says_what_to_install(missing):
    code = (
        f"import sys; sys.modules[{missing!r}] = None\n"
        "import wastebook.learning.keras_networks\n"
        "from wastebook.errors import WastebookError\n"
        "try:\n    wastebook.learning.keras_networks.import_keras()\n"
        "except WastebookError as error:\n    print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install" in done.stdout and "tensorflow" in done.stdout


@pytest.mark.campaign  # TensorFlow is the backend unless KERAS_BACKEND says otherwise
def test_the_torch_backend_learns_and_agrees(tmp_path):
    """The same code on torch: the same weights give the same answers, and a step of training runs."""
    images = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3)).astype(np.float32)
    model = keras_networks.build_cnn("optimised_cnn", 32, "fp32")
    model.save_weights(tmp_path / "cnn.weights.h5")
    np.savez(tmp_path / "given.npz", images=images, answers=np.asarray(model.predict_on_batch(images)))
    code = f"""
import numpy as np
from wastebook.learning import keras_networks, weights
assert keras_networks.import_keras().backend.backend() == "torch"
given = np.load({str(tmp_path / "given.npz")!r})
model = keras_networks.build_cnn("optimised_cnn", 32, "fp32")
model.load_weights({str(tmp_path / "cnn.weights.h5")!r})
assert np.allclose(model.predict_on_batch(given["images"]), given["answers"], atol=1e-5)
model.compile("adam", "binary_crossentropy")
assert np.isfinite(model.train_on_batch(given["images"], np.arange(8)[:, None] % 2))
"""
    environment = os.environ | {"KERAS_BACKEND": "torch"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr[-2000:]


def test_timm_has_the_same_xception():
    """Keras' Xception and timm's are one network: the same tensors give the same features. At sizes where
    every map is odd: elsewhere Keras pads as TensorFlow does, on one side more, and timm on both alike."""
    import wastebook.photos.torchvision_import  # noqa: F401

    import timm

    import_keras().utils.set_random_seed(0)
    ours = import_keras().applications.Xception(
        include_top=False, weights=None, pooling="avg", input_shape=(SIZE, SIZE, 3)
    )
    theirs = timm.create_model("legacy_xception", num_classes=0).eval()
    convolutions, norms, separable = [], [], []
    for layer in ours.layers:  # in the order of the graph, shortcuts apart, as below
        if isinstance(layer, import_keras().layers.SeparableConv2D):
            separable.append(layer)
        elif isinstance(layer, import_keras().layers.Conv2D):
            convolutions.append(layer)
        elif isinstance(layer, import_keras().layers.BatchNormalization):
            norms.append(layer)
    modules = dict(theirs.named_modules())
    tensors = iter(separable)
    for module in modules.values():
        if type(module).__name__ == "SeparableConv2d":
            depthwise, pointwise = next(tensors).get_weights()
            module.conv1.weight.data = torch.from_numpy(depthwise.transpose(2, 3, 0, 1))
            module.pointwise.weight.data = torch.from_numpy(pointwise.transpose(3, 2, 0, 1))
    plain = [module for name, module in modules.items() if name in ("conv1", "conv2")]
    skips = [module for name, module in modules.items() if name.endswith("skip")]
    of_plain = [layer for layer in convolutions if layer.name.startswith("block1_")]
    of_skips = [layer for layer in convolutions if not layer.name.startswith("block1_")]
    for layer, module in zip([*of_plain, *of_skips], [*plain, *skips], strict=True):
        module.weight.data = torch.from_numpy(layer.get_weights()[0].transpose(3, 2, 0, 1))
    batch_norms = [
        (name, module) for name, module in modules.items() if isinstance(module, torch.nn.BatchNorm2d)
    ]
    for _, module in batch_norms:
        module.eps = 1e-3  # Keras'; fresh statistics are alike
    assert len(norms) == len(batch_norms)
    images = np.random.default_rng(0).uniform(-1, 1, (2, SIZE, SIZE, 3)).astype(np.float32)
    with torch.inference_mode():
        expected = theirs(torch.from_numpy(images.transpose(0, 3, 1, 2))).numpy()
    assert np.allclose(np.asarray(ours.predict_on_batch(images)), expected, rtol=1e-3, atol=1e-6)


@pytest.mark.real
def test_keras_and_torch_give_the_same_features_with_the_same_weights(sample_binary):
    from wastebook.learning.backbones import forward, load_backbone
    from wastebook.photos.decode import decode_photos

    given = (sample_binary.photos, sample_binary.root)
    try:
        in_keras = keras_networks.load_keras_backbone("efficientnet_b0", "imagenet", 224, *given)
        in_torch = load_backbone("efficientnet_b0", "imagenet", 224)
    except WastebookError as error:
        pytest.skip(f"the weights are not at hand: {error}")
    files = [sample_binary.root / path for path in sample_binary.photos["path"][:4]]
    pixels = np.stack(list(decode_photos(files, (224, 224))))
    ours = np.asarray(in_keras.network.predict_on_batch(pixels.astype(np.float32)))
    theirs = forward(in_torch.network, in_torch, pixels, torch.device("cpu"), bf16=False)
    assert np.abs(ours - theirs).max() < 1e-4 * np.abs(theirs).max()
