"""What stands under and beside a picture belongs to that picture."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from explored import finished_run, make_dataset

from covidviz.evaluation.ranking import select
from covidviz.store import layout
from covidviz.store.reader import Run
from covidviz.ui import album as albums
from covidviz.ui.album import album, page_of, query_album
from covidviz.ui.image_query import Query, query_of, rows_of, sources
from covidviz.ui.results import Results, results


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return make_dataset(tmp_path / "data" / "noise")


def found(run: Run) -> Results:
    judged = results(run)
    assert judged is not None
    return judged


@pytest.mark.parametrize("order", ["worst", "best", "all"])
def test_each_item_shows_its_own_row(runs: Path, data: Path, order: str) -> None:
    run = finished_run(runs, data)
    judged = found(run)
    said, known = run.predictions(), run.samples()
    assert said is not None
    assert known is not None
    said, known = said.set_index("sample_id"), known.set_index("sample_id")
    rows = select(judged.frame, judged.classes, judged.task, split="test", order=order)
    items = album(run, rows, judged.classes, judged.task)["items"]
    assert [item["id"] for item in items] == rows["sample_id"].tolist()
    for item in items:
        p = said.loc[item["id"], [f"prob_{name}" for name in judged.classes]].to_numpy(dtype=float)
        y = known.loc[item["id"], [f"label_{name}" for name in judged.classes]].to_numpy(dtype=int)
        assert item["p"] == pytest.approx(p, abs=1e-4)
        assert item["y"] == y.tolist()
        true, predicted = judged.classes[y.argmax()], judged.classes[p.argmax()]
        assert item["what"] == (true if true == predicted else f"{true} → {predicted}")
        assert item["right"] == (true == predicted)
        assert item["prob"] == f"p {p.max():.2f}"
        assert item["k"] == p.argmax()
        facts = dict(item["facts"])
        assert facts["file"] == known.loc[item["id"], "path"]
        assert facts["patient"] == known.loc[item["id"], "patient_id"]
        assert facts["loss"] == f"{said.loc[item['id'], 'loss']:.2f}"


def test_multi_label_captions_name_all_labels_and_the_number_that_is_judged(runs: Path, data: Path) -> None:
    run = finished_run(runs, data, task="multi-label", loss="bce")
    judged = found(run)
    rows = select(judged.frame, judged.classes, judged.task, split="val", cls="covid19")
    items = album(run, rows, judged.classes, judged.task, label="covid19")["items"]
    for item in items:
        assert item["prob"] == f"p(covid19) {item['p'][0]:.2f}"
        assert item["right"] == (item["p"][0] >= 0.5)
        assert item["k"] == 0
    frame = judged.frame.assign(**{f"prob_{name}": 0.1 for name in judged.classes}).assign(right=False)
    nothing = album(run, frame.head(3), judged.classes, judged.task)["items"]
    assert all(item["what"].endswith("→ none") for item in nothing)


def test_a_query_brings_the_page_of_its_image_and_says_where_the_others_are(
    runs: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(albums, "PER_PAGE", 5)
    run = finished_run(runs, data)
    judged = found(run)
    query = Query("train", "random", seed=3)
    rows = rows_of(run, query)
    ids = rows["sample_id"].tolist()
    shown = query_album(run, judged, rows, query, ids[7])
    assert [item["id"] for item in shown["items"]] == ids[5:10]
    assert (shown["offset"], shown["total"], shown["page"]) == (5, len(ids), 5)
    assert shown["opened"] == {"id": ids[7], "at": 7}
    assert shown["list"] == f"/list/{run.id}?split=train&order=random&seed=3"
    first = query_album(run, judged, rows, query, "unknown")
    assert (first["offset"], first["opened"]) == (0, None)
    alone = album(run, rows, judged.classes, judged.task)
    assert (alone["total"], alone["list"]) == (5, None)  # without an address for more, the page is all
    assert [page_of(ids, ids[k]) for k in (0, 4, 5, 11)] == [0, 0, 1, 2]
    assert page_of(ids, None) == page_of(ids, "unknown") == 0


def test_a_query_is_what_the_link_says_as_far_as_the_run_has_it(runs: Path, data: Path) -> None:
    judged = found(finished_run(runs, data))

    def ask(**link: str) -> Query:
        return query_of(link.get, judged)

    assert ask() == Query("val", "worst")
    assert ask(cls="covid19", pred="normal") == Query("val", "all", cell="0-1")  # both are a cell
    assert ask(cell="2-0", cls="covid19", order="best") == Query("val", "best", cell="2-0")
    assert ask(source="noise", split="test") == Query("test", "worst", source="noise")
    assert ask(order="random", seed="12").seed == 12
    for wrong in ("-1", "x", "１２", "9" * 40, ""):
        assert ask(seed=wrong).seed == 1
    assert ask(split="x", order="x", cls="x", pred="x", cell="0-fn", source="x") == Query("val", "worst")
    assert sources(judged) == ["noise"]
    assert ask(cls="covid19").judged(judged) is None


def test_multi_label_queries_keep_both_classes_and_name_the_one_that_is_judged(runs: Path, data: Path) -> None:
    judged = found(finished_run(runs, data, task="multi-label", loss="bce"))
    query = query_of({"cls": "covid19", "pred": "normal"}.get, judged)
    assert (query.cls, query.pred, query.cell) == ("covid19", "normal", None)
    assert query.judged(judged) == "covid19"
    assert query_of({"cell": "1-fn"}.get, judged).judged(judged) == "normal"
    assert query_of({}.get, judged).judged(judged) is None


def test_maps_and_files_that_are_missing_are_said(runs: Path, data: Path) -> None:
    run = finished_run(runs, data)
    judged = found(run)
    train = select(judged.frame, judged.classes, judged.task, split="train")
    assert not any(item["heat"] for item in album(run, train, judged.classes, judged.task)["items"])
    val = select(judged.frame, judged.classes, judged.task, split="val")
    before = album(run, val, judged.classes, judged.task)
    assert all(item["heat"] and item["v"] for item in before["items"])
    (data / val["path"].iloc[0]).unlink()
    after = album(run, val, judged.classes, judged.task)
    assert after["items"][0]["v"] is None
    assert after["items"][1]["v"] == before["items"][1]["v"]


def test_a_diverged_run_is_valid_json(runs: Path, data: Path) -> None:
    run = finished_run(runs, data)
    predictions = run.predictions()
    assert predictions is not None
    predictions[["prob_covid19", "loss"]] = np.nan
    predictions.to_parquet(run.dir / layout.PREDICTIONS, index=False)
    judged = found(run)
    shown = album(run, select(judged.frame, judged.classes, judged.task, split="val"), judged.classes, judged.task)
    json.dumps(shown, allow_nan=False)
    assert dict(shown["items"][0]["facts"])["loss"] == "not a number"


@pytest.mark.parametrize("file", [layout.CONFIG, layout.SAMPLES, layout.PREDICTIONS])
def test_results_need_all_three_files(runs: Path, data: Path, file: str) -> None:
    run = finished_run(runs, data)
    assert results(run) is not None
    (run.dir / file).write_bytes(b"broken")
    assert results(run) is None


def test_results_of_other_classes_or_twice_the_same_sample_are_none(runs: Path, data: Path) -> None:
    run = finished_run(runs, data)
    predictions = run.predictions()
    assert predictions is not None
    predictions.rename(columns={"prob_normal": "prob_healthy"}).to_parquet(run.dir / layout.PREDICTIONS)
    assert results(run) is None
    predictions.assign(sample_id=predictions["sample_id"].iloc[0]).to_parquet(run.dir / layout.PREDICTIONS)
    assert results(run) is None
