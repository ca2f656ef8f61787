"""The Compare page: its link, its tables and its states."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from compare_driver import compared, component, link, page, table, texts, write
from synthetic import write_synthetic_run

from covidviz.store import layout
from covidviz.store.files import write_json_atomic
from covidviz.store.index import RunSummary
from covidviz.store.reader import Run
from covidviz.ui import compare_data
from covidviz.ui.compare_data import MARK, MAX_RUNS, isolated, named_in
from covidviz.ui.compare_figures import Curves, curves_figure
from covidviz.ui.components.matrix import matrix_groups
from covidviz.ui.results import measured, spread

HOSTILE = "<img src=x> ![b](http://evil.example/x.png) **bold**"


# --- the link ---


def test_a_link_names_runs_once_and_in_order() -> None:
    known = {name: RunSummary(name, name, "completed") for name in ("a", "b")}
    assert named_in("b, a,b,,x,<b>", known) == (["b", "a"], ["x", "<b>"])
    assert named_in(None, known) == named_in("", known) == ([], [])


def test_without_runs_it_says_where_to_begin(runs: Path) -> None:
    at = page(runs="x,y")
    assert "no runs yet" in at.info[0].value
    assert not at.multiselect


def test_one_run_asks_for_a_second_and_offers_it(runs: Path) -> None:
    ids = [write(runs, i) for i in (1, 2, 3)]
    write(runs, 4, "failed")
    at = page(runs=ids[0])
    assert "One more" in texts(at)
    at.button(key="compare_newest").click().run()
    assert link(at, "runs") == f"{ids[0]},{ids[2]}"  # the newest completed one
    assert list(table(at, "metric"))[1:] == [ids[0], ids[2]]


def test_nothing_chosen_offers_the_two_newest_and_the_last_ones(runs: Path) -> None:
    ids = [write(runs, i) for i in (1, 2, 3)]
    at = page()
    assert [button.key for button in at.button if button.key.startswith("compare_")] == ["compare_newest"]
    at.button(key="compare_newest").click().run()
    assert link(at, "runs") == f"{ids[2]},{ids[1]}"
    at.multiselect(key="compare_runs").set_value([]).run()
    assert "runs" not in at.query_params
    at.button(key="compare_again").click().run()
    assert link(at, "runs") == f"{ids[2]},{ids[1]}"


def test_unknown_runs_are_named_and_left_out(runs: Path) -> None:
    ids = [write(runs, i) for i in (1, 2)]
    at = page(runs=f"{ids[0]},../../etc,{HOSTILE},{ids[1]},x,y")
    assert "There are no such runs, or not any more: ../../etc" in texts(at)
    assert "and 1 more" in texts(at)
    assert "![b](http" not in at.warning[0].value
    assert list(at.multiselect(key="compare_runs").value) == ids
    assert list(table(at, "metric"))[1:] == ids


def test_a_link_with_too_many_runs_is_cut(runs: Path) -> None:
    ids = [write_synthetic_run(runs, i, epochs=2).name for i in range(1, MAX_RUNS + 3)]
    at = page(runs=",".join(ids))
    assert f"At most {MAX_RUNS} runs are compared; 2 of the link are left out." in texts(at)
    assert len(at.multiselect(key="compare_runs").value) == MAX_RUNS
    assert len(table(at, "metric").columns) == MAX_RUNS + 1


def test_picking_runs_goes_into_the_link(runs: Path) -> None:
    ids = [write(runs, i) for i in (1, 2, 3)]
    at = page(runs=",".join(ids[:2]))
    at.multiselect(key="compare_runs").set_value(ids).run()
    assert link(at, "runs") == ",".join(ids)
    at.selectbox(key="compare_metric").set_value("accuracy").run()
    assert link(at, "metric") == "accuracy"
    assert link(at, "runs") == ",".join(ids)


# --- curves ---


def test_the_curves_of_both_runs_share_a_legend(runs: Path) -> None:
    ids = [write(runs, 1, name="one"), write(runs, 2, name="<b>two</b>")]
    figure = component(page(runs=",".join(ids)), "compare_plot")["figure"]
    traces = figure["data"]
    assert len(traces) == 8  # two runs, loss and metric, validation and train
    assert {trace["legendgroup"] for trace in traces} == set(ids)
    assert [trace["name"] for trace in traces if trace["showlegend"]] == ["1 · one", "2 · &lt;b&gt;two&lt;/b&gt;"]
    assert len({trace["uid"] for trace in traces}) == 8
    for trace in traces:
        validation = "validation" in trace["hovertemplate"]
        assert trace["line"]["dash"] == ("solid" if validation else "dot")
        assert (trace["line"]["width"] > 2) == validation
    assert traces[0]["y"] == pytest.approx(Run(runs / ids[0]).metrics().query("split == 'val'")["loss"].tolist(), 1e-4)
    assert {trace["line"]["color"] for trace in traces if trace["legendgroup"] == ids[1]} == {"@1"}


def _curves(n: int, epochs: int = 300) -> list[Curves]:
    frame = pd.DataFrame({"epoch": range(1, epochs + 1), "split": "val", "loss": 0.5, "macro_f1": 0.5})
    both = pd.concat([frame, frame.assign(split="train")])
    return [Curves(f"run{i}", i, f"run {i}", both) for i in range(1, n + 1)]


def test_fifty_long_runs_stay_a_small_figure_and_tell_apart() -> None:
    figure = curves_figure(_curves(50, 2000), "macro_f1", "Macro F1", epochs=2000)
    assert sum(len(trace["x"]) for trace in figure["data"]) < 15_000
    assert all(trace["x"][-1] == 2000 for trace in figure["data"])  # thinned, but to its end
    looks = {(t["line"]["color"], t["marker"]["symbol"]) for t in figure["data"] if t["showlegend"]}
    assert len(looks) == 50
    assert figure["layout"]["hovermode"] == "closest"


def test_a_figure_of_one_part_of_one_split_or_of_nothing() -> None:
    only = curves_figure(_curves(2, 10), None, "", epochs=10, splits=["train"], log=True)
    assert [trace["yaxis"] for trace in only["data"]] == ["y", "y"]
    assert all(trace["showlegend"] for trace in only["data"])
    assert only["layout"]["yaxis"]["type"] == "log"
    assert curves_figure([], "macro_f1", "Macro F1", epochs=1)["data"] == []
    hidden = curves_figure(_curves(1), "gone", "@0", epochs=1)["data"][-1]
    assert hidden["x"] == []


def test_a_name_is_never_a_colour_of_the_figure() -> None:
    frame = _curves(1)[0].metrics
    assert curves_figure([Curves("r", 1, "@0", frame)], None, "", epochs=3)["data"][0]["name"] == "\u2060@0"


# --- metrics and settings ---


def test_the_best_value_of_each_row_is_marked(runs: Path) -> None:
    ids = [write(runs, i, n=240) for i in (1, 2)]
    rows = {row["metric"]: row for row in reversed(compare_data.metrics_table(compared(runs, *ids)))}  # validation wins
    best = {run_id: Run(runs / run_id).best() for run_id in ids}
    assert [rows["Best epoch"][run_id] for run_id in ids] == [str(best[run_id][0]) for run_id in ids]
    for metric, key, pick in (("loss", "loss", min), ("macro F1", "macro_f1", max)):
        values = {run_id: best[run_id][1]["val"][key] for run_id in ids}
        winner = pick(values, key=values.__getitem__)
        assert {run_id for run_id in ids if MARK in rows[metric][run_id]} == {winner}
        assert rows[metric][winner] == f"{MARK} {values[winner]:.3f}"


def test_validation_and_test_rows_say_how_many_images(runs: Path) -> None:
    ids = [write(runs, 1, n=240), write(runs, 2, "running", n=240)]
    rows = compare_data.metrics_table(compared(runs, *ids))
    heads = [row for row in rows if row["metric"].endswith("images")]
    assert [row["metric"] for row in heads] == ["VALIDATION, images", "TEST, images"]
    assert [row[ids[0]] for row in heads] == ["60", "60"]
    assert [row[ids[1]] for row in heads] == ["–", "–"]  # no predictions yet
    tested = rows[rows.index(heads[1]) + 2]
    assert tested["metric"] == "accuracy"
    accuracy = measured(Run(runs / ids[0]), "test").metrics["accuracy"]
    ends = spread(Run(runs / ids[0]), "test").intervals["accuracy"]
    assert tested[ids[0]] == f"{accuracy:.3f} ({ends.low:.2f}–{ends.high:.2f})".replace("(0.", "(.").replace(
        "–0.", "–."
    )
    assert not any(MARK in str(value) for row in compare_data.metrics_table(compared(runs, *ids), mark=False)
                   for value in row.values())  # fmt: skip


def test_equal_values_are_not_marked(runs: Path) -> None:
    ids = [write(runs, i) for i in (1, 2)]
    (runs / ids[1] / layout.METRICS).write_bytes((runs / ids[0] / layout.METRICS).read_bytes())
    rows = compare_data.metrics_table(compared(runs, *ids))
    assert not any(MARK in str(value) for row in rows[:8] for value in row.values())


def test_only_settings_that_differ_are_listed(runs: Path) -> None:
    same = {"seed": 0, "model": "vgg16", "loss": "cross_entropy", "tags": (), "focal_gamma": 1.0}
    ids = [write(runs, 1, lr=0.1, **same), write(runs, 2, lr=0.02, **same)]
    some = compared(runs, *ids)
    rows = {row["setting"]: row for row in compare_data.settings_table(some)}
    assert set(rows) == {"Learning rate", "Learning rate of the backbone"}
    assert [rows["Learning rate"][run_id] for run_id in ids] == ["0.1", "0.02"]
    every = {row["setting"] for row in compare_data.settings_table(some, equal=True)}
    assert {"Network", "Batch size", "Learning rate"} <= every
    assert "Focal gamma" not in every  # neither uses it
    at = page(runs=",".join(ids))
    assert len(table(at, "setting")) == 2
    at.toggle(key="compare_equal").set_value(True).run()
    assert len(table(at, "setting")) == len(every)


def test_runs_of_the_same_settings_say_so(runs: Path) -> None:
    same = {"seed": 0, "model": "vgg16", "loss": "cross_entropy", "tags": (), "lr": 0.1, "name": "twin"}
    ids = [write(runs, i, **same) for i in (1, 2)]
    assert "None: these runs have the same settings." in texts(page(runs=",".join(ids)))


def test_runs_that_saw_other_images_are_said_and_not_marked(runs: Path) -> None:
    ids = [write(runs, i) for i in (1, 2, 3)]
    at = page(runs=",".join(ids))
    assert "did not see the same images" not in texts(at)
    assert f"{MARK} the highest" in texts(at)
    write_json_atomic(runs / ids[2] / layout.ENVIRONMENT, {"data": {"fingerprint": "f" * 64}})
    at = page(runs=",".join(ids))
    assert "did not see the same images in the same splits" in texts(at)
    assert "1 · synthetic 1, 2 · synthetic 2 | 3 · synthetic 3" in texts(at)
    assert not table(at, "metric").map(lambda value: MARK in str(value)).any(axis=None)
    assert "better" not in texts(at).lower()


# --- matrices ---


def test_matrices_share_a_scale_and_have_a_difference(runs: Path) -> None:
    ids = [write(runs, 1, n=240), write(runs, 2, n=240)]
    at = page(runs=",".join(ids))
    assert at.segmented_control(key="compare_split").value == "val"
    at.segmented_control(key="compare_show").set_value("counts").run()
    matrices = [component(at, f"compare_matrix_{run_id}") for run_id in ids]
    counts = [measured(Run(runs / run_id), "val").confusion["matrix"] for run_id in ids]
    top = max(n for matrix in counts for row in matrix for n in row)
    for matrix, values in zip(matrices, counts, strict=True):
        cells = [cell for row in matrix["groups"][0]["rows"] for cell in row["cells"]]
        assert [cell["depth"] for cell in cells] == pytest.approx([n / top for row in values for n in row], abs=1e-3)
    change = component(at, "compare_difference")
    assert change["signed"] is True
    first = change["groups"][0]["rows"][0]["cells"][0]["big"].replace("−", "-")
    assert int(first) == counts[1][0][0] - counts[0][0][0]
    changes = table(at, "change")
    assert (changes["to"] - changes["from"]).abs().is_monotonic_decreasing


def test_which_two_are_subtracted_is_in_the_link(runs: Path) -> None:
    ids = [write(runs, i) for i in (1, 2, 3)]
    at = page(runs=",".join(ids), a=ids[2], b=ids[0])
    assert "Difference: 1 − 3" in texts(at)
    at.selectbox(key="compare_b").set_value(ids[1]).run()
    assert (link(at, "a"), link(at, "b")) == (ids[2], ids[1])
    assert "Difference: 2 − 3" in texts(at)
    at.selectbox(key="compare_a").set_value(ids[1]).run()  # the same as the other one: they change places
    assert (link(at, "a"), link(at, "b")) == (ids[1], ids[2])


def test_many_matrices_are_shown_on_request(runs: Path) -> None:
    ids = [write(runs, i) for i in range(1, 7)]
    at = page(runs=",".join(ids))
    shown = [run_id for run_id in ids if component(at, f"compare_matrix_{run_id}")]
    assert shown == ids[:4]
    at.toggle(key="compare_all").set_value(True).run()
    assert all(component(at, f"compare_matrix_{run_id}") for run_id in ids)


def test_other_classes_and_tasks_have_no_difference(runs: Path) -> None:
    ids = [write(runs, 1), write(runs, 2, classes=("healthy", "ill")), write(runs, 3, task="multi-label", loss="bce")]
    at = page(runs=",".join(ids))
    assert "They have different classes: their matrices have no difference." in texts(at)
    assert not component(at, "compare_difference")
    at = page(runs=",".join(ids), a=ids[0], b=ids[2])
    assert "One of them is single-label, the other multi-label" in texts(at)
    assert all(component(at, f"compare_matrix_{run_id}") for run_id in ids)


def test_the_largest_changes_name_their_cells() -> None:
    matrices = [matrix_groups({"matrix": m}, ("a", "b"), "single-label") for m in ([[5, 1], [0, 4]], [[2, 4], [0, 5]])]
    rows = compare_data.largest_changes(*matrices)
    assert rows == [
        {"cell": "true a, predicted a", "from": 5, "to": 2, "change": "−3"},
        {"cell": "true a, predicted b", "from": 1, "to": 4, "change": "+3"},
        {"cell": "true b, predicted b", "from": 4, "to": 5, "change": "+1"},
    ]


# --- states ---


@pytest.mark.parametrize("state", ["failed", "lost", "stopped", "queued"])
def test_a_run_without_predictions_has_a_clear_place(runs: Path, state: str) -> None:
    ids = [write(runs, 1), write(runs, 2, state)]
    said = texts(page(runs=",".join(ids)))
    assert f"This run {'failed' if state == 'failed' else f'is {state}'} and has no predictions." in said
    assert "2 · synthetic 2 " + ("failed: loss became" if state == "failed" else f"is {state}") in said


def test_a_live_run_is_polled_and_completed_ones_are_not(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import streamlit as st

    asked: list[Any] = []
    real = st.fragment
    monkeypatch.setattr(st, "fragment", lambda func=None, *, run_every=None, **more: asked.append(run_every)
                        or real(func, run_every=run_every, **more))  # fmt: skip
    done = [write(runs, i) for i in (1, 2)]
    page(runs=",".join(done))
    assert not any(asked)
    live = write(runs, 3, "running")
    said = texts(page(runs=f"{done[0]},{live}"))
    assert any(asked)
    assert "2 · synthetic 3 is running (50 %)" in said


def test_a_broken_run_is_compared_as_far_as_it_goes(runs: Path) -> None:
    ids = [write(runs, i) for i in (1, 2)]
    (runs / ids[1] / layout.CONFIG).write_text("{")
    said = texts(page(runs=",".join(ids)))
    assert "2 · " in said
    assert "is broken" in said
    assert "can not be read" in said


def test_runs_without_any_numbers(runs: Path) -> None:
    ids = [write(runs, i, "queued") for i in (1, 2)]
    said = texts(page(runs=",".join(ids)))
    assert "No numbers yet" in said
    assert "None of these runs has predictions. They come when a run is completed." in said


def test_names_of_people_are_shown_and_nothing_else(runs: Path) -> None:
    ids = [write(runs, 1, name=HOSTILE), write(runs, 2, name="x" * 200)]
    at = page(runs=",".join(ids))
    raw = [str(part.value) for part in [*at.markdown, *at.caption, *at.warning]]
    assert not any("![b](" in text or "<img" in text.replace("\\<", "") for text in raw)
    assert "1 · <img src=x> ![b](http" in texts(at)


def test_right_to_left_names_keep_their_place() -> None:
    assert isolated("plain") == "plain"
    assert isolated("مرحبا") == "\u2068مرحبا\u2069"
