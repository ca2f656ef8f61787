"""The button that has a report made: what it offers, what it leaves out, and that its background command works."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from explored import make_dataset
from streamlit.testing.v1 import AppTest
from synthetic import write_synthetic_run

from covidviz.store.runs import edit_notes
from covidviz.ui import background, reports
from covidviz.ui.reports import Asked


def _shown(run_ids: list[str]) -> AppTest:
    def script(ids: list[str]) -> None:
        from covidviz.ui.report_view import _inside

        _inside(tuple(ids), "here")

    return AppTest.from_function(script, kwargs={"ids": run_ids}, default_timeout=60).run()


def test_only_completed_runs_are_taken(runs: Path) -> None:
    done = [write_synthetic_run(runs, k, artefacts=True).name for k in (1, 2)]
    failed = write_synthetic_run(runs, 3, "failed").name
    at = _shown([*done, failed, "20260101-000000-gone-0000"])
    assert "Left out, as a report is made of completed runs" in at.warning[0].value
    assert "failed" in at.warning[0].value
    assert "was deleted" in at.warning[0].value
    assert [button.label for button in at.button] == ["Make the report of 2 runs"]
    assert at.segmented_control(key="here_form").options == ["Web page", "Markdown + PNG"]  # a card is of one run
    assert not _shown([failed]).button
    assert _shown(done[:1]).segmented_control(key="here_form").options[-1] == "Model card"


def test_what_it_starts_makes_the_file(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = make_dataset(tmp_path / "set", n=36)
    run_dir = write_synthetic_run(runs, 1, artefacts=True, data=data)
    asked = Asked((run_dir.name,), "card", title="-- my title")
    assert background.main(reports.command(asked)) == 0
    assert "<title>-- my title</title>" in asked.file.read_text(encoding="utf-8")
    assert all(re.search(r"\d+ %", line) for line in capsys.readouterr().out.splitlines()[1:])
    edit_notes(run_dir, note="another one")
    assert not asked.file.exists()  # of another name now: no old report is handed out
