"""Downloads from a server of our own: whole, broken off, gone, false, without room; copies at hand first."""

import errno
import hashlib
import http.server
import os
import shutil
import socket
import threading
import zipfile

import pytest

from wastebook.cache import cache_folder
from wastebook.data import download
from wastebook.data.datasets import open_dataset
from wastebook.errors import WastebookError

CONTENT = os.urandom(400_000)


class Server(http.server.ThreadingHTTPServer):
    """Serves files; `cut` bytes after which each connection breaks off, and what was asked."""

    def __init__(self, files: dict[str, bytes]):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files, self.cut, self.asked = files, None, []
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/{name}"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append(self.path)
        content = self.server.files.get(self.path[1:])
        if content is None:
            return self.send_error(404)
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: self.server.cut])

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server():
    server = Server({"photos.zip": CONTENT})
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture(autouse=True)
def empty_cache(monkeypatch, tmp_path, own_data):
    monkeypatch.setenv("WASTEBOOK_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("KAGGLEHUB_CACHE", str(tmp_path / "kaggle"))
    monkeypatch.setattr("pooch.core.time.sleep", lambda seconds: None)  # between two tries


def entry(*urls: str, content: bytes = CONTENT) -> dict:
    return {
        "name": "photos.zip",
        "sources": [{"url": url, "sha256": hashlib.sha256(content).hexdigest()} for url in urls],
    }


def test_file_is_downloaded_once(server):
    file = download.download_file(entry(server.url("photos.zip")))
    assert file.read_bytes() == CONTENT
    assert download.download_file(entry(server.url("photos.zip"))) == file
    assert len(server.asked) == 1


@pytest.mark.fault(
    "network",
    "a download that breaks off, early or late, twice",
    "nothing half is kept, the next try is whole",
)
@pytest.mark.parametrize("cut", [0, 1, 150_000, len(CONTENT) - 1])
def test_broken_off_download_is_tried_again(server, cut):
    server.cut = cut
    with pytest.raises(OSError):
        download.download_file(entry(server.url("photos.zip")))
    assert len(server.asked) == 2
    assert [file.suffix for file in paths_left()] == [".lock"]
    server.cut = None
    assert download.download_file(entry(server.url("photos.zip"))).read_bytes() == CONTENT


def paths_left():
    return list(cache_folder("downloads").iterdir())


def test_second_source_where_the_first_is_gone_or_false(server):
    server.files["false.zip"] = b"something else"
    for first in ("gone.zip", "false.zip"):
        sources = entry(server.url(first), server.url("photos.zip"))
        file = download.download_file(sources)
        assert file.read_bytes() == CONTENT
        file.unlink()


@pytest.mark.fault("network", "a download of other content than its card says", "refused, and not kept")
def test_false_content_is_refused_and_not_kept(server):
    with pytest.raises(ValueError, match="hash"):
        download.download_file(entry(server.url("photos.zip"), content=b"true"))
    assert [file.suffix for file in cache_folder("downloads").iterdir()] == [".lock"]


def test_no_room_is_said(server, monkeypatch):
    def full(self, *arguments, **named):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("requests.Response.iter_content", full)
    with pytest.raises(WastebookError, match=r"No space left .*WASTEBOOK_CACHE"):
        download.download_file(entry(server.url("photos.zip")))


@pytest.mark.fault("network", "no network, and no copy of the photos", "a line says so, and the ways out")
@pytest.mark.parametrize("name", ["trashnet", "waste-classification"])
def test_no_network_is_said_with_the_ways_out(name, monkeypatch, own_data, tmp_path):
    def unreachable(*arguments, **named):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unreachable)
    own_data(tmp_path / "nowhere")
    with pytest.raises(WastebookError) as caught:
        open_dataset(name)
    message = str(caught.value)
    assert "no connection to" in message and "WASTEBOOK_DATA" in message and "`sample`" in message
    assert "nowhere does not exist" in message and message.count("\n") == 1


def small_card(server: Server, photos: dict[str, bytes]) -> dict:
    """A card of a set of a few files, and its zip on the server."""
    archive = cache_folder() / "made.zip"
    write_zip(archive, {f"dataset-resized/{name}": content for name, content in photos.items()})
    server.files["made.zip"] = archive.read_bytes()
    hashes = sorted(hashlib.sha256(content).hexdigest() for content in photos.values())
    return {
        "name": "small",
        "title": "Small",
        "task": "",
        "homepage": "https://example.org",
        "licence": "MIT",
        "classes": [{"name": "glass", "spanish": "vidrio"}, {"name": "paper", "spanish": "papel"}],
        "photos": len(photos),
        "bytes": sum(map(len, photos.values())),
        "fingerprint": hashlib.sha256("\n".join(hashes).encode()).hexdigest(),
        "files": [entry(server.url("made.zip"), content=archive.read_bytes())],
    }


def write_zip(archive, files: dict[str, bytes]) -> None:
    with zipfile.ZipFile(archive, "w") as zipped:
        for name, content in files.items():
            zipped.writestr(name, content)


PHOTOS = {
    f"{label}/{label}{number}.jpg": os.urandom(500) for label in ("glass", "paper") for number in range(4)
}


@pytest.fixture
def small(server, monkeypatch):
    card = small_card(server, PHOTOS)
    monkeypatch.setattr(download, "load_cards", lambda: {"small": card})
    monkeypatch.setattr("wastebook.data.datasets.load_cards", lambda: {"small": card})
    return card


@pytest.fixture
def loose(small, server):
    """The card of a set whose photos lie one by one on the server, under names of its own."""
    server.files |= {f"theirs/{name.upper()}": content for name, content in PHOTOS.items()}
    urls = {name: server.url(f"theirs/{name.upper()}") for name in PHOTOS}
    small["files"] = [entry(urls[name], content=PHOTOS[name]) | {"name": name} for name in PHOTOS]
    return small


def test_set_of_single_photos_is_gathered_once(loose, server):
    dataset = open_dataset("small")
    assert {path: (dataset.root / path).read_bytes() for path in dataset.photos["path"]} == PHOTOS
    assert not any((dataset.root / path).stat().st_mode & 0o222 for path in dataset.photos["path"])
    assert download.at_hand(loose).photos == 8
    assert open_dataset("small").root == dataset.root and len(server.asked) == 8


@pytest.mark.fault(
    "network", "one photo of many is another, or gone, at its host", "the set is whole or not there"
)
@pytest.mark.parametrize("content", [b"another photo", None])
def test_set_of_single_photos_is_whole_or_not_there(loose, server, content):
    server.files |= {"theirs/PAPER/PAPER3.JPG": content}
    with pytest.raises(WastebookError, match="could not be downloaded"):
        open_dataset("small")
    assert download.at_hand(loose) is None
    server.files |= {"theirs/PAPER/PAPER3.JPG": PHOTOS["paper/paper3.jpg"]}
    assert len(open_dataset("small").photos) == 8


def test_the_photos_of_household_are_named_by_place_and_hash():
    card = download.load_cards()["household"]
    hashes = sorted(file["sources"][0]["sha256"] for file in card["files"])
    assert len(card["files"]) == card["photos"] == sum(card["per_class"].values())
    assert hashlib.sha256("\n".join(hashes).encode()).hexdigest() == card["fingerprint"]
    there = "https://raw.githubusercontent.com/kteppris/RealWaste/eeb686d"
    assert all(file["sources"][0]["url"].startswith(there) for file in card["files"])


@pytest.mark.parametrize("top", ["", "realwaste-main/RealWaste/"])
def test_realwaste_is_found_where_its_reader_put_it(own_data, tmp_path, top):
    """Its folders as they are; of its nine classes the six that others have, and of their photos some."""
    folders = ["Cardboard", "Food Organics", "Glass", "Metal", "Miscellaneous Trash", "Paper", "Plastic"]
    for number, folder in enumerate([*folders, "Textile Trash", "Vegetation"]):
        place = tmp_path / top / folder
        place.mkdir(parents=True)
        (place / f"{folder}_{number}.jpg").write_bytes(PHOTOS["paper/paper3.jpg"] + bytes([number]))
    own_data(tmp_path)
    dataset = open_dataset("realwaste")
    assert sorted(dataset.photos["label"]) == ["cardboard", "glass", "metal", "paper", "plastic", "trash"]
    assert {path.split("/")[0]: why for path, why in dataset.card["left_out"].items()} == dict.fromkeys(
        ["Food Organics", "Textile Trash", "Vegetation"], "in no class folder"
    )
    own_data(tmp_path / "nowhere")
    with pytest.raises(WastebookError, match=r"got from https://github\.com/sam-single/realwaste"):
        open_dataset("realwaste")


def test_set_is_downloaded_unpacked_read_only_and_opened(small, server):
    dataset = open_dataset("small")
    assert {path: (dataset.root / path).read_bytes() for path in dataset.photos["path"]} == PHOTOS
    assert not any((dataset.root / path).stat().st_mode & 0o222 for path in dataset.photos["path"])
    assert download.at_hand(small).photos == 8
    assert open_dataset("small").root == dataset.root and len(server.asked) == 1


@pytest.mark.parametrize("top", ["", "dataset-resized/", "one/two/any name/"])
@pytest.mark.parametrize("packed", [False, True])
def test_copy_at_hand_is_found_before_any_download(small, server, own_data, tmp_path, top, packed):
    files = {f"{top}{name}": content for name, content in PHOTOS.items()}
    files |= {"__MACOSX/glass/._glass1.jpg": b"", f"{top}glass/.DS_Store": b"", "notes.txt": b"mine"}
    own = tmp_path / "own"
    own.mkdir()
    write_zip(own / "mine.zip", files)
    if packed:
        own_data(tmp_path / "empty", own / "mine.zip")
    else:
        shutil.unpack_archive(own / "mine.zip", own)
        (own / "mine.zip").unlink()
        own_data(own)
    dataset = open_dataset("small")
    assert {path: (dataset.root / path).read_bytes() for path in dataset.photos["path"]} == PHOTOS
    assert dataset.root.is_relative_to(own) is not packed and server.asked == []


def test_copy_that_is_not_quite_one_is_passed_over_and_told(small, server, own_data, tmp_path):
    fewer = dict(list(PHOTOS.items())[1:])
    write_zip(tmp_path / "fewer.zip", fewer)
    (tmp_path / "half.zip").write_bytes((tmp_path / "fewer.zip").read_bytes()[:900])
    server.files.clear()
    own_data(tmp_path / "fewer.zip", tmp_path / "half.zip")
    with pytest.raises(WastebookError) as caught:
        open_dataset("small")
    assert "fewer.zip has 7 photos, not Small's 8" in str(caught.value)
    assert "half.zip is no zip, or broken or half copied" in str(caught.value)
    assert "127.0.0.1: 404 Not Found" in str(caught.value)


def test_same_sizes_with_other_content_are_refused(small, own_data, tmp_path):
    write_zip(tmp_path / "other.zip", PHOTOS | {"glass/glass0.jpg": os.urandom(500)})
    own_data(tmp_path / "other.zip")
    with pytest.raises(WastebookError, match=r"lacks photos of Small, or has others.*\n.*by their path"):
        open_dataset("small")


def test_partial_copy_is_enough_where_the_card_says_so(small, own_data, tmp_path):
    small |= {"partial": True, "photos": 100}
    del small["fingerprint"], small["bytes"]
    write_zip(tmp_path / "some.zip", PHOTOS)
    own_data(tmp_path / "some.zip")
    assert len(open_dataset("small").photos) == 8


@pytest.mark.parametrize("name", ["/glass/outside.jpg", "C:\\glass/outside.jpg", "glass/../../outside.jpg"])
def test_nothing_is_written_outside(small, own_data, tmp_path, name):
    write_zip(
        tmp_path / "unsafe.zip", {f"./{name}": content for name, content in PHOTOS.items()} | {name: b"x"}
    )
    own_data(tmp_path / "unsafe.zip")
    assert len(open_dataset("small").photos) == 8
    assert not list(tmp_path.rglob("*outside.jpg"))


def test_zip_that_breaks_inside_leaves_nothing(small, own_data, tmp_path):
    write_zip(tmp_path / "broken.zip", PHOTOS)
    content = bytearray((tmp_path / "broken.zip").read_bytes())
    content[600] ^= 255
    (tmp_path / "broken.zip").write_bytes(content)
    own_data(tmp_path / "broken.zip")
    with pytest.raises(WastebookError, match=r"broken\.zip is no zip, or broken"):
        open_dataset("small")
    assert not [file for file in cache_folder("datasets").iterdir() if file.suffix != ".lock"]


def test_kaggle_cache_is_used_without_a_connection(tmp_path):
    folder = tmp_path / "kaggle/datasets/techsash/waste-classification-data"
    for split, letter, number in [("TRAIN", "O", 1), ("TRAIN", "R", 1), ("TEST", "O", 2), ("TEST", "R", 2)]:
        file = folder / f"versions/1/DATASET/{split}/{letter}/{letter}_{number}.jpg"
        file.parent.mkdir(parents=True)
        file.write_bytes(b"not a picture")
    (folder / "1.complete").touch()
    photos = open_dataset("waste-classification").photos
    assert photos[["label", "split"]].agg(" ".join, axis=1).tolist() == [
        "organic test", "recyclable test", "organic train", "recyclable train",
    ]  # fmt: skip
    assert (photos[["width", "height"]] == 0).all(axis=None)
