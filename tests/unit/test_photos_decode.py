"""Reading photos: whatever the file is, the right pixels or a reason."""

import io
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from wastebook.photos.decode import (
    LARGEST,
    PhotoError,
    decode_photos,
    open_photo,
    parallel_map,
    read_photo,
    resize_antialiased,
)
from wastebook.photos.quality import check_photos, readable_photos

RED, GREEN, BLUE, GREY = (220, 30, 20), (20, 200, 40), (30, 20, 230), (128, 128, 128)


@pytest.fixture(scope="module")
def quarters():
    """A picture whose four quarters tell which way up it is, and which colour is which."""
    picture = np.zeros((60, 80, 3), np.uint8)
    picture[:30, :40], picture[:30, 40:], picture[30:, :40], picture[30:, 40:] = RED, GREEN, BLUE, GREY
    return picture


def corners(photo):
    height, width = photo.shape[:2]
    return [photo[y, x].astype(int) for y in (height // 4, -height // 4) for x in (width // 4, -width // 4)]


def assert_upright(photo, tolerance=12):
    assert photo.dtype == np.uint8
    assert photo.shape == (60, 80, 3)
    assert np.abs(np.array(corners(photo)) - [RED, GREEN, BLUE, GREY]).max() <= tolerance


@pytest.mark.parametrize("suffix", ["jpg", "png", "bmp", "gif", "tif", "webp"])
def test_formats(quarters, tmp_path, suffix):
    Image.fromarray(quarters).save(tmp_path / f"a.{suffix}", **({} if suffix == "gif" else {"quality": 95}))
    assert_upright(read_photo(tmp_path / f"a.{suffix}"))


@pytest.mark.parametrize("mode", ["P", "CMYK", "RGBA", "YCbCr"])
def test_modes(quarters, tmp_path, mode):
    suffix = {"P": "png", "RGBA": "png"}.get(mode, "jpg")
    Image.fromarray(quarters).convert(mode, palette=Image.Palette.ADAPTIVE).save(tmp_path / f"a.{suffix}")
    assert_upright(read_photo(tmp_path / f"a.{suffix}"))


TURNED = [
    None,
    "FLIP_LEFT_RIGHT",
    "ROTATE_180",
    "FLIP_TOP_BOTTOM",
    "TRANSPOSE",
    "ROTATE_90",
    "TRANSVERSE",
    "ROTATE_270",
]


@pytest.mark.parametrize("suffix", ["jpg", "png"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(quarters, tmp_path, orientation, suffix):
    picture = Image.fromarray(quarters)
    if turn := TURNED[orientation - 1]:
        picture = picture.transpose(Image.Transpose[turn])
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture.save(tmp_path / f"a.{suffix}", exif=exif, quality=95)
    assert_upright(read_photo(tmp_path / f"a.{suffix}"))


def test_plain_jpegs_come_as_from_pillow(sample):
    files = [sample.root / path for path in sample.photos["path"][::60]]
    for photo, file in zip(map(read_photo, files), files, strict=True):
        assert np.abs(photo.astype(int) - np.asarray(Image.open(file).convert("RGB"))).max() <= 1


def test_sixteen_bits_keep_their_upper_byte(tmp_path):
    values = np.linspace(0, 65535, 256, dtype=np.uint16).reshape(16, 16)
    Image.fromarray(values).save(tmp_path / "a.png")
    photo = read_photo(tmp_path / "a.png")
    assert (photo == (values >> 8)[:, :, None]).all()


@pytest.mark.fault("damaged photos", "TIFFs of 32 bits a value", "refused: their range is not known")
@pytest.mark.parametrize("kind", ["float32", "int32"])
def test_thirty_two_bits_have_no_known_range(tmp_path, kind):
    Image.fromarray(np.full((8, 8), 200, kind)).save(tmp_path / "a.tif")
    with pytest.raises(PhotoError, match="32 bits a value have no known range: save it with 8 or 16"):
        read_photo(tmp_path / "a.tif")


def test_transparent_is_white(tmp_path):
    picture = Image.new("RGBA", (8, 8), (0, 0, 0, 0))
    picture.putpixel((0, 0), (10, 20, 30, 255))
    picture.save(tmp_path / "a.png")
    photo = read_photo(tmp_path / "a.png")
    assert photo[0, 0].tolist() == [10, 20, 30] and (photo[1:] == 255).all()


def test_grey_and_one_pixel_and_first_frame(tmp_path):
    Image.new("L", (1, 1), 77).save(tmp_path / "a.jpg")
    assert read_photo(tmp_path / "a.jpg").tolist() == [[[77, 77, 77]]]
    frames = [Image.new("RGB", (9, 9), colour) for colour in (RED, GREEN)]
    frames[0].save(tmp_path / "b.gif", save_all=True, append_images=frames[1:])
    assert read_photo(tmp_path / "b.gif")[4, 4].tolist() == list(RED)


def huge_png(side=int(LARGEST**0.5) + 2000):
    """The header of a picture, far larger than is read unless a side is given, and no pixels."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b""))
        + chunk(b"IEND", b"")
    )


@pytest.fixture(scope="module")
def mess(tmp_path_factory, quarters):
    """A folder with one of everything, and what should be said of each file."""
    root = tmp_path_factory.mktemp("mess")
    textured = np.random.default_rng(0).integers(0, 255, (60, 80, 3)).astype(np.uint8)
    saved = {}
    for format in ("JPEG", "PNG"):
        content = io.BytesIO()
        Image.fromarray(textured).save(content, format)
        saved[format] = content.getvalue()
    white = io.BytesIO()
    Image.new("RGB", (60, 60), "white").save(white, "JPEG")
    dot = io.BytesIO()
    Image.new("RGB", (1, 1)).save(dot, "PNG")
    files = {
        "fine.jpg": (saved["JPEG"], None),
        "cut.jpg": (saved["JPEG"][: len(saved["JPEG"]) // 2], "truncated"),
        "cut.png": (saved["PNG"][: len(saved["PNG"]) // 2], "truncated"),
        "empty.jpg": (b"", "empty"),
        "text.jpg": (b"<html>not found</html>", "unreadable"),
        "zeros.jpg": (bytes(16_384) + saved["JPEG"], "unreadable"),
        "huge.png": (huge_png(), "huge"),
        "really a png.jpg": (saved["PNG"], "wrongly named"),
        "white.jpg": (white.getvalue(), "near-blank"),
        "dot.png": (dot.getvalue(), "tiny"),
    }
    for name, (content, _) in files.items():
        (root / name).write_bytes(content)
    return root, {name: problem for name, (_, problem) in files.items()}


def test_check_lists_every_problem_with_its_reason(mess):
    root, expected = mess
    photos = pd.DataFrame({"path": [*expected, "gone.jpg"], "sha256": [*expected, ""]})
    problems = check_photos(photos, root)
    found = dict(zip(problems["path"], problems["problem"], strict=True))
    assert found == {name: problem for name, problem in expected.items() if problem} | {
        "gone.jpg": "unreadable"
    }
    assert problems["detail"].str.len().gt(0).all()
    unusable = {"truncated", "empty", "unreadable", "huge"}
    assert (problems["readable"] == ~problems["problem"].isin(unusable)).all()
    assert "zero bytes" in problems.set_index("path").loc["zeros.jpg", "detail"]
    left = readable_photos(photos, problems)["path"]
    assert list(left) == ["fine.jpg", "really a png.jpg", "white.jpg", "dot.png"]


def test_nothing_wrong_gives_an_empty_table(mess):
    root, _ = mess
    photos = pd.DataFrame({"path": ["fine.jpg"], "sha256": ["fine"]})
    problems = check_photos(photos, root)
    assert list(problems) == ["path", "problem", "detail", "readable"] and problems.empty
    assert len(readable_photos(photos, problems)) == 1


@pytest.mark.parametrize("name", ["cut.jpg", "empty.jpg", "huge.png", "gone.jpg"])
def test_errors_name_the_file(mess, name):
    with pytest.raises(PhotoError, match=name.replace(".", r"\.")):
        read_photo(mess[0] / name)


def test_a_limit_may_be_given(mess):
    with pytest.raises(PhotoError, match="huge"):
        read_photo(mess[0] / "fine.jpg", largest=60 * 80 - 1)
    assert read_photo(mess[0] / "fine.jpg", largest=60 * 80).shape == (60, 80, 3)


def test_nothing_is_set_for_others_on_import():
    code = "import wastebook.photos.decode; from PIL import Image; print(2 * Image.MAX_IMAGE_PIXELS)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) in range(LARGEST - 1, LARGEST + 2)  # Pillow's own


@pytest.mark.filterwarnings("error")
def test_pillow_does_not_warn_of_what_this_limit_is_for():
    assert open_photo(Path("108.png"), content=huge_png(10_392))[1].size == (10_392, 10_392)
    for side in (10_392, int(LARGEST**0.5) + 1, 40_000):
        with pytest.raises(PhotoError, match="huge: it has more than"):
            open_photo(Path("huge.png"), min(LARGEST, side**2 - 1), huge_png(side))


def test_resize_averages_where_it_shrinks(quarters):
    stripes = np.tile(np.array([0, 255], np.uint8)[None, :, None], (64, 32, 3))
    assert np.abs(resize_antialiased(stripes, (16, 16)).astype(int) - 127.5).max() < 35
    assert resize_antialiased(quarters, (60, 80)) is quarters
    assert_upright(resize_antialiased(resize_antialiased(quarters, (30, 40)), (60, 80)))


def test_decode_photos_keeps_the_order_and_the_size(sample):
    files = [sample.root / path for path in sample.photos["path"][:20]]
    photos = list(decode_photos(files, size=(30, 50)))
    assert [photo.shape for photo in photos] == [(30, 50, 3)] * 20
    for photo, file in zip(photos[::7], files[::7], strict=True):
        assert abs(photo.mean() - read_photo(file).mean()) < 2


def test_parallel_map_runs_only_a_little_ahead():
    started = []
    results = parallel_map(lambda number: started.append(number) or number, range(1000))
    assert [next(results) for _ in range(5)] == list(range(5))
    assert len(started) < 300
    results.close()


@pytest.mark.fault("damaged photos", "memory that runs out while a photo is read", "told, and not remembered")
@pytest.mark.parametrize("of", [MemoryError(), cv2.error("Insufficient memory")])
def test_too_little_memory_is_not_the_photos_fault(tmp_path, quarters, monkeypatch, of):
    Image.fromarray(quarters).save(tmp_path / "a.png")
    photos = pd.DataFrame({"path": ["a.png"], "sha256": [repr(of)]})
    if isinstance(of, cv2.error):
        of.code = cv2.Error.StsNoMem

    def fail(*_):
        raise of

    monkeypatch.setattr("wastebook.photos.decode._decode", fail)
    with pytest.raises(MemoryError, match=r"Not enough memory for .*a.png"):
        check_photos(photos, tmp_path)
    monkeypatch.undo()
    assert check_photos(photos, tmp_path).empty


def jpeg(picture, **options):
    content = io.BytesIO()
    Image.fromarray(picture).save(content, "JPEG", quality=90, **options)
    return content.getvalue()


@pytest.fixture(scope="module")
def textured():
    rough = np.random.default_rng(1).integers(0, 255, (30, 40, 3)).astype(np.uint8)
    return np.array(Image.fromarray(rough).resize((160, 120), Image.Resampling.BICUBIC))


@pytest.mark.fault(
    "damaged photos", "JPEGs cut at many places, with and without an end mark put behind", "truncated"
)
@pytest.mark.parametrize("end", [b"", b"\xff\xd9"])
@pytest.mark.parametrize("share", [0.3, 0.5, 0.7, 0.9, 0.97])
def test_a_jpeg_that_is_cut_is_no_photo_whatever_its_end(textured, tmp_path, share, end):
    whole = jpeg(textured)
    (tmp_path / "a.jpg").write_bytes(whole[: int(share * len(whole))] + end)
    with pytest.raises(PhotoError, match="truncated"):
        read_photo(tmp_path / "a.jpg")


@pytest.mark.parametrize("options", [{}, {"progressive": True}])
def test_a_jpeg_without_its_end_mark_alone_is_read(textured, options):
    whole = jpeg(textured, **options)
    assert (read_photo(Path("a.jpg"), content=whole[:-2]) == read_photo(Path("a.jpg"), content=whole)).all()


BROKEN_EXIF = (
    b"Exif\0\0II*\0" + struct.pack("<IHHHIHH", 8, 2, 0x0112, 3, 1, 6, 0)
    + struct.pack("<HHIIIii", 0x011A, 10, 1, 38, 0, -1, 0)
)  # fmt: skip


@pytest.mark.fault("damaged photos", "metadata that cannot be read", "the photo is read, with a remark")
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
@pytest.mark.parametrize(("exif", "turned"), [(BROKEN_EXIF, True), (b"\0\x08\0\x02\x01\x12\0\x03", False)])
def test_broken_metadata_do_not_end_a_photo(quarters, tmp_path, suffix, exif, turned):
    Image.fromarray(quarters).save(tmp_path / f"a.{suffix}", exif=exif)
    with (tmp_path / f"a.{suffix}").open("ab") as file:
        file.write(b"\0\0\0\x18ftypmp42 a phone's film" if suffix == "jpg" else b"")
    assert read_photo(tmp_path / f"a.{suffix}").shape == ((80, 60, 3) if turned else (60, 80, 3))


@pytest.mark.fault("damaged photos", "PostScript called .jpg", "not opened: it would start another program")
def test_postscript_is_no_photo(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n")
    with pytest.raises(PhotoError, match="no picture in a format"):
        read_photo(tmp_path / "a.jpg")


@pytest.mark.fault("damaged photos", "a pipe or a device called .jpg", "told, not waited for")
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such files")
def test_what_is_no_file_is_not_read(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "zero.jpg").symlink_to("/dev/zero")
    for name in ("pipe.jpg", "zero.jpg"):
        with pytest.raises(PhotoError, match="no ordinary file"):
            read_photo(tmp_path / name)


@pytest.mark.fault("damaged photos", "HEIC without pillow-heif", "told which package reads it")
def test_heic_names_its_package(tmp_path, monkeypatch):
    monkeypatch.setattr("wastebook.photos.decode.readable_formats", lambda: ("JPEG",))
    (tmp_path / "a.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    with pytest.raises(PhotoError, match="pip install pillow-heif"):
        read_photo(tmp_path / "a.heic")
