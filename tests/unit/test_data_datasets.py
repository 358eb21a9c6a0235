"""Opening sets: the cards, the sample, folders of one's own, and what is said of bad ones."""

import contextlib
import hashlib
import os
import re
import shutil
import sys
import unicodedata
import zipfile

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from wastebook.data.cards import load_cards
from wastebook.data.copies import walk_files
from wastebook.data.datasets import _file_facts, describe_datasets, draw_per_class, fingerprint, open_dataset
from wastebook.data.download import at_hand, split_lists
from wastebook.errors import WastebookError
from wastebook.photos.decode import read_photo

COLUMNS = ["path", "label", "split", "group", "width", "height", "sha256"]


def picture(file, size=(8, 6), **options):
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(len(str(file))).integers(0, 255, (*size[::-1], 3), np.uint8)).save(
        file, **options
    )
    return file


@pytest.fixture
def folder(tmp_path):
    """Two classes of two photos."""
    for name in ("can/a.jpg", "can/b.jpg", "jar/c.jpg", "jar/d.png"):
        picture(tmp_path / "mine" / name)
    return tmp_path / "mine"


@pytest.mark.parametrize("name", load_cards())
def test_cards_say_all_and_agree_with_themselves(name):
    card = load_cards()[name]
    texts = ("name", "title", "task", "source", "homepage", "licence", "citation")
    assert all(isinstance(card[field], str) and card[field] for field in texts)
    assert [entry["name"] for entry in card["classes"]] == list(card["per_class"])
    assert all(entry["spanish"] for entry in card["classes"])
    assert sum(card["per_class"].values()) == card["photos"]
    assert sum(card.get("splits", {"all": card["photos"]}).values()) == card["photos"]
    for entry in [*card.get("files", []), *card.get("split_lists", [])]:
        for source in entry["sources"]:
            assert re.fullmatch(r"[0-9a-f]{64}", source["sha256"])
            assert re.search(r"/[0-9a-f]{40}/", source["url"]), "not at a pinned commit"


def test_the_sets_drawn_by_the_library_say_so():
    assert {name: card.get("drawn", False) for name, card in load_cards().items()} == {
        "household": False, "realwaste": False, "sample": True, "sample-binary": True,
        "sample-elsewhere": True, "trashnet": False, "waste-classification": False,
    }  # fmt: skip


def test_describe_datasets_fetches_nothing(own_data, monkeypatch, tmp_path):
    monkeypatch.setenv("WASTEBOOK_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("KAGGLEHUB_CACHE", str(tmp_path / "kaggle"))
    table = describe_datasets().set_index("name")
    assert table["at_hand"].to_dict() == {
        "household": 0, "realwaste": 0, "sample": 360, "sample-binary": 360, "sample-elsewhere": 90,
        "trashnet": 0, "waste-classification": 0,
    }  # fmt: skip
    assert table.loc["trashnet", "where"] == "wastebook data fetch trashnet"
    assert not list((tmp_path / "cache" / "downloads").glob("*"))


def test_sample_opens_as_a_table(whole_sample):
    photos = whole_sample.photos
    assert list(photos.columns) == COLUMNS
    assert whole_sample.classes == ["cardboard", "glass", "metal", "paper", "plastic", "trash"]
    assert photos["path"].is_monotonic_increasing and photos["group"].isna().all()
    assert photos["label"].value_counts().to_dict() == whole_sample.card["per_class"]
    assert set(photos["split"]) == {"train", "validation", "test"}
    assert (photos["width"] == 512).all() and (photos["height"] == 384).all()
    first = photos.loc[0]
    assert first["sha256"] == hashlib.sha256((whole_sample.root / first["path"]).read_bytes()).hexdigest()


def test_own_folder_opens(folder):
    dataset = open_dataset(str(folder))
    assert (dataset.name, dataset.root, dataset.classes) == ("mine", folder, ["can", "jar"])
    assert dataset.photos["path"].tolist() == ["can/a.jpg", "can/b.jpg", "jar/c.jpg", "jar/d.png"]
    assert dataset.photos["split"].isna().all()
    assert (dataset.photos["width"] == 8).all() and (dataset.photos["height"] == 6).all()
    assert open_dataset(folder).photos.equals(dataset.photos)
    assert {"title", "task", "classes", "licence", "citation", "photos"} <= set(dataset.card)


@pytest.mark.parametrize(("train", "validation", "test"), [("TRAIN", None, "TEST"), ("train", "val", "test"),
                                                          ("Training", "Validation", "Testing")])  # fmt: skip
def test_own_folder_with_splits(tmp_path, train, validation, test):
    for split in filter(None, (train, validation, test)):
        for number, label in enumerate(("can", "jar")):
            picture(tmp_path / split / label / f"{number}.jpg")
    photos = open_dataset(tmp_path).photos
    wanted = {"train", "test"} | ({"validation"} if validation else set())
    assert set(photos["split"]) == wanted and set(photos["label"]) == {"can", "jar"}


def test_own_folder_with_any_names(tmp_path):
    labels = ["<b>bold</b>".replace("/", "∕"), "cartón & papel", "vidrio roto", "100% {x}"]
    for label in labels:
        for name in ("a\u202fphoto.JPG", "deep/er/ñ.jpeg", ".hidden.jpg", "notes.txt"):
            file = tmp_path / label / name
            picture(file, format="JPEG") if "txt" not in name else file.write_text("x")
    picture(tmp_path / "__MACOSX" / "x" / "y.jpg")
    picture(tmp_path / ".trash" / "y.jpg")
    dataset = open_dataset(tmp_path)
    assert dataset.classes == sorted(labels)
    assert len(dataset.photos) == 2 * len(labels)
    assert f"{labels[1]}/deep/er/ñ.jpeg" in set(dataset.photos["path"])


def test_accents_are_one_class_however_they_are_stored(tmp_path):
    for split, name in (("train", "carto\u0301n"), ("test", "cart\u00f3n")):
        picture(tmp_path / split / name / "a.jpg")
        picture(tmp_path / split / "vidrio" / "a.jpg")
    assert open_dataset(tmp_path).classes == ["cart\u00f3n", "vidrio"]


def test_files_that_are_no_pictures_are_listed_too(folder):
    (folder / "can" / "empty.jpg").write_bytes(b"")
    (folder / "can" / "text.jpg").write_text("<html>")
    (folder / "jar" / "cut.jpg").write_bytes(picture(folder / "jar" / "c.jpg").read_bytes()[:100])
    turned = Image.Exif()
    turned[0x0112] = 6
    picture(folder / "jar" / "turned.jpg", exif=turned)
    photos = open_dataset(folder).photos.set_index("path")
    assert photos.loc[["can/empty.jpg", "can/text.jpg", "jar/cut.jpg"], "width"].tolist() == [0, 0, 0]
    assert photos.loc["jar/turned.jpg", ["width", "height"]].tolist() == [6, 8]  # upright


@pytest.mark.fault(
    "damaged photos", "photos turned by their metadata, in each format that has them", "read upright"
)
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif", "avif"])
def test_every_format_is_turned(folder, suffix):
    mark = np.full((40, 60, 3), 200, np.uint8)
    mark[:20, :30] = 0
    # Where the dark corner of each orientation comes to lie, and whether the photo then stands.
    for orientation, corner in zip(
        range(1, 9), ("tl", "tr", "br", "bl", "tl", "tr", "br", "bl"), strict=True
    ):
        turned = Image.Exif()
        turned[0x0112] = orientation
        file = folder / "can" / f"{orientation}.{suffix}"
        Image.fromarray(mark).save(file, exif=turned)
        photo = read_photo(file)
        height, width = photo.shape[:2]
        dark = photo[:: -1 if corner[0] == "b" else 1, :: -1 if corner[1] == "r" else 1][
            : height // 3, : width // 3
        ]
        assert dark.mean() < 60 and (width > height) == (orientation < 5)
    photos = open_dataset(folder).photos.set_index("path")
    for orientation in range(1, 9):
        size = [60, 40] if orientation < 5 else [40, 60]
        assert photos.loc[f"can/{orientation}.{suffix}", ["width", "height"]].tolist() == size


def test_catalogue_is_kept_until_a_file_changes(folder, monkeypatch):
    before = open_dataset(folder).photos
    monkeypatch.setattr("wastebook.data.datasets._facts_of", None)  # not to be called again
    assert open_dataset(folder).photos.equals(before)
    monkeypatch.undo()
    picture(folder / "can" / "a.jpg", (9, 6))
    os.utime(folder / "can" / "a.jpg", ns=(1, 1))
    after = open_dataset(folder).photos
    assert after["width"].tolist() == [9, 8, 8, 8]
    assert after["sha256"].ne(before["sha256"]).tolist() == [True, False, False, False]


def test_no_room_for_the_catalogue_is_said(folder, monkeypatch):
    def full(self, path):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pd.DataFrame, "to_parquet", full)
    with pytest.raises(WastebookError, match="No space left"):
        _file_facts(folder, walk_files(folder)[0])


def test_fingerprint_knows_content_not_names(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "copy")
    (tmp_path / "copy/can/a.jpg").rename(tmp_path / "copy/can/z.jpg")
    one, two = open_dataset(folder).photos, open_dataset(tmp_path / "copy").photos
    assert fingerprint(one) == fingerprint(two) != fingerprint(one[1:])


def wrong(path) -> str:
    with pytest.raises(WastebookError) as caught:
        open_dataset(path)
    assert str(caught.value).count("\n") <= 1
    return str(caught.value)


def test_bad_folders_are_told_in_a_line(folder, tmp_path):
    (tmp_path / "empty").mkdir()
    assert "has no photos: it should hold one folder of photos per class" in wrong(tmp_path / "empty")
    picture(tmp_path / "loose" / "a.jpg")
    assert "only loose photos" in wrong(tmp_path / "loose")
    picture(tmp_path / "one" / "can" / "a.jpg")
    assert "only one class folder, 'can'" in wrong(tmp_path / "one")
    picture(tmp_path / "split" / "TRAIN" / "a.jpg")
    assert "no class folders" in wrong(tmp_path / "split")


def test_unknown_set_names_the_nearest():
    assert "Did you mean trashnet" in wrong("trashnett")
    assert "Did you mean waste-classification" in wrong("waste_classification")
    assert "No set or folder is called ''" in wrong("") and "called ' '" in wrong(" ")
    message = wrong("/no/such/folder")
    assert (
        "'/no/such/folder'" in message
        and "Known: household, realwaste, sample, sample-binary, sample-elsewhere" in message
    )


def test_links_that_lead_back_up_are_not_followed(folder):
    (folder / "can" / "up").symlink_to(folder.parent)
    (folder / "can" / "itself").symlink_to(folder / "can" / "itself")
    (folder / "jar" / "nowhere.jpg").symlink_to(folder / "gone.jpg")
    picture(folder.parent / "more" / "e.jpg")
    (folder / "jar" / "more").symlink_to(folder.parent / "more")
    assert open_dataset(folder).photos["path"].tolist() == [
        "can/a.jpg", "can/b.jpg", "jar/c.jpg", "jar/d.png", "jar/more/e.jpg",
    ]  # fmt: skip


@pytest.mark.fault(
    "own folders", "pipes, devices, links to nowhere, to itself or back up", "left out, and told"
)
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such files")
def test_what_is_no_file_is_left_out_and_told(folder):
    os.mkfifo(folder / "can" / "pipe.jpg")
    (folder / "can" / "zero.jpg").symlink_to("/dev/zero")
    (folder / "can" / "itself.jpg").symlink_to("itself.jpg")
    (folder / "jar" / "nowhere.jpg").symlink_to("gone.jpg")
    (folder / "jar" / "again").symlink_to("../can")
    (folder / "jar" / "up").symlink_to("/")
    (folder / "empty").mkdir()
    dataset = open_dataset(folder)
    assert len(dataset.photos) == 4
    again = "a link to a folder that is here or around it already"
    device = "no ordinary file (a pipe, a socket or a device)"
    assert dataset.card["left_out"] == {
        "can/pipe.jpg": device,
        "can/zero.jpg": device,
        "can/itself.jpg": "no ordinary file (Too many levels of symbolic links)",
        "jar/nowhere.jpg": "no ordinary file (No such file or directory)",
        "jar/again/": again,
        "jar/up/": again,
        "empty/": "an empty folder",
    }


@pytest.mark.fault("archives", "a zip of one's own, slashes either way", "opened as its folder would be")
@pytest.mark.parametrize("slash", ["/", "\\"])
def test_a_zip_is_opened_as_its_folder(folder, tmp_path, slash):
    with zipfile.ZipFile(tmp_path / "sample.zip", "w") as zipped:
        for path in open_dataset(folder).photos["path"]:
            entry = zipfile.ZipInfo("x")
            entry.filename = f"export/{path}".replace("/", slash)
            zipped.writestr(entry, (folder / path).read_bytes())
        for name in ("export/", "export/can/", "export/cartons/", "export/cartons/flat/"):
            entry = zipfile.ZipInfo("x")
            entry.filename = name.replace("/", slash)
            zipped.writestr(entry, b"")
        zipped.writestr("../outside/a.jpg", b"x")
        zipped.writestr("export/notes.txt", b"x")
    dataset = open_dataset(tmp_path / "sample.zip")
    assert fingerprint(dataset.photos) == fingerprint(open_dataset(folder).photos)
    assert dataset.card["layout"] == f"{tmp_path / 'sample.zip'}: a folder per class, within export/"
    assert dataset.card["left_out"] == {
        "../outside/a.jpg": "its name in the zip leads elsewhere",
        "export/notes.txt": "no photo by its suffix",
        "export/cartons/flat/": "an empty folder",
    }
    assert dataset.name == "own-sample" and not dataset.card.get("drawn")


@pytest.mark.fault("archives", "names in a zip in UTF-8 that do not say so, or with colons", "as they are")
@pytest.mark.parametrize("label", ["cartón", "cartón", "type: glass", "12:30"])
def test_names_in_a_zip_are_read_as_they_are(folder, tmp_path, label):
    if ":" in label and sys.platform == "win32":
        pytest.skip("Windows has no such names")
    place = tmp_path / "mine.zip"
    with zipfile.ZipFile(place, "w") as zipped:
        for name in ("a.jpg", "b.jpg"):
            zipped.write(folder / "can" / name, f"{label}/{name}")
            zipped.write(folder / "can" / name, f"can/{name}")
    content = bytearray(place.read_bytes())
    for sign, flag in ((b"PK\x03\x04", 7), (b"PK\x01\x02", 9)):  # as macOS leaves it
        for found in re.finditer(re.escape(sign), bytes(content)):
            content[found.start() + flag] &= ~8
    place.write_bytes(content)
    assert open_dataset(place).classes == sorted({"can", unicodedata.normalize("NFC", label)})


@pytest.mark.fault("archives", "a photo that is twice in a zip", "one line with the way out")
@pytest.mark.parametrize("again", ["can/a.jpg", "can\\a.jpg", "./can/a.jpg"])
def test_a_photo_twice_in_a_zip_is_told(folder, tmp_path, again):
    with zipfile.ZipFile(tmp_path / "mine.zip", "w") as zipped:
        zipped.write(folder / "can/a.jpg", "can/a.jpg")
        with pytest.warns(UserWarning) if again == "can/a.jpg" else contextlib.nullcontext():
            zipped.writestr(again, b"other")
    assert "has two files called can/a.jpg: unpack it" in wrong(tmp_path / "mine.zip")


@pytest.mark.fault("archives", "a zip that is cut, locked, or packed in an unknown way", "one line")
@pytest.mark.parametrize("harm", ["cut", "locked", "unknown way"])
def test_a_zip_that_cannot_be_unpacked_is_told_in_a_line(folder, tmp_path, harm):
    place = tmp_path / "mine.zip"
    with zipfile.ZipFile(place, "w") as zipped:
        zipped.write(folder / "can/a.jpg", "can/a.jpg")
    content = bytearray(place.read_bytes())
    where = content.index(b"PK\x01\x02")
    if harm == "locked":
        content[6], content[where + 8] = content[6] | 1, content[where + 8] | 1
    if harm == "unknown way":  # Deflate64
        content[8], content[where + 10] = 9, 9
    place.write_bytes(content[: len(content) // 2] if harm == "cut" else content)
    assert str(place) in wrong(place) and "\n" not in wrong(place)


@pytest.mark.fault("archives", "what is no zip; a zip in a zip", "one line with the way out")
def test_what_is_packed_otherwise_is_told(folder, tmp_path):
    for name in ("mine.tar.gz", "photo.jpg"):
        (tmp_path / name).write_bytes(b"not a zip")
        assert f"{tmp_path / name} is no zip" in wrong(tmp_path / name)
    with zipfile.ZipFile(tmp_path / "outer.zip", "w") as zipped:
        zipped.writestr("set-main/data/photos.zip", b"PK")
        zipped.writestr("set-main/README.md", b"x")
    assert "no photos (set-main/data/photos.zip: packed: unpack it)" in wrong(tmp_path / "outer.zip")


@pytest.mark.fault("own folders", "a card.yml of one's own", "gives title, licence and class names")
def test_a_card_of_ones_own(folder):
    (folder / "card.yml").write_text(
        "title: Mine\nlicence: CC0\nclasses:\n- {name: metal can, spanish: lata, folder: Can}\n"
    )
    dataset = open_dataset(folder)
    assert dataset.card["title"] == "Mine" and dataset.card["licence"] == "CC0"
    assert dataset.card["classes"] == [
        {"name": "jar", "spanish": "jar"}, {"name": "metal can", "spanish": "lata", "folder": "Can"},
    ]  # fmt: skip
    assert set(dataset.photos["label"]) == {"metal can", "jar"}


@pytest.mark.fault("own folders", "a card.yml in the waste bin or another hidden folder", "not taken")
@pytest.mark.parametrize("hidden", [".trash", ".git/x", "@eaDir"])
def test_a_hidden_card_is_not_taken(folder, hidden):
    for place, title in ((folder / hidden, "Old"), (folder / "longer than hidden", "Mine")):
        place.mkdir(parents=True)
        (place / "card.yml").write_text(f"title: {title}\n")
    assert open_dataset(folder).card["title"] == "Mine"


@pytest.mark.fault("own folders", "a card.yml with a fault", "one line that names the file and the field")
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("titles: Mine", "titles: Extra inputs"),
        ("classes: [{name: can}]", "classes.0.spanish: Field required"),
        ("classes: [{name: cup, spanish: taza}]", "no folder: cup"),
        ("title: [", "cannot be read"),
        pytest.param(f"title: {'[' * 3000}", "cannot be read", id="deep"),
        ("just text", "is not right"),
    ],
)
def test_a_card_that_is_wrong_is_told(folder, text, said):
    (folder / "card.yml").write_text(text)
    message = wrong(folder)
    assert said in message and str(folder / "card.yml") in message and "\n" not in message


@pytest.mark.fault("own folders", "a card.yaml whose words YAML takes for truths and numbers", "texts")
def test_a_card_says_texts(folder):
    (folder / "can").rename(folder / "no")
    (folder / "jar").rename(folder / "010")
    (folder / "card.yaml").write_text(
        "title: 1.10\nlicence: on\n"
        "classes: [{name: no, spanish: null}, {name: nan, spanish: 1e5, folder: 010}]\n"
    )
    dataset = open_dataset(folder)
    assert (dataset.card["title"], dataset.card["licence"], dataset.classes) == ("1.10", "on", ["nan", "no"])
    assert [entry["spanish"] for entry in dataset.card["classes"]] == ["1e5", "null"]
    assert dataset.card["left_out"] == {"card.yaml": "the card"}


def test_a_card_that_names_no_file_breaks_nothing(monkeypatch):
    card = {
        key: load_cards()["trashnet"][key] for key in ("title", "photos", "licence", "homepage", "classes")
    }
    for place in ("datasets", "download"):
        monkeypatch.setattr(f"wastebook.data.{place}.load_cards", lambda: {"bare": card | {"name": "bare"}})
    assert describe_datasets().loc[0, "where"] == card["homepage"]
    assert "its card names no file" in wrong("bare")


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not keep such names")
def test_name_that_is_no_text_is_told(folder):
    shutil.copy(folder / "can/a.jpg", os.fsencode(folder / "can") + b"/\xff.jpg")
    dataset = open_dataset(folder)
    assert len(dataset.photos) == 4
    assert dataset.card["left_out"] == {"can/\\xff.jpg": "its name is not text (UTF-8): rename it"}


def test_draw_per_class(whole_sample):
    photos = whole_sample.photos
    drawn = draw_per_class(photos, 30, seed=1)
    assert drawn["label"].value_counts().to_dict() == dict.fromkeys(whole_sample.classes, 30) | {"trash": 20}
    assert drawn["path"].is_monotonic_increasing and drawn.index.tolist() == list(range(len(drawn)))
    assert drawn.equals(draw_per_class(photos.sample(frac=1, random_state=0), 30, seed=1))
    assert not drawn.equals(draw_per_class(photos, 30, seed=2))
    assert draw_per_class(photos, None, seed=1).equals(photos)


@pytest.mark.real
def test_trashnet_is_the_authors(trashnet):
    assert trashnet.photos["label"].value_counts().to_dict() == trashnet.card["per_class"]
    assert fingerprint(trashnet.photos) == trashnet.card["fingerprint"]
    assert trashnet.photos["split"].value_counts().to_dict() == trashnet.card["splits"]
    assert (trashnet.photos["width"] == 512).all() and (trashnet.photos["height"] == 384).all()
    numbers = trashnet.card["label_numbers"]
    for file in split_lists(trashnet.card).values():
        rows = (line.split() for line in file.read_text().splitlines())
        assert all(name.startswith(numbers[int(number)]) for name, number in rows)


@pytest.mark.real
def test_waste_classification_is_opened_as_far_as_it_is_there():
    card = load_cards()["waste-classification"]
    if not at_hand(card):
        pytest.skip("Waste Classification data is not in WASTEBOOK_DATA")
    dataset = open_dataset("waste-classification")
    assert dataset.classes == ["organic", "recyclable"]
    assert len(dataset.photos) <= card["photos"] and set(dataset.photos["split"]) == {"train", "test"}
    letters = dataset.photos["path"].str.split("/").str[1].map({"O": "organic", "R": "recyclable"})
    assert letters.equals(dataset.photos["label"].rename("path"))
