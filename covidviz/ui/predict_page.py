"""The Predict page: which run, and its browser part."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import PurePosixPath

import streamlit as st

from covidviz.errors import CovidvizError
from covidviz.jobs.compute import worker
from covidviz.store import layout
from covidviz.store.reader import Run
from covidviz.store.thresholds import read_thresholds
from covidviz.ui import lab_answers, nav, queries, state
from covidviz.ui.components.predict import predict
from covidviz.ui.text import md, shorten

__all__ = ["body", "examples"]


def body(run: Run) -> None:
    """Draw the page below its head."""
    config = queries.config(run)
    if config is None or not config.classes or run.version(layout.BEST) == (0, 0):
        _not_yet(run)
        return
    with contextlib.suppress(CovidvizError):  # the first answer will say so
        worker().warm()  # torch takes seconds to import, in which an image is chosen
    saved = read_thresholds(run.dir)
    predict(
        {
            "run": run.id,
            "name": shorten(config.name or run.id, 80),
            "classes": list(config.classes),
            "multi": config.task == "multi-label",
            "thresholds": [saved[name].value if name in saved else None for name in config.classes],
            "side": config.image_size,
            "limit_mb": int(st.get_option("server.maxUploadSize")),
            "token": lab_answers.token(),
            "examples": examples(run, config.classes),
        },
        key="predict",
    )


def examples(run: Run, classes: Sequence[str]) -> list[dict[str, str]]:
    """One image of each class that the run did not learn from, of test or else validation: `name` and `url`."""
    samples = run.samples()
    for split in ("test", "val"):
        rows = samples[samples["split"] == split] if "split" in samples else samples
        firsts = [rows[rows[label] == 1].head(1) for name in classes if (label := f"label_{name}") in rows]
        if found := {str(one["sample_id"].iloc[0]): str(one["path"].iloc[0]) for one in firsts if len(one)}:
            return [
                {"name": PurePosixPath(path).name, "url": f"/img/{run.id}/{sample}.f.webp"}
                for sample, path in found.items()
            ]
    return []


def _not_yet(run: Run) -> None:
    """Why nothing can be predicted with this run, and where to go from here."""
    status = run.status()
    words = {
        "queued": "This run has not started yet: a network can be asked once its first epoch is over.",
        "running": "The first epoch of this run is not over yet: then its network can be asked.",
        "failed": f"This run failed before its first epoch was over. {status.error or ''}",
    }
    text = words.get(status.state, "This run has no weights: its checkpoint is gone, or it was stopped too early.")
    st.info(md(shorten(text, 400)), icon=":material/info:")
    st.page_link(nav.RUN, label="See the run", icon=":material/monitoring:", query_params=state.params(run=run.id))
