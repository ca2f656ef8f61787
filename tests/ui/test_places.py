"""The map of a run's images: outlines in links, which images they hold, and what the browser gets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from explored import finished_run, make_dataset
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.testclient import TestClient

from covidviz.errors import StoreError
from covidviz.store import layout, maps
from covidviz.store.reader import Run
from covidviz.ui import places
from covidviz.ui.image_query import Query, query_of, rows_of
from covidviz.ui.places import area_of, area_text, inside
from covidviz.ui.replays import found_at
from covidviz.ui.routes import ROUTES

HALF = ((-0.1, -0.1), (0.5, -0.1), (0.5, 1.1), (-0.1, 1.1))


@pytest.fixture
def run(runs: Path, tmp_path: Path) -> Run:
    return finished_run(runs, make_dataset(tmp_path / "data" / "noise"))


def ids(run: Run) -> list[str]:
    samples = run.samples()
    return samples.loc[samples["split"] == "val", "sample_id"].tolist()


def draw(run: Run, n: int | None = None) -> np.ndarray:
    place = np.random.default_rng(0).random((len(ids(run)[:n]), 2)).astype(np.float32)
    maps.write(run, "val", ids(run)[:n], place, "by chance", len(ids(run)))
    return place


def test_a_map_comes_back_as_it_was_and_belongs_to_its_weights(run: Run) -> None:
    assert places.place_map(run) is None
    place = draw(run)
    known = places.place_map(run)
    assert known is not None
    assert (known.sample_id, known.method, known.of) == (ids(run), "by chance", 24)
    assert np.array_equal(known.place, place)
    (run.dir / layout.CHECKPOINTS).mkdir(exist_ok=True)
    (run.dir / layout.BEST).write_bytes(b"others")
    assert places.place_map(run) is None


@pytest.mark.parametrize("content", [b"", b"PK", b"x" * 100])
def test_a_broken_map_is_none(run: Run, content: bytes) -> None:
    draw(run)
    maps.path(run, "val").write_bytes(content)
    assert places.place_map(run) is None
    maps.forget(run, "val")
    maps.forget(run, "val")
    assert maps.version(run, "val") == (0, 0)


def test_the_map_of_a_run_that_is_gone_is_not_kept(run: Run, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="gone"):
        maps.write(Run(tmp_path / "nothing"), "val", ["a"], np.zeros((1, 2)), "", 1)


@pytest.mark.parametrize(
    "text", [None, "", "1,2", "1,2~3,4", "a,b~c,d~e,f", "1~2~3", "1,2~3,4~99999,0", "1,1~" * 5000, "0,0~1,1~nan,1"]
)
def test_what_is_no_outline_is_none(text: str | None) -> None:
    assert area_of(text) is None


@given(st.lists(st.tuples(st.integers(-500, 1500), st.integers(-500, 1500)), min_size=3, max_size=places.CORNERS))
def test_an_outline_survives_its_link(corners: list[tuple[int, int]]) -> None:
    area = tuple((x / 1000, y / 1000) for x, y in corners)
    assert area_of(area_text(area)) == area


@given(st.integers(3, 12), st.integers(0, 2**16))
def test_inside_a_convex_outline_is_left_of_every_edge(n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    angles = np.sort(rng.random(n)) * 2 * np.pi
    area = tuple((0.5 + 0.4 * np.cos(a), 0.5 + 0.4 * np.sin(a)) for a in angles)
    points = rng.random((60, 2)).astype(np.float32)
    left = np.ones(len(points), bool)
    for (x1, y1), (x2, y2) in zip(area, (*area[1:], area[0]), strict=True):
        left &= (x2 - x1) * (points[:, 1] - y1) - (y2 - y1) * (points[:, 0] - x1) > 0
    assert inside(area, points).tolist() == left.tolist()


def test_an_outline_chooses_the_images_inside(run: Run) -> None:
    place = draw(run, 20)  # four have no place
    query = query_of({"split": "val", "order": "all", "area": area_text(HALF)}.get, found_at(run, None), run)  # type: ignore[arg-type]
    assert query == Query("val", "all", area=HALF)
    wanted = {name for name, (x, _) in zip(ids(run), place, strict=False) if x < 0.5}
    assert set(rows_of(run, query)["sample_id"]) == wanted
    assert 0 < len(wanted) < 20
    assert query_of({"split": "test", "area": area_text(HALF)}.get, found_at(run, None), run).area is None  # type: ignore[arg-type]


def test_the_browser_gets_every_image_with_its_own_numbers(run: Run) -> None:
    client = TestClient(Starlette(routes=ROUTES), base_url="http://127.0.0.1", raise_server_exceptions=False)
    assert client.get(f"/map/{run.id}").status_code == 404  # there is none yet
    place = draw(run)
    sent = client.get(f"/map/{run.id}").json()
    rows = found_at(run, None).frame.set_index("sample_id")  # type: ignore[union-attr]
    where = dict(zip(ids(run), place, strict=True))
    assert set(sent["ids"]) == set(ids(run))
    for k, name in enumerate(sent["ids"]):
        assert [sent["x"][k], sent["y"][k]] == pytest.approx(where[name], abs=1e-4)
        assert sent["right"][k] == int(rows.loc[name, "right"])
        assert sent["loss"][k] == pytest.approx(rows.loc[name, "loss"], abs=1e-4)
        assert rows.loc[name, f"label_{sent['groups'][sent['group'][k]]}"] == 1
        assert (sent["true"][k] == sent["said"][k]) == bool(sent["right"][k])
    assert sent["sources"] == ["noise"]
    early = client.get(f"/map/{run.id}?epoch=1").json()
    assert early["loss"] != sent["loss"]
    assert places.key(run, 1) != places.key(run, None)
    for bad in ("epoch=x", "epoch=99999999", "epoch=-1", "epoch=77"):
        assert client.get(f"/map/{run.id}?{bad}").status_code == 404
