"""The app's own addresses: the right pixels for the right name, and nothing else."""

from __future__ import annotations

import io
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from explored import finished_run, make_dataset
from PIL import Image
from starlette.applications import Starlette
from starlette.testclient import TestClient

from covidviz.explain.overlay import common_scale
from covidviz.paths import cache_dir
from covidviz.store import layout
from covidviz.store.reader import Run
from covidviz.ui import image_answers, pictures, routes
from covidviz.ui.routes import ROUTES


@pytest.fixture
def client() -> TestClient:
    return TestClient(Starlette(routes=ROUTES), base_url="http://127.0.0.1", raise_server_exceptions=False)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return make_dataset(tmp_path / "data" / "noise", 18)


@pytest.fixture
def run(runs: Path, data: Path) -> Run:
    return finished_run(runs, data)


def sample(run: Run, split: str = "val", row: int = 0) -> dict[str, str]:
    samples = run.samples()
    assert samples is not None
    return samples[samples["split"] == split].iloc[row].to_dict()


def pixels(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(content))


def test_a_full_picture_is_exact_and_a_thumbnail_is_small(client: TestClient, run: Run, data: Path) -> None:
    for row in range(3):  # wide, tall, and larger than a thumbnail
        one = sample(run, row=row)
        truth = np.asarray(Image.open(data / one["path"]))
        full = client.get(f"/img/{run.id}/{one['sample_id']}.f.webp?v=1")
        assert full.status_code == 200
        assert full.headers["content-type"] == "image/webp"
        assert np.array_equal(np.asarray(pixels(full.content).convert("L")), truth)
        thumb = pixels(client.get(f"/img/{run.id}/{one['sample_id']}.t.webp").content)
        assert max(thumb.size) <= 160
        assert thumb.width / thumb.height == pytest.approx(truth.shape[1] / truth.shape[0], rel=0.02)


def test_headers_let_the_browser_keep_pictures_and_no_other_site_show_them(client: TestClient, run: Run) -> None:
    for path in (
        f"/img/{run.id}/{sample(run)['sample_id']}.t.webp",
        f"/cam/{run.id}/{sample(run)['sample_id']}.bin",
    ):
        headers = client.get(path).headers
        assert headers["cache-control"] == "private, max-age=31536000, immutable"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cross-origin-resource-policy"] == "same-origin"


def maps(content: bytes) -> tuple[np.ndarray, np.ndarray]:
    """What `pictures.heat_maps` packed: scale [n, C], maps [n, C, h, w]."""
    n, c, h, w = np.frombuffer(content, "<u4", 4)
    scale = np.frombuffer(content, "<f4", n * c, 16).reshape(n, c)
    return scale, np.frombuffer(content, np.uint8, n * c * h * w, 16 + 4 * n * c).reshape(n, c, h, w)


def test_a_heat_map_is_that_of_its_sample_class_and_scale(client: TestClient, run: Run) -> None:
    test, train = [sample(run, "test", row)["sample_id"] for row in (2, 0)], sample(run, "train")["sample_id"]
    cams, val = run.cams("test"), run.cams("val")
    assert cams is not None
    assert val is not None
    scale, values = maps(client.get(f"/cam/{run.id}/{test[0]},{train},{test[1]}.bin?v=1").content)
    assert values.shape == (3, 3, 4, 4)
    full = common_scale(cams.scale, val.scale)
    for k, sample_id in ((0, test[0]), (2, test[1])):
        row = list(cams.sample_id).index(sample_id)
        assert np.abs(values[k] / 255 - cams.maps[row].astype(np.float32)).max() < 0.5 / 255 + 1e-3
        assert scale[k] == pytest.approx(cams.scale[row] / full)
    assert np.isnan(scale[1]).all()  # the training split has none


def test_the_second_time_comes_from_the_cache_and_a_changed_file_does_not(
    client: TestClient, run: Run, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = sample(run)
    address, before = f"/img/{run.id}/{one['sample_id']}.t.webp", pictures.file_key(run, one["sample_id"])
    first = client.get(address).content
    read = pictures.read_image
    monkeypatch.setattr(pictures, "read_image", lambda path: pytest.fail(f"decoded {path} again"))
    assert client.get(address).content == first
    assert not list(cache_dir().rglob("*.part"))
    monkeypatch.setattr(pictures, "read_image", read)
    Image.new("L", (50, 40), 200).save(data / one["path"])
    assert pixels(client.get(address).content).size == (50, 40)
    assert pictures.file_key(run, one["sample_id"]) != before


def test_a_cache_that_cant_be_written_costs_no_picture(
    client: TestClient, run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("COVIDVIZ_CACHE_DIR", str(tmp_path / "file"))
    assert client.get(f"/img/{run.id}/{sample(run)['sample_id']}.t.webp").status_code == 200


BAD_NAMES = (
    "x.f.webp", "../config.json", "..%2fconfig.json", "%2e%2e%2fconfig.json", "%00.f.webp", "config.json", ".f.webp",
    "a" * 300 + ".f.webp", "x.f.webp%0a", "x.f.png", "..%5c..%5cx.f.webp", "x/../../y.f.webp",
)  # fmt: skip


@pytest.mark.parametrize("name", BAD_NAMES)
def test_names_that_are_none(client: TestClient, run: Run, name: str) -> None:
    for route in ("img", "cam"):
        response = client.get(f"/{route}/{run.id}/{name}")
        assert response.status_code == 404
        assert "immutable" not in response.headers.get("cache-control", "")


@pytest.mark.parametrize(
    "run_id", ["..", "%2e%2e", "nope", ".trash", "20260101-000000-x-0000", "%00", "20260101-000000-x-0000/.."]
)
def test_runs_that_are_none(client: TestClient, run: Run, run_id: str) -> None:
    assert client.get(f"/img/{run_id}/{sample(run)['sample_id']}.t.webp").status_code == 404


def test_maps_that_were_not_logged(client: TestClient, run: Run) -> None:
    train, val = sample(run, "train")["sample_id"], sample(run)["sample_id"]
    assert client.get(f"/cam/{run.id}/{train}.bin").status_code == 404
    assert client.get(f"/cam/{run.id}/{','.join([val] * 65)}.bin").status_code == 404
    key = pictures.heat_key(run, "val")
    (run.dir / "cams/val.npz").write_bytes(b"PK broken")
    assert client.get(f"/cam/{run.id}/{val}.bin").status_code == 404
    assert pictures.heat_key(run, "val") != key
    assert pictures.heat_ids(run, "val") == frozenset()
    assert pictures.heat_ids(run, "test")


def test_a_list_brings_each_image_of_a_query_once(
    client: TestClient, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image_answers, "PER_PAGE", 4)
    address = f"/list/{run.id}?split=train&order=random&seed=5"
    ids = client.get(f"{address}&ids=1").json()["ids"]
    pages = [client.get(f"{address}&page={k}").json()["items"] for k in range(3)]
    assert [len(page) for page in pages] == [4, 2, 0]
    assert [item["id"] for page in pages for item in page] == ids
    known = run.samples()
    assert known is not None
    assert set(ids) == set(known.loc[known["split"] == "train", "sample_id"])
    assert client.get(f"{address}&page=-1").json() == client.get(f"{address}&page=0").json()
    assert client.get(f"{address}&page=0").headers["cache-control"] == "no-store"
    assert client.get("/list/20260101-000000-x-0000").status_code == 404
    (run.dir / layout.PREDICTIONS).unlink()
    (run.dir / layout.HISTORY).unlink()
    assert client.get(address).status_code == 404


def test_a_table_holds_the_chosen_images_in_their_order(client: TestClient, run: Run) -> None:
    known, said = run.samples(), run.predictions()
    assert known is not None
    assert said is not None
    ids = known["sample_id"].tolist()[::-3]
    answer = client.post(f"/export/{run.id}/csv", json={"ids": [*ids, "unknown"]})
    assert answer.headers["content-disposition"] == f'attachment; filename="{run.id}-images.csv"'
    frame = pd.read_csv(io.BytesIO(answer.content), dtype={"sample_id": str})
    assert frame["sample_id"].tolist() == ids
    assert set(frame["run"]) == {run.id}
    wanted = said.set_index("sample_id").loc[ids]
    for name in ("prob_covid19", "prob_normal", "prob_pneumonia", "loss"):
        assert frame[name].to_numpy() == pytest.approx(wanted[name].to_numpy(), rel=1e-5)
    labels = known.set_index("sample_id").loc[ids, ["label_covid19", "label_normal", "label_pneumonia", "path"]]
    assert frame[list(labels)].to_numpy().tolist() == labels.to_numpy().tolist()


def test_nothing_in_a_table_is_run_by_a_spreadsheet(client: TestClient, run: Run) -> None:
    samples = run.samples()
    assert samples is not None
    one = samples.index[0]
    samples["patient_id"] = samples["sample_id"]
    samples.loc[one, ["path", "patient_id"]] = ["=1+1.png", "\u00a0@SUM(A1)"]
    samples.to_parquet(run.dir / layout.SAMPLES)
    text = client.post(f"/export/{run.id}/csv", json={"ids": [samples.loc[one, "sample_id"]]}).content.decode()
    frame = pd.read_csv(io.StringIO(text), dtype=str)
    assert frame.loc[0, "path"] == "'=1+1.png"
    assert frame.loc[0, "patient_id"].startswith("'")
    assert not any(field.lstrip().startswith(("=", "+", "@")) for field in text.replace("\n", ",").split(","))


def test_a_contact_sheet_shows_the_chosen_images_with_their_maps(
    client: TestClient, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [sample(run, row=row)["sample_id"] for row in range(3)]

    def sheet(**heat: object) -> Image.Image:
        answer = client.post(f"/export/{run.id}/png", json={"ids": ids, "heat": heat, "title": "عنوان " * 60})
        assert answer.headers["content-type"] == "image/png"
        return pixels(answer.content).convert("RGB")

    plain = sheet()
    first = pixels(client.get(f"/img/{run.id}/{ids[0]}.t.webp").content).convert("RGB")
    left, top = 8 + (160 - first.width) // 2, 44 + (160 - first.height) // 2
    assert plain.crop((left, top, left + first.width, top + first.height)).tobytes() == first.tobytes()
    coloured = np.asarray(sheet(opacity=100, colours="viridis", own=True, label=1), dtype=int)
    assert np.ptp(np.asarray(plain, dtype=int)[60:180, 20:150], axis=2).max() <= 5  # its background
    assert np.ptp(coloured[60:180, 20:150], axis=2).max() > 40
    for odd in ({"opacity": "x", "colours": [], "label": -1}, {"opacity": 1000, "colours": "jet", "label": 99}):
        assert sheet(**odd).size == plain.size
    monkeypatch.setattr(image_answers, "SHEET_LIMIT", 1)
    assert sheet().height == plain.height


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"ids": 3}', b'{"ids": []}', b'{"ids": ["unknown"]}'])
def test_nothing_to_export(client: TestClient, run: Run, body: bytes) -> None:
    for kind in ("csv", "png"):
        assert client.post(f"/export/{run.id}/{kind}", content=body).status_code in (400, 404)


def test_exports_are_guarded(client: TestClient, run: Run, data: Path) -> None:
    body = {"ids": [sample(run)["sample_id"]]}
    assert client.post(f"/export/{run.id}/exe", json=body).status_code == 400
    assert client.post("/export/20260101-000000-x-0000/csv", json=body).status_code == 404
    assert client.get(f"/export/{run.id}/csv").status_code == 405
    assert client.post(f"/export/{run.id}/csv", json={"ids": ["x" * 9_000_000]}).status_code == 400
    shutil.rmtree(data)  # a sheet of missing images says so
    assert client.post(f"/export/{run.id}/png", json=body).status_code == 200


def replace_path(run: Run, sample_id: str, path: str) -> None:
    samples = run.samples()
    assert samples is not None
    samples.loc[samples["sample_id"] == sample_id, "path"] = path
    samples.to_parquet(run.dir / layout.SAMPLES, index=False)


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_nothing_outside_the_dataset_is_served(client: TestClient, run: Run, data: Path, tmp_path: Path) -> None:
    one = sample(run)["sample_id"]
    secret = tmp_path / "secret.png"
    Image.new("L", (9, 9), 77).save(secret)
    (data / "link.png").symlink_to(secret)
    (data / "images.link").symlink_to(tmp_path)
    for path in (
        "link.png",
        "../../secret.png",
        str(secret),
        "images.link/secret.png",
        "images",
        "",
        "\x00",
        "x" * 5000,
    ):
        replace_path(run, one, path)
        assert client.get(f"/img/{run.id}/{one}.f.webp").status_code == 404, path
    (data / "inside.png").symlink_to(data / sample(run, row=1)["path"])
    replace_path(run, one, "inside.png")
    assert client.get(f"/img/{run.id}/{one}.f.webp").status_code == 200


def test_a_deleted_dataset_and_a_broken_file_are_missing_pictures(client: TestClient, run: Run, data: Path) -> None:
    one = sample(run)
    (data / one["path"]).write_bytes(b"no image")
    assert client.get(f"/img/{run.id}/{one['sample_id']}.t.webp").status_code == 404
    shutil.rmtree(data)
    assert pictures.file_key(run, one["sample_id"]) is None
    assert client.get(f"/img/{run.id}/{one['sample_id']}.t.webp").status_code == 404


@pytest.mark.parametrize("name", [layout.SAMPLES, layout.CONFIG])
def test_a_broken_run_has_no_pictures(client: TestClient, run: Run, name: str) -> None:
    one = sample(run)["sample_id"]
    (run.dir / name).write_bytes(b"{")
    assert client.get(f"/img/{run.id}/{one}.t.webp").status_code == 404


def test_the_dataset_may_be_named_by_its_labels_csv(client: TestClient, run: Run, data: Path) -> None:
    config = json.loads((run.dir / layout.CONFIG).read_text())
    (run.dir / layout.CONFIG).write_text(json.dumps({**config, "data": str(data / "labels.csv")}))
    assert client.get(f"/img/{run.id}/{sample(run)['sample_id']}.t.webp").status_code == 200


def test_a_host_that_is_not_allowed_sees_nothing(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routes.st, "get_option", lambda name: ["127.0.0.1", "localhost"])
    app = Starlette(routes=ROUTES)
    address = f"/img/{run.id}/{sample(run)['sample_id']}.t.webp"
    assert TestClient(app, base_url="http://localhost:8501").get(address).status_code == 200
    rebound = TestClient(app, base_url="http://evil.example:8501")
    assert rebound.get(address).status_code == 403
    assert rebound.get("/vendor/plotly.min.js").status_code == 404
    assert rebound.get(f"/list/{run.id}").status_code == 403
    assert rebound.post(f"/export/{run.id}/csv", json={"ids": [sample(run)["sample_id"]]}).status_code == 403


def test_plotly_is_served_from_the_package(client: TestClient) -> None:
    response = client.get("/vendor/plotly.min.js")
    assert response.headers["content-type"].startswith("text/javascript")
    assert "Plotly" in response.text
