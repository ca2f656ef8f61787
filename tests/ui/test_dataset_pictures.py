"""Thumbnails of datasets without a run: what was offered is shown, nothing else, nothing outside the folder."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from explored import make_dataset
from PIL import Image
from starlette.applications import Starlette
from starlette.testclient import TestClient

from covidviz.data.manifest import Manifest, load_manifest
from covidviz.ui import dataset_pictures
from covidviz.ui.components.dataset import examples, rows
from covidviz.ui.routes import ROUTES


@pytest.fixture
def manifest(folders: Path) -> Manifest:
    return load_manifest(make_dataset(folders / "data" / "noise", n=36))


@pytest.fixture
def client() -> TestClient:
    return TestClient(Starlette(routes=ROUTES), base_url="http://127.0.0.1")


def offered(manifest: Manifest, count: int = 3) -> tuple[str, list[str]]:
    chosen = manifest.samples.head(count)
    paths = dict(zip(chosen["sample_id"], chosen["path"], strict=True))
    return dataset_pictures.offer(manifest.root, paths, 1), list(paths)


def test_an_offered_image_is_shown_small(client: TestClient, manifest: Manifest) -> None:
    word, ids = offered(manifest)
    answer = client.get(f"/dataset/{word}/{ids[0]}.webp")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "image/webp"
    assert answer.headers["cross-origin-resource-policy"] == "same-origin"
    assert max(Image.open(io.BytesIO(answer.content)).size) <= 160


def test_an_offered_image_is_shown_larger(client: TestClient, manifest: Manifest) -> None:
    path = manifest.samples["path"][2]  # 300 x 200 pixels
    word = dataset_pictures.offer(manifest.root, {"one": path}, 1)
    answer = client.get(f"/dataset/{word}/one.f.webp")
    assert Image.open(io.BytesIO(answer.content)).size == Image.open(manifest.root / path).size
    assert client.get(f"/dataset/{word}/two.f.webp").status_code == 404


def test_what_was_not_offered_is_not_there(client: TestClient, manifest: Manifest) -> None:
    word, ids = offered(manifest)
    other = manifest.samples["sample_id"].iloc[-1]
    strange = [f"{other}.webp", f"{ids[0]}.png", "..%2f..%2fetc.webp", "%00.webp", ""]
    for path in (f"{'0' * 24}/{ids[0]}.webp", *(f"{word}/{name}" for name in strange)):
        assert client.get(f"/dataset/{path}").status_code == 404, path


def test_nothing_outside_the_folder(client: TestClient, manifest: Manifest, tmp_path: Path) -> None:
    secret = tmp_path / "secret.png"
    Image.new("L", (9, 9)).save(secret)
    (manifest.root / "link.png").symlink_to(secret)
    word = dataset_pictures.offer(manifest.root, {"up": "../../secret.png", "link": "link.png", "abs": str(secret)}, 2)
    for name in ("up", "link", "abs"):
        assert client.get(f"/dataset/{word}/{name}.webp").status_code == 404, name


def test_a_broken_image_is_missing(client: TestClient, manifest: Manifest) -> None:
    word, ids = offered(manifest)
    (manifest.root / manifest.samples["path"].iloc[0]).write_text("no image")
    assert client.get(f"/dataset/{word}/{ids[0]}.webp").status_code == 404


def test_another_host_name_is_refused(manifest: Manifest) -> None:
    word, ids = offered(manifest)
    stranger = TestClient(Starlette(routes=ROUTES), base_url="http://evil.test")
    assert stranger.get(f"/dataset/{word}/{ids[0]}.webp").status_code == 403


def test_another_version_of_the_folder_is_another_word(manifest: Manifest) -> None:
    assert dataset_pictures.offer(manifest.root, {}, 1) == dataset_pictures.offer(manifest.root, {}, 1)
    assert dataset_pictures.offer(manifest.root, {}, 1) != dataset_pictures.offer(manifest.root, {}, 2)


def test_old_datasets_are_forgotten(tmp_path: Path) -> None:
    words = [dataset_pictures.offer(tmp_path / str(i), {"a": "a.png"}, 1) for i in range(dataset_pictures.MOST + 1)]
    assert words[0] not in dataset_pictures._offered
    assert words[-1] in dataset_pictures._offered


def test_examples_are_training_images_of_their_class(manifest: Manifest) -> None:
    frame = manifest.samples.set_index("sample_id")
    for name, ids in examples(manifest).items():
        assert len(ids) == len(set(ids)) == 4
        assert (frame.loc[ids, "split"] == "train").all()
        assert (frame.loc[ids, f"label_{name}"] == 1).all()
    assert rows(manifest)["totals"] == [12, 12, 12]


def test_an_example_of_several_labels_shows_one_alone_where_there_is_one(folders: Path) -> None:
    folder = make_dataset(folders / "data" / "multi", n=18)
    lines = (folder / "labels.csv").read_text().splitlines()
    both = [line.replace(",covid19,", ",covid19|pneumonia,") if i % 2 else line for i, line in enumerate(lines)]
    (folder / "labels.csv").write_text("\n".join(both) + "\n")
    manifest = load_manifest(folder, task="multi-label")
    frame = manifest.samples.set_index("sample_id")
    labels = [f"label_{name}" for name in manifest.classes]
    for ids in examples(manifest).values():
        assert (frame.loc[ids, labels].sum(axis=1) == 1).all()
