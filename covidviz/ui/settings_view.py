"""The settings of a run beside the defaults, and beside those of any other run."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from covidviz.catalog import LOSSES
from covidviz.config import TrainConfig, knob
from covidviz.store.reader import Run
from covidviz.ui import queries, wording
from covidviz.ui.fields import LABELS
from covidviz.ui.text import shorten, state_text

__all__ = ["settings", "table"]

DIFFERS = "≠"


def settings(run: Run) -> None:
    """A table of what was set, narrowed to what differs unless all is asked for."""
    config = queries.config(run)
    if config is None:
        st.info("The settings can't be read.", icon=":material/info:")
        return
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        other = _other_run(run)
        everything = st.toggle("Show all settings", key="settings_all", persist_state="session")
    against = queries.config(other) if other is not None else None
    if other is not None and against is None:
        st.warning("The settings of that run can't be read.", icon=":material/warning:")
    rows = table(config, against)
    marks = rows.pop("differs")
    if everything:
        rows.insert(1, DIFFERS, [DIFFERS if differs else "" for differs in marks])
    else:
        rows = rows[marks]
        if not len(rows):
            same = "those of the other run" if against is not None else "the defaults"
            st.caption(f"All settings are {same}. Switch above to see them.")
            return
    st.dataframe(
        rows,
        hide_index=True,
        key="run_settings",
        width="stretch",
        column_config={DIFFERS: st.column_config.TextColumn(width=36)},
    )


def _other_run(run: Run) -> Run | None:
    others = {row.run_id: row for row in queries.index().snapshot(max_age=2).runs if row.run_id != run.id}
    chosen = st.selectbox(
        "Compare with",
        list(others),
        index=None,
        placeholder="The defaults, or choose another run",
        format_func=lambda run_id: f"{state_text(others[run_id].state).shape} {shorten(others[run_id].name, 70)}",
        key="settings_other",
        width=420,
    )
    return queries.run(chosen)


def table(config: TrainConfig, against: TrainConfig | None = None) -> pd.DataFrame:
    """One row per setting that counts: `setting`, `this run`, `default`, with `against` also `other run`.

    `differs` (bool) says whether this run differs from the other run, or from the default where there is none. What the
    defaults leave to the dataset (its path, the classes, the critical one) differs from none of them.
    """
    focal = any(LOSSES[one.loss].focal for one in (config, against) if one is not None and one.loss is not None)
    rows = []
    for name in TrainConfig.model_fields:
        if name in ("name", "tags") or (name.startswith("focal_") and not focal):
            continue
        value = _words(name, config)
        default = "–" if name == "data" else wording.setting(name, knob(name)["default"], config.task)
        other = None if against is None else _words(name, against)
        if other is not None:
            differs = value != other
        else:
            differs = value != default and name not in ("data", "classes", "critical_class")
        row = {"setting": LABELS.get(name, name), "this run": value, "default": default}
        rows.append({**row, **({} if other is None else {"other run": other}), "differs": differs})
    return pd.DataFrame(rows)


def _words(name: str, config: TrainConfig) -> str:
    raw = getattr(config, name)
    if name == "backbone_lr" and raw == config.lr:
        raw = None  # a run has every default filled in
    return wording.setting(name, raw, config.task)
