"""New photos: the exported model answers as the trained one does, whatever it is given."""

import csv
import functools
import http.server
import threading

import numpy as np
import pytest
from PIL import Image

import wastebook
from wastebook import cli, paths
from wastebook.answers.predictor import Answer, Predictor, find_models, list_photos, open_model, overlay, said
from wastebook.errors import WastebookError
from wastebook.evaluation.trust import fit_threshold
from wastebook.learning.backbones import load_backbone
from wastebook.learning.export import export_model
from wastebook.learning.features import extract_features
from wastebook.learning.heads import predict_head, solve_head
from wastebook.learning.models import Model
from wastebook.photos.decode import read_photo

NAME = "resnet18-exact"


@pytest.fixture
def model(kept_model):
    return kept_model


@pytest.fixture(autouse=True)
def in_runs(kept_runs, monkeypatch):
    monkeypatch.setattr(paths, "RUNS", kept_runs)
    (kept_runs / "empty").mkdir(exist_ok=True)


@pytest.fixture
def files(sample):
    return [sample.root / path for path in sample.photos["path"][::5]]


def probabilities(predictor, files):
    return np.stack([answer.probabilities for answer in predictor.stream(files)])


def test_the_same_answers_as_in_torch(model, files, ask_torch):
    expected = ask_torch(model, files)
    assert np.abs(probabilities(open_model(), files) - expected).max() < 2e-3  # random weights magnify
    eighths = probabilities(open_model("small", f"{NAME}-int8"), files)
    assert 0 < np.abs(eighths - expected).max() < 0.02
    close = np.sort(expected, axis=1)[:, -1] - np.sort(expected, axis=1)[:, -2] < 0.04
    assert ((eighths.argmax(1) == expected.argmax(1)) | close).all()


@pytest.mark.real
def test_the_same_answers_on_real_photos(trashnet, tmp_path, ask_torch):
    photos = trashnet.photos.groupby("label").head(4).reset_index(drop=True)
    photos["split"] = ["train", "validation"] * 12
    backbone = load_backbone("efficientnet_b0", "auto", (192, 256), photos, trashnet.root)
    if backbone.weights == "random":
        pytest.skip("needs ImageNet weights: WASTEBOOK_WEIGHTS has none")
    features = extract_features(photos, trashnet.root, backbone)
    head, _ = solve_head(features, features[0], photos, trashnet.classes)
    model = Model("real", backbone, head, {"data": {"name": "trashnet", "photos": 24}, "temperature": 1.5})
    export_model(model, tmp_path / "real.onnx")
    files = [trashnet.root / path for path in photos["path"]]
    expected = ask_torch(model, files)
    lead = np.sort(expected, axis=1)[:, -1] - np.sort(expected, axis=1)[:, -2]
    for name, most in (("real", 1e-3), ("real-int8", 0.02)):
        found = probabilities(Predictor(tmp_path / f"{name}.onnx"), files)
        assert np.abs(found - expected).max() < most, name
        assert (found.argmax(1) == expected.argmax(1))[lead > most].all(), name


def test_the_graph_resizes_by_itself(model, files, ask_torch):
    session = open_model()._session
    alone = np.concatenate([session.run(["probabilities"], {"photo": read_photo(file)})[0] for file in files])
    expected = ask_torch(model, files)
    assert np.abs(alone - expected).max() < 5e-3 and (alone.argmax(1) == expected.argmax(1)).all()


def test_the_evidence_is_grad_cam(model, files):
    import torch
    from captum.attr import LayerGradCam

    from wastebook.learning.backbones import as_input, load_pixels

    network, head = model.backbone.network, torch.nn.Linear(model.backbone.feature_width, 6)
    head.load_state_dict({"weight": torch.tensor(model.head.weight), "bias": torch.tensor(model.head.bias)})
    whole = torch.nn.Sequential(network, head).eval()
    pixels = load_pixels(files[0], model.backbone.image_size)
    inputs = as_input(model.backbone, torch.from_numpy(pixels)[None])
    evidence = open_model().answer(files[0]).evidence
    assert evidence.shape == (6, 2, 3)
    for number in range(6):
        theirs = LayerGradCam(whole, network.layer4).attribute(inputs, number, relu_attributions=True)
        theirs = theirs.detach().numpy()[0, 0] * evidence[0].size  # the mean's gradient
        np.testing.assert_allclose(evidence[number], theirs, atol=0.01 * max(1, theirs.max()))


def test_the_evidence_glows_where_it_is():
    photo = np.full((60, 80, 3), 200, np.uint8)
    lit = overlay(photo, np.array([[0, 0, 0], [0, 0, 3]], np.float32)).astype(int)
    assert lit.shape == photo.shape and np.ptp(lit[:10, :10]) == 0
    assert np.ptp(lit[50, 75]) > 40  # coloured, the rest is grey
    assert (overlay(photo, np.zeros((2, 3), np.float32)) == 200).all()


def test_a_network_without_maps_gives_no_evidence(sample, tmp_path, ask_torch):
    backbone = load_backbone("test_vit", "random", (160, 160), sample.photos, sample.root)
    features = extract_features(sample.photos, sample.root, backbone)
    head, _ = solve_head(features, features[0], sample.photos, sample.classes)
    model = Model("vit", backbone, head, {"data": {"name": sample.name, "photos": 1}})
    export_model(model, tmp_path / "vit.onnx")
    file = sample.root / sample.photos["path"][0]
    answer = Predictor(tmp_path / "vit.onnx").answer(file)
    expected = ask_torch(model, [file])[0]
    assert answer.evidence is None and np.abs(answer.probabilities - expected).max() < 2e-3


def test_below_the_threshold_it_is_not_sure(model, sample):
    predictor = open_model()
    assert predictor.threshold == model.card["threshold"]
    at = np.full(6, 0.1, np.float32)
    at[2] = predictor.threshold + 0.01
    assert said(predictor, Answer("a", at), 1) == f"metal {100 * at[2]:.0f} %"
    at[2] = predictor.threshold - 0.01
    assert said(predictor, Answer("a", at, None, "dark"), 1) == f"not sure: metal {100 * at[2]:.0f} % (dark)"
    assert predictor.row(Answer("a", at))["sure"] is False


def test_the_threshold_has_half_the_mistakes_below_it(sample, model):
    features = extract_features(sample.photos, sample.root, model.backbone)
    table = predict_head(model.head, features[0], sample.photos, NAME, 0, "official")
    wrong = table["label"] != table["predicted"]
    below = table.filter(like="p_").max(axis=1) < fit_threshold(table)
    assert abs((wrong & below).sum() - wrong.sum() / 2) <= 1
    assert fit_threshold(table[~wrong]) == 0


def test_a_table_of_answers(sample, files):
    table = wastebook.predict(sample.root / "glass", run="small")
    assert list(table["photo"]) == sorted(table["photo"])
    assert len(table) == (sample.photos["label"] == "glass").sum()
    columns = [f"p_{name}" for name in sample.classes]
    np.testing.assert_allclose(table[columns].sum(axis=1), 1, atol=1e-5)
    assert (table["confidence"] == table[columns].max(axis=1)).all()
    assert (table["confidence"] >= table["runner_up_confidence"]).all()
    one = wastebook.predict(files[0]).iloc[0]
    assert one["label"] == open_model().classes[open_model().answer(files[0]).probabilities.argmax()]


@pytest.fixture
def mess(tmp_path, files):
    """A folder with one of each trouble among two good photos."""
    good = files[0].read_bytes()
    (tmp_path / "good.jpg").write_bytes(good)
    (tmp_path / "half.jpg").write_bytes(good[: len(good) // 2])
    (tmp_path / "text.jpg").write_text("no picture")
    (tmp_path / "empty.jpg").write_bytes(b"")
    frames = [Image.new("RGB", (40, 30), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    frames[0].save(tmp_path / "cut.gif")
    whole = (tmp_path / "cut.gif").read_bytes()
    (tmp_path / "cut.gif").write_bytes(
        whole[:-1] + b"!"
    )  # further pictures are looked for, and are not there
    Image.new("1", (20_000, 20_000)).save(tmp_path / "vast.png")
    Image.open(files[0]).convert("RGBA").save(tmp_path / "with alpha.png")
    Image.open(files[0]).save(tmp_path / "web.webp", quality=95)
    (tmp_path / "notes.txt").write_text("not a photo's name")
    return tmp_path


def test_what_is_bad_is_said_and_the_rest_is_answered(mess):
    table = wastebook.predict([mess, mess / "gone.jpg"]).set_index("photo")
    table.index = table.index.str.replace(f"{mess}/", "")
    noted = table["note"][table["note"] != ""]
    assert {name: note.split(":")[0] for name, note in noted.items()} == {
        "half.jpg": "truncated",
        "text.jpg": "unreadable",
        "empty.jpg": "empty",
        "moving.gif": "an animation",
        "vast.png": "huge",
        "gone.jpg": "unreadable",
    }
    answered = table[table["label"].notna()]
    assert set(answered.index) == {"good.jpg", "moving.gif", "cut.gif", "with alpha.png", "web.webp"}


def test_a_phone_photo_on_its_side_gets_the_answer_of_the_upright_one(files, tmp_path):
    upright = Image.open(files[0])
    exif = Image.Exif()
    exif[0x0112] = 6
    upright.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "side.png", exif=exif)
    upright.save(tmp_path / "up.png")
    side, up = (open_model().answer(tmp_path / name).probabilities for name in ("side.png", "up.png"))
    assert (side == up).all()


def test_photos_from_the_web(mess, monkeypatch):
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *arguments):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(mess)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    home, predictor = f"http://127.0.0.1:{server.server_port}", open_model()
    here, there = (predictor.answer(place) for place in (mess / "good.jpg", f"{home}/good.jpg?size=1"))
    assert (here.probabilities == there.probabilities).all()
    assert predictor.answer(f"{home}/gone.jpg").note == "could not be brought (HTTPError)"
    monkeypatch.setattr("wastebook.answers.predictor.MOST_BYTES", 100)
    assert predictor.answer(f"{home}/good.jpg").note.startswith("huge")
    server.shutdown()
    server.server_close()
    assert predictor.answer(f"{home}/good.jpg").note.startswith("could not be brought")


@pytest.mark.parametrize(
    ("run", "name", "message"),
    [
        ("gone", None, r"runs.*gone is not there\. Known: small"),
        ("empty", None, "empty has kept no models"),
        ("small", "resnet18-exakt", "Did you mean resnet18-exact"),
    ],
)
def test_a_model_that_is_gone(run, name, message):
    with pytest.raises(WastebookError, match=message):
        open_model(run, name)


def test_no_model_at_all_and_a_file_that_is_none(monkeypatch, tmp_path):
    monkeypatch.setattr(paths, "RUNS", tmp_path)
    with pytest.raises(WastebookError, match="wastebook build"):
        open_model()
    (tmp_path / "a" / "models" / "b").mkdir(parents=True)
    (tmp_path / "a" / "models" / "b" / "c.onnx").write_bytes(b"not a model")
    with pytest.raises(WastebookError, match="no model of this version"):
        open_model()
    with pytest.raises(WastebookError, match="There is no photo in"):
        list_photos([tmp_path])


def test_every_model_that_a_run_has_kept_is_found():
    both = [f"{NAME}-int8", NAME, "xception-exact-int8", "xception-exact"]
    assert [file.stem for file in find_models("small")] == both
    assert open_model("small").name == NAME
    assert open_model("small", "xception-exact").classes == ["organic", "recyclable"]


@pytest.fixture
def call(monkeypatch, capsys):
    def called(*arguments):
        monkeypatch.setattr("sys.argv", ["wastebook", "predict", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            cli.app()
        captured = capsys.readouterr()
        return end.value.code or 0, captured.out.splitlines(), captured.err

    return called


def test_in_the_terminal(call, mess, tmp_path):
    code, lines, told = call(mess / "good.jpg", "--top", "2")
    assert code == 0 and len(lines) == 1 and lines[0].count(" %") == 2
    assert "drawn, not photographed" in told
    code, lines, _ = call(mess, "--csv", tmp_path / "answers.csv")
    assert code == 1 and len(lines) == 9
    with (tmp_path / "answers.csv").open() as file:
        rows = {row["photo"]: row for row in csv.DictReader(file)}
    assert rows[str(mess / "good.jpg")]["label"] and rows[str(mess / "text.jpg")]["label"] == ""
    code, lines, told = call(mess / "good.jpg", "--run", "gone")
    assert (code, lines) == (1, []) and "gone is not there" in told


def test_answering_brings_in_nothing_heavy():
    import subprocess
    import sys

    check = (
        "import sys, wastebook.answers.predictor; print({'pandas', 'torch', 'nbformat'} & set(sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", check], capture_output=True, text=True).stdout == "set()\n"
