"""Any file becomes one grey image, broken ones become one sentence."""

from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, RLELossless

from covidviz.data import images
from covidviz.data.images import check_readable, decode, inspect, read_image
from covidviz.errors import DataError

RAMP = np.tile(np.linspace(0, 255, 32).astype(np.uint8), (24, 1))


def pixels(path: Path) -> np.ndarray:
    image = read_image(path)
    assert image.mode == "L"
    return np.asarray(image)


def saved(path: Path, image: Image.Image, **options: object) -> Path:
    image.save(path, **options)  # type: ignore[arg-type]
    return path


# ---- modes and formats


def test_grey_is_left_as_it_is(tmp_path: Path) -> None:
    for name in ("a.png", "a.bmp", "a.tif"):
        assert (pixels(saved(tmp_path / name, Image.fromarray(RAMP))) == RAMP).all()


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_png_modes(tmp_path: Path, mode: str) -> None:
    if mode == "I;16":
        image = Image.fromarray(RAMP.astype(np.uint16) * 257)
    else:
        image = Image.fromarray(RAMP).convert(mode)
    read = pixels(saved(tmp_path / "a.png", image))
    if mode == "1":
        assert set(np.unique(read)) == {0, 255}
    else:
        assert np.abs(read.astype(int) - RAMP).max() <= 1


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_jpeg_modes(tmp_path: Path, mode: str) -> None:
    image = Image.fromarray(RAMP).convert("RGB").convert(mode)
    read = pixels(saved(tmp_path / "a.jpg", image, quality=95))
    assert np.abs(read.astype(int) - RAMP).max() <= 6


@pytest.mark.parametrize(("mode", "scale"), [("I;16", 3), ("I", 1000), ("F", 0.25)])
def test_deep_tiff_is_scaled_from_darkest_to_brightest(tmp_path: Path, mode: str, scale: float) -> None:
    kind = {"I;16": np.uint16, "I": np.int32, "F": np.float32}[mode]
    offset = 500 if mode == "I;16" else -70
    image = Image.fromarray((RAMP.astype(float) * scale + offset).astype(kind))
    assert image.mode == mode
    assert np.abs(pixels(saved(tmp_path / "a.tiff", image)).astype(int) - RAMP).max() <= 1


@settings(max_examples=40, deadline=None)
@given(values=st.lists(st.integers(0, 65535), min_size=2, max_size=40))
def test_sixteen_bits_keep_their_order(tmp_path_factory: pytest.TempPathFactory, values: list[int]) -> None:
    deep = np.array([values], np.uint16)
    read = pixels(saved(tmp_path_factory.mktemp("deep") / "a.png", Image.fromarray(deep)))[0].astype(int)
    order = np.argsort(deep[0], kind="stable")
    assert (np.diff(read[order]) >= 0).all()
    if len(set(values)) > 1:
        assert (read.min(), read.max()) == (0, 255)
    else:
        assert (read == 0).all()


def test_floats_that_are_no_numbers(tmp_path: Path) -> None:
    image = np.array([[0.0, 1.0, np.nan, np.inf, -np.inf]], np.float32)
    assert pixels(saved(tmp_path / "a.tif", Image.fromarray(image))).tolist() == [[0, 255, 0, 255, 0]]


def test_transparent_parts_are_black(tmp_path: Path) -> None:
    rgba = np.full((4, 4, 4), 255, np.uint8)
    rgba[:2, :, 3] = 0
    read = pixels(saved(tmp_path / "a.png", Image.fromarray(rgba)))
    assert (read[:2] == 0).all()
    assert (read[2:] == 255).all()
    palette = Image.new("P", (2, 1))
    palette.putpalette([200, 200, 200, 90, 90, 90])
    palette.putdata([0, 1])
    assert pixels(saved(tmp_path / "p.png", palette, transparency=0)).tolist() == [[0, 90]]
    grey = Image.fromarray(np.array([[7, 80]], np.uint8))
    assert pixels(saved(tmp_path / "l.png", grey, transparency=80)).tolist() == [[7, 0]]


def test_colour_is_luminance(tmp_path: Path) -> None:
    red = Image.new("RGB", (2, 2), (255, 0, 0))
    assert pixels(saved(tmp_path / "a.png", red)).tolist() == [[76, 76], [76, 76]]


def test_content_decides_not_the_extension(tmp_path: Path) -> None:
    for name, kind in (("a.jpg", "WEBP"), ("b.png", "WEBP"), ("c.png", "JPEG"), ("d.jpeg", "PNG"), ("e.webp", "WEBP")):
        assert pixels(saved(tmp_path / name, Image.fromarray(RAMP), format=kind)).shape == RAMP.shape


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(tmp_path: Path, orientation: int) -> None:
    image = np.zeros((16, 32), np.uint8)
    image[:8, :16] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    read = pixels(saved(tmp_path / "a.png", Image.fromarray(image), exif=exif))
    assert read.shape == ((16, 32) if orientation <= 4 else (32, 16))
    bright = {1: (0, 0), 2: (0, -1), 3: (-1, -1), 4: (-1, 0), 5: (0, 0), 6: (0, -1), 7: (-1, -1), 8: (-1, 0)}
    corners = {(y, x) for y in (0, -1) for x in (0, -1) if read[y, x] == 255}
    assert corners == {bright[orientation]}


# ---- DICOM


def dicom(path: Path, array: np.ndarray, *, preamble: bool = True, **tags: object) -> Path:
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    data.SOPClassUID, data.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.1.1", "1.2.3"
    data.Rows, data.Columns = array.shape[:2]
    data.SamplesPerPixel = 3 if array.ndim == 3 else 1
    data.BitsAllocated = data.BitsStored = array.dtype.itemsize * 8
    data.HighBit = data.BitsStored - 1
    data.PixelRepresentation = int(array.dtype.kind == "i")
    data.PhotometricInterpretation = "RGB" if array.ndim == 3 else "MONOCHROME2"
    if array.ndim == 3:
        data.PlanarConfiguration = 0
    for tag, value in tags.items():
        setattr(data, tag, value)
    data.PixelData = array.tobytes()
    data.save_as(path, enforce_file_format=True)
    if not preamble:
        path.write_bytes(path.read_bytes()[132:])
    return path


def test_eight_bit_dicom_is_left_as_it_is(tmp_path: Path) -> None:
    assert (pixels(dicom(tmp_path / "a.dcm", RAMP)) == RAMP).all()
    assert (pixels(dicom(tmp_path / "b.dicom", RAMP, preamble=False)) == RAMP).all()
    assert (pixels(dicom(tmp_path / "named_otherwise.png", RAMP)) == RAMP).all()


def test_monochrome1_is_inverted(tmp_path: Path) -> None:
    assert (pixels(dicom(tmp_path / "a.dcm", RAMP, PhotometricInterpretation="MONOCHROME1")) == 255 - RAMP).all()


def test_twelve_bit_dicom_is_scaled(tmp_path: Path) -> None:
    deep = RAMP.astype(np.uint16) * 16
    read = pixels(dicom(tmp_path / "a.dcm", deep, BitsStored=12, HighBit=11))
    assert np.abs(read.astype(int) - RAMP).max() <= 1


def test_a_deflated_dicom_is_read_and_one_that_would_fill_the_memory_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = dicom(tmp_path / "plain.dcm", RAMP)
    data = pydicom.dcmread(plain)
    data.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    data.save_as(tmp_path / "packed.dcm", enforce_file_format=True)
    packed = (tmp_path / "packed.dcm").read_bytes()
    assert (pixels(tmp_path / "packed.dcm") == RAMP).all()
    start = 144 + int(pydicom.dcmread(tmp_path / "packed.dcm").file_meta.FileMetaInformationGroupLength)
    body = zlib.decompress(packed[start:], -zlib.MAX_WBITS)
    pack = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    zeros = 3_000_000
    bomb = pack.compress(body + struct.pack("<HH2sHI", 0x7FE1, 0x1010, b"OB", 0, zeros) + bytes(zeros)) + pack.flush()
    (tmp_path / "bomb.dcm").write_bytes(packed[:start] + bomb)
    (tmp_path / "bare.dcm").write_bytes(packed[132:start] + bomb)  # without the preamble
    assert (pixels(tmp_path / "bomb.dcm") == RAMP).all()  # not too much yet
    monkeypatch.setattr(images, "MAX_UNPACKED", 2_000_000)
    for name in ("bomb.dcm", "bare.dcm"):
        with pytest.raises(DataError, match=f"{name} holds more than 2 MB"):
            read_image(tmp_path / name)
    assert (pixels(tmp_path / "packed.dcm") == RAMP).all()


@pytest.mark.parametrize("bad", [[], [np.nan], [np.nan, np.inf, -np.inf]])
def test_scaling_some_rows_at_a_time_is_scaling_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bad: list[float]
) -> None:
    values = np.random.default_rng(0).normal(50, 900, (37, 23)).astype(np.float32)
    values.flat[: len(bad)] = bad
    values[10:12] = bad[0] if bad else 3  # whole parts of it
    whole = pixels(saved(tmp_path / "a.tif", Image.fromarray(values)))
    finite = values[np.isfinite(values)].astype(np.float64)
    shown = (np.nan_to_num(values.astype(np.float64), nan=finite.min(), posinf=finite.max(), neginf=finite.min())
             - finite.min()) / (finite.max() - finite.min())  # fmt: skip
    assert (whole == np.rint(255 * shown)).mean() > 0.99
    monkeypatch.setattr(images, "PART", 40)
    assert (pixels(tmp_path / "a.tif") == whole).all()


def test_window_and_rescale(tmp_path: Path) -> None:
    deep = np.array([[0, 1000, 1500, 2000, 4000]], np.uint16)
    tags = {"RescaleSlope": "2", "RescaleIntercept": "-1000", "WindowCenter": "2000", "WindowWidth": "2001"}
    read = pixels(dicom(tmp_path / "a.dcm", deep, BitsStored=12, HighBit=11, **tags))[0]
    assert read[0] == read[1] == 0, "below the window"
    assert read[3] == read[4] == 255, "above the window"
    assert abs(int(read[2]) - 127) <= 1


def test_signed_and_colour_dicom(tmp_path: Path) -> None:
    read = pixels(dicom(tmp_path / "a.dcm", np.array([[-1000, 0, 1000]], np.int16)))
    assert read.tolist() == [[0, 128, 255]]
    red = np.zeros((2, 2, 3), np.uint8)
    red[..., 0] = 255
    assert pixels(dicom(tmp_path / "b.dcm", red)).tolist() == [[76, 76], [76, 76]]


def test_compressed_dicom(tmp_path: Path) -> None:
    path = dicom(tmp_path / "a.dcm", RAMP)
    data = pydicom.dcmread(path)
    data.compress(RLELossless)
    data.save_as(path)
    assert (pixels(path) == RAMP).all()


def test_first_frame_of_a_series(tmp_path: Path) -> None:
    frames = np.stack([RAMP, 255 - RAMP])
    path = dicom(tmp_path / "a.dcm", RAMP, NumberOfFrames=2)
    data = pydicom.dcmread(path)
    data.PixelData = frames.tobytes()
    data.save_as(path)
    assert (pixels(path) == RAMP).all()


# ---- broken files


def refused(path: Path, match: str) -> None:
    with pytest.raises(DataError, match=match) as caught:
        read_image(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_broken_files_are_named(tmp_path: Path) -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8))
    for name in ("a.png", "a.jpg", "a.webp", "a.bmp", "a.tif"):
        whole = saved(tmp_path / name, noise).read_bytes()
        (tmp_path / name).write_bytes(whole[: len(whole) // 2])
        refused(tmp_path / name, "can't be decoded|is no image")
    (tmp_path / "empty.png").touch()
    refused(tmp_path / "empty.png", r"is empty \(0 bytes\)")
    (tmp_path / "text.jpg").write_text("version https://git-lfs.github.com/spec/v1")
    refused(tmp_path / "text.jpg", "is no image that can be read, accepted: PNG, JPEG")
    refused(tmp_path / "gone.png", "does not exist")
    (tmp_path / "folder.png").mkdir()
    refused(tmp_path / "folder.png", "can't be decoded")


def test_corrupt_png_is_named(tmp_path: Path) -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8))
    broken = bytearray(saved(tmp_path / "a.png", noise).read_bytes())
    broken[len(broken) // 2] ^= 255
    (tmp_path / "a.png").write_bytes(broken)
    refused(tmp_path / "a.png", "can't be decoded")


def test_broken_dicom_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.dcm").write_bytes(b"not a dicom file at all")
    refused(tmp_path / "a.dcm", "is no DICOM image|can't be decoded")
    path = dicom(tmp_path / "b.dcm", RAMP)
    path.write_bytes(path.read_bytes()[:-200])
    refused(path, "can't be decoded")
    data = pydicom.dcmread(dicom(tmp_path / "c.dcm", RAMP))
    del data.PixelData
    data.save_as(tmp_path / "c.dcm")
    refused(tmp_path / "c.dcm", "has no pixel data")


@pytest.mark.filterwarnings("ignore")
def test_bombs_are_refused_before_they_are_decoded(tmp_path: Path) -> None:
    side = 20_000
    whole = saved(tmp_path / "a.png", Image.fromarray(RAMP)).read_bytes()
    for width, height in ((side, side), (10_001, 10_000)):
        header = b"IHDR" + struct.pack(">II", width, height) + whole[24:29]
        (tmp_path / "a.png").write_bytes(whole[:12] + header + struct.pack(">I", zlib.crc32(header)) + whole[33:])
        refused(tmp_path / "a.png", "more than 100 million pixels")
    refused(dicom(tmp_path / "c.dcm", RAMP, Rows=side, Columns=side), "more than 100 million pixels")


@settings(max_examples=60, deadline=None)
@given(cut=st.integers(0, 400), flips=st.lists(st.tuples(st.integers(0, 399), st.integers(1, 255)), max_size=4))
@pytest.mark.filterwarnings("ignore")
def test_damage_never_raises_anything_else(
    tmp_path_factory: pytest.TempPathFactory, cut: int, flips: list[tuple[int, int]]
) -> None:
    folder = tmp_path_factory.mktemp("damage")
    for name in ("a.png", "a.jpg", "a.tif", "a.dcm"):
        path = folder / name
        if name == "a.dcm":
            dicom(path, RAMP)
        else:
            Image.fromarray(RAMP).save(path)
        content = bytearray(path.read_bytes()[:cut])
        for at, mask in flips:
            if at < len(content):
                content[at] ^= mask
        path.write_bytes(content)
        outcome = "L"
        try:
            outcome = read_image(path).mode
        except DataError as error:
            outcome = str(error)
        assert outcome == "L" or str(path) in outcome


# ---- many files


def test_decode_squashes_the_whole_image(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    names = []
    for i in range(20):
        array = rng.integers(0, 255, (40 + i, 90 - i), np.uint8)
        saved(tmp_path / f"{i}.png", Image.fromarray(array))
        names.append(f"{i}.png")
    (tmp_path / "7.png").write_bytes(b"")
    seen: list[tuple[int, int]] = []
    images, unreadable = decode(tmp_path, names, 32, on_progress=lambda done, n: seen.append((done, n)))
    assert images.shape == (20, 32, 32)
    assert images.dtype == np.uint8
    assert [index for index, _ in unreadable] == [7]
    assert "7.png" in unreadable[0][1]
    assert not images[7].any()
    for i in (0, 13, 19):
        plain = Image.open(tmp_path / names[i]).resize((32, 32), Image.Resampling.BILINEAR)
        assert (images[i] == np.asarray(plain)).all()
    assert seen == [(i, 20) for i in range(1, 21)]


def test_decode_stops_when_told(tmp_path: Path) -> None:
    saved(tmp_path / "a.png", Image.fromarray(RAMP))

    def stop(done: int, n: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        decode(tmp_path, ["a.png"] * 50, 32, on_progress=stop)


def test_decode_of_nothing() -> None:
    images, unreadable = decode(".", [], 64)
    assert images.shape == (0, 64, 64)
    assert unreadable == []


def test_check_readable() -> None:
    check_readable(100, [])
    check_readable(100, [("a.png", "a.png is empty (0 bytes)")])
    with pytest.raises(
        DataError, match=r"2 of 100 images can't be read, accepted: at most 1 % \(a\.png is empty; b\.png: x\)"
    ):
        check_readable(100, [("a.png", "a.png is empty"), ("b.png", "x")])
    with pytest.raises(DataError, match=r"none of the 4 images can be read .*; \.\.\."):
        check_readable(4, [(f"{i}.png", "x") for i in range(4)])
    with pytest.raises(DataError, match="none"):
        check_readable(0, [])


def test_inspect(tmp_path: Path) -> None:
    lines = ["path,label,split,patient_id"]
    for i in range(12):
        saved(tmp_path / f"{i}.png", Image.fromarray(RAMP))
        lines.append(f"{i}.png,{('normal', 'covid19')[i % 2]},{('train', 'val')[i // 6]},p{i // 2}")
    lines.append("u.png,,,")
    saved(tmp_path / "u.png", Image.fromarray(RAMP))
    (tmp_path / "labels.csv").write_text("\n".join(lines))
    (tmp_path / "3.png").write_bytes(b"broken")
    document = inspect(tmp_path)
    assert document["classes"] == ["covid19", "normal"]
    assert document["task"] == "single-label"
    assert document["splits"] == {
        "train": {"n": 5, "per_class": {"covid19": 2, "normal": 3}, "patients": 3},
        "val": {"n": 6, "per_class": {"covid19": 3, "normal": 3}, "patients": 3},
    }
    assert document["patients"] == 6
    assert {"path", "split", "label_covid19", "label_normal", "patient_id"} <= set(document["columns"])
    assert [entry["path"] for entry in document["unreadable"]] == ["3.png"]
    assert document["unlabelled"] == ["u.png"]
    with pytest.raises(DataError, match="does not exist"):
        inspect(tmp_path / "gone")


# ---- real files


@pytest.mark.realdata
def test_originals_are_all_read(test_data: Path) -> None:
    folder = test_data / "xray" / "originals"
    files = sorted(path for path in folder.iterdir() if path.suffix != ".csv")
    assert len(files) == 16
    for path in files:
        read = pixels(path)
        assert min(read.shape) > 100
        assert read.std() > 20, path.name


@pytest.mark.realdata
def test_real_dicoms(test_data: Path) -> None:
    folder = test_data / "xray" / "originals"
    assert len(list(folder.glob("*.dcm"))) == 4
    one, two = pixels(folder / "cr_chest_jpeg_monochrome1.dcm"), pixels(folder / "cr_chest_jpeg_monochrome2.dcm")
    assert (one == 255 - two).all(), "the two files differ in their tag only"
    assert pixels(folder / "large_4280x3520.jpeg").shape == (3520, 4280)


@pytest.mark.realdata
def test_a_sample_of_the_real_xrays_is_read(test_data: Path) -> None:
    from covidviz.data.manifest import load_manifest

    manifest = load_manifest(test_data / "xray")
    paths = manifest.samples["path"].tolist()[::40]
    images, unreadable = decode(manifest.root, paths, 64)
    assert unreadable == []
    assert (images.reshape(len(images), -1).std(axis=1) > 5).all()


def test_reading_needs_no_torch() -> None:
    code = "import sys, covidviz.data.images, covidviz.data.phantoms; print('torch' in sys.modules)"
    environment = {**os.environ, "PYTHONWARNINGS": "error"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.strip() == "False"


@pytest.mark.filterwarnings("ignore")
def test_a_damaged_exif_block_does_not_matter(tmp_path: Path) -> None:
    stream = io.BytesIO()
    Image.fromarray(RAMP).save(stream, "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    (tmp_path / "a.jpg").write_bytes(stream.getvalue())
    assert pixels(tmp_path / "a.jpg").shape == RAMP.shape
