"""Features: computed once, kept, the same bit for bit whatever else was asked for."""

import copy

import numpy as np
import pytest
import torch

from wastebook.cache import cache_folder
from wastebook.data.datasets import draw_per_class
from wastebook.errors import WastebookError
from wastebook.learning import backbones as room
from wastebook.learning import features as features_room
from wastebook.learning.backbones import for_inference, forward, load_backbone
from wastebook.learning.features import Backbone, extract_features


@pytest.fixture(scope="module")
def few(sample):
    return draw_per_class(sample.photos, 8, seed=1)


@pytest.fixture(scope="module")
def backbone(sample, few):
    return load_backbone("test_resnet", "random", 48, photos=few, root=sample.root)


@pytest.fixture
def empty_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("WASTEBOOK_CACHE", str(tmp_path))


def test_kept_features_are_read_not_computed(sample, few, backbone, empty_cache, monkeypatch):
    first = extract_features(few, sample.root, backbone, "rotation", views=2)
    monkeypatch.setattr(room, "for_inference", None)
    assert np.array_equal(extract_features(few, sample.root, backbone, "rotation", views=2), first)
    assert first.shape == (2, len(few), backbone.feature_width)
    assert first.dtype == np.float32
    assert not np.array_equal(first[0], first[1])


@pytest.fixture
def by_brightness(monkeypatch):
    """A backbone of two features without a network: what is done to pixels shows in them. With it come the
    sizes of the batches that it is asked for."""
    batches = []

    def forward(pixels):
        batches.append(len(pixels))
        return np.stack([pixels.mean(axis=(1, 2, 3)), pixels[:, :, :9].mean(axis=(1, 2, 3))], axis=1)

    monkeypatch.setattr(room, "prepare_forward", lambda backbone, precision: ("brightness", forward))
    numbers = {"mean": (0, 0, 0), "std": (1, 1, 1)}
    return Backbone("brightness", None, (24, 32), 2, "random", "", **numbers), batches


@pytest.mark.fault(
    "weights and caches", "features in the cache damaged, half written or pickled", "made anew"
)
def test_a_damaged_view_is_made_anew(sample, few, empty_cache, tmp_path, by_brightness):
    ask = (few, sample.root, by_brightness[0], "vertical_flip", 2)
    first = extract_features(*ask)
    files = sorted(tmp_path.glob("features/*/vertical_flip-0-*.npz"))
    whole = files[0].read_bytes()
    for damage in (whole[:-40], b"", whole.replace(b"sha256", b"sha265"), whole[:400] + b"?" + whole[401:]):
        files[0].write_bytes(damage)
        assert np.array_equal(extract_features(*ask), first)
    trap = np.array([{"a": "pickle"}], dtype=object)
    np.savez(files[1], photos=few["sha256"].to_numpy(dtype=str), pixels=trap, features=trap)
    assert np.array_equal(extract_features(*ask), first)


@pytest.mark.parametrize("precision", ["fp32", "auto"])
def test_a_photo_has_the_same_features_in_any_company(
    sample, few, backbone, precision, tmp_path, monkeypatch
):
    together = extract_features(few, sample.root, backbone, "geometric", precision=precision)[0]
    monkeypatch.setenv("WASTEBOOK_CACHE", str(tmp_path))
    some = few.iloc[[40, 3, 17]]
    assert np.array_equal(
        extract_features(some, sample.root, backbone, "geometric", precision=precision)[0],
        together[[40, 3, 17]],
    )
    rest = extract_features(few.iloc[::-1], sample.root, backbone, "geometric", precision=precision)[0]
    assert np.array_equal(rest, together[::-1])


def test_another_size_or_seed_is_another_feature(sample, few, backbone):
    plain = extract_features(few, sample.root, backbone)[0]
    assert not np.array_equal(
        extract_features(few, sample.root, backbone._replace(image_size=(32, 32)))[0], plain
    )
    drawn = [extract_features(few, sample.root, backbone, "rotation", seed=seed) for seed in (0, 1)]
    assert not np.array_equal(*drawn)


def test_the_same_pixels_are_computed_once_in_whole_batches(
    sample, few, empty_cache, by_brightness, monkeypatch
):
    monkeypatch.setattr(features_room, "BATCH_SIZE", 5)
    backbone, batches = by_brightness
    plain = extract_features(few, sample.root, backbone)[0]
    views = extract_features(few, sample.root, backbone, "horizontal_flip", 6)
    assert set(batches) == {5}
    photos = few["sha256"].nunique()
    assert len(batches) <= 2 * photos / 5 + 7  # each photo as it is and flipped, not six times
    unflipped = (views == plain).all(axis=2)
    assert 0 < unflipped.mean() < 1


def test_memory_that_runs_out_halves_the_batch(sample, few, backbone, empty_cache, monkeypatch, capsys):
    expected = extract_features(few, sample.root, backbone)[0]
    monkeypatch.setenv("WASTEBOOK_CACHE", str(cache_folder("again")))

    class Greedy(torch.nn.Module):
        def forward(self, inputs):
            if len(inputs) > 8:
                raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory")
            return for_inference(backbone)(inputs)

    monkeypatch.setattr(room, "for_inference", lambda backbone: Greedy())
    np.testing.assert_allclose(
        extract_features(few, sample.root, backbone)[0], expected, rtol=0.05, atol=0.05
    )
    assert "going on with 16" in capsys.readouterr().err


def test_memory_for_not_even_one_photo(backbone):
    class Endless(torch.nn.Module):
        def forward(self, inputs):
            raise torch.OutOfMemoryError

    with pytest.raises(WastebookError, match="image_size"):
        forward(Endless(), backbone, np.zeros((2, 48, 48, 3), np.uint8), torch.device("cpu"), False)


def test_an_error_of_another_kind_is_not_hidden(backbone):
    with pytest.raises(RuntimeError, match="shape"):
        forward(backbone.network, backbone, np.zeros((1, 48, 48, 1), np.uint8), torch.device("cpu"), False)


@pytest.mark.parametrize("name", ["test_resnet", "test_efficientnet", "test_vit", "resnetv2_18"])
def test_folding_changes_nothing(name, sample, few):
    backbone = load_backbone(name, "random", 64, photos=few, root=sample.root)
    before = copy.deepcopy(backbone.network.state_dict())
    inputs = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        torch.testing.assert_close(
            for_inference(backbone)(inputs), backbone.network(inputs), rtol=2e-3, atol=2e-3
        )
    assert all(torch.equal(before[key], tensor) for key, tensor in backbone.network.state_dict().items())


def test_bf16_is_nearly_fp32(sample, few, backbone):
    exact = extract_features(few, sample.root, backbone, precision="fp32")[0]
    rounded = extract_features(few, sample.root, backbone, precision="bf16")[0]
    assert np.corrcoef(exact.ravel(), rounded.ravel())[0, 1] > 0.999


def test_unknown_names(sample, few, backbone):
    with pytest.raises(WastebookError, match="rotation"):
        extract_features(few, sample.root, backbone, "rotate")
    with pytest.raises(WastebookError, match="bf16"):
        extract_features(few, sample.root, backbone, precision="bf8")


def test_a_busy_machine_makes_no_network_slower_than_its_quickest_round(monkeypatch):
    monkeypatch.setattr(features_room.timeit, "repeat", lambda *call, **often: [0.001, 0.9, 0.4, 5.0])
    assert features_room.time_forward(None, np.zeros((8, 2, 2, 3))) == pytest.approx(50)  # the first warms up
