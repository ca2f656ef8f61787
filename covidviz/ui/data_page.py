"""The Data page: what a dataset holds, and what the data doctor found in it.

The link holds dataset, split column and the open check. A dataset that was never checked is checked in the background;
the results appear by themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import streamlit as st

from covidviz.data.doctor import CHECKS, Report
from covidviz.data.layouts import split_name
from covidviz.data.manifest import Manifest
from covidviz.errors import CovidvizError, InputError
from covidviz.ui import data_page_checks as checks
from covidviz.ui import dataset_pictures, datasets, doctor, flash, nav, phantoms
from covidviz.ui import form as forms
from covidviz.ui.components.dataset import dataset
from covidviz.ui.components.doctor import doctor as lines
from covidviz.ui.text import ago, duration, md, shorten

__all__ = ["body", "split_columns"]

POLL_S = 1.5
DEFAULT_COLUMN = "split"
NOTES = 30


def body() -> None:
    """The whole page."""
    st.html(nav.ASSETS / "data.css")
    offered = datasets.offered()
    chosen = st.query_params.get("data") or _working_on()
    text = chosen or (offered[0] if offered else "")
    column = st.query_params.get("column") or DEFAULT_COLUMN
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small", key="data_head"):
        st.title("Data", anchor=False, width="stretch")
        _choice(offered, text)
        corner = st.container(horizontal=True, vertical_alignment="bottom", gap="small", width="content")
    if phantoms.wanted(offered):
        phantoms.offer()
    if not text:
        st.info("Choose a dataset, or type the path of a folder with X-rays: its images are counted and shown, and "
                "checked for what makes scores too good.", icon=":material/info:")  # fmt: skip
        return
    try:
        path = datasets.find(text)
        manifest = datasets.as_it_is(path, column)
        version = datasets.folder_version(path)
    except InputError as error:
        _refused(text, column, str(error))
        return
    with corner:
        _columns(text, column, manifest)
        st.page_link(nav.NEW_RUN, label="Train on it", icon=":material/tune:",
                     query_params={"s": forms.encode(_settings(text, column, manifest))})  # fmt: skip
    left, right = st.columns([4, 9], gap="medium")
    with right:
        # Nobody asked for what is merely the first of the list.
        trouble = _ensured(path, column) if chosen else None
        _doctor(path, text, column, manifest, version, trouble)
    with left:
        _supports(path, manifest, version)


def _working_on() -> str:
    """The dataset of the New run page, as this session left it."""
    _, values, _ = st.session_state.get("_form_draft", (None, {}, 1))
    return str(values.get("data") or "")


def _go(data: str, column: str, check: str | None = None) -> None:
    given = {"data": data, "column": column if column != DEFAULT_COLUMN else "", "check": check or ""}
    st.query_params.from_dict({key: value for key, value in given.items() if value})


def _choice(offered: Sequence[str], text: str) -> None:
    options = [*offered, *([text] if text and text not in offered else [])]
    if st.session_state.get("data_pick") != (text or None):
        st.session_state["data_pick"] = text or None

    def changed() -> None:
        if chosen := st.session_state["data_pick"]:
            _go(chosen, DEFAULT_COLUMN)

    st.selectbox("Dataset", options, format_func=datasets.title, key="data_pick", index=None, on_change=changed,
                 accept_new_options=True, placeholder="Choose, or type a path", width=320)  # fmt: skip


def split_columns(manifest: Manifest) -> list[str]:
    """The columns of labels.csv that say train, val or test for each image, besides `split`."""
    rest = manifest.samples.drop(columns=["sample_id", "path", "split", *(f"label_{c}" for c in manifest.classes)])
    found = []
    for name in rest.columns:
        some = rest[name].dropna().astype(str)
        if all(map(split_name, some.head(20))) and 2 <= some.nunique() <= 9 and all(map(split_name, some.unique())):
            found.append(str(name))
    return found


def _columns(text: str, column: str, manifest: Manifest) -> None:
    """Which column says the split, where there are several."""
    options = list(dict.fromkeys([DEFAULT_COLUMN, column, *split_columns(manifest)]))
    if len(options) == 1:
        return
    if st.session_state.get("data_column") != column:
        st.session_state["data_column"] = column

    def changed() -> None:
        _go(text, st.session_state["data_column"])

    st.selectbox("Split column", options, key="data_column", on_change=changed, width=150)


def _settings(text: str, column: str, manifest: Manifest) -> dict[str, Any]:
    """The form of New run for this dataset."""
    settings: dict[str, Any] = {"data": text}
    if column != DEFAULT_COLUMN:
        settings["split_column"] = column
    if (manifest.labels().sum(axis=1) > 1).any():
        settings["task"] = "multi-label"
    return settings


def _refused(text: str, column: str, message: str) -> None:
    st.error(md(message[:1].upper() + message[1:] if "." not in message.partition(" ")[0] else message),
             icon=":material/error:")  # fmt: skip
    if column != DEFAULT_COLUMN:
        st.button(f"Use the column {DEFAULT_COLUMN}", on_click=_go, args=(text, DEFAULT_COLUMN), key="data_default")


# --- what it holds ---


def _supports(path: Path, manifest: Manifest, version: object) -> None:
    st.subheader("What it holds", anchor=False)
    facts = [_many(len(manifest.samples), "image"), _many(len(manifest.classes), "class", "classes")]
    patients = int(manifest.samples["patient_id"].nunique()) if "patient_id" in manifest.samples else 0
    if patients:
        facts.append(_many(patients, "patient"))
    if manifest.unlabelled:
        facts.append(f"{len(manifest.unlabelled):,} without a label")
    st.caption(md(" · ".join(facts)))
    dataset(manifest, version=version, key="data_classes")
    if not patients:
        st.caption("No patients are named. With a column patient\\_id in labels.csv, splits are checked for them.")
    notes = list(manifest.notes)
    if len(notes) == 1:
        st.caption(md(shorten(notes[0], 240)))
    elif notes:
        with st.expander(f"{len(notes)} notes on how it was read", key="data_notes"):
            for note in notes[:NOTES]:
                st.caption(md(shorten(note, 240)))
    with st.expander("Where it is", key="data_where"):
        st.code(str(path), language=None, wrap_lines=True)


def _many(n: int, one: str, more: str = "") -> str:
    return f"{n:,} {one if n == 1 else more or f'{one}s'}"


# --- what the doctor says ---


def _ensured(path: Path, column: str) -> str | None:
    """Have it checked where it never was; why that can't be done, if so."""
    try:
        doctor.ensure(path, column)
    except CovidvizError as error:
        return str(error)
    return None


def _doctor(path: Path, text: str, column: str, manifest: Manifest, version: object, trouble: str | None) -> None:
    busy = _busy(path, column)

    @st.fragment(run_every=POLL_S if busy else None)
    def state() -> None:
        flash.show()
        task = doctor.running(path, column)
        if _busy(path, column) != busy:
            st.rerun()
        found = doctor.report(path, column)
        with st.container(horizontal=True, vertical_alignment="center", gap="small", key="data_state"):
            st.subheader("What the data doctor says", anchor=False, width="content")
            if found is not None:
                st.caption(md(f"checked {ago(found.created)} in {duration(found.seconds)}"), width="stretch")
            if found is not None and not busy:
                st.button("Check again", key="data_again", icon=":material/refresh:", type="tertiary",
                          on_click=_again, args=(path, column))  # fmt: skip
        if task is not None:
            said = task.line or "starting"
            st.progress(task.share or 0.0, text=md(f"Checking in the background … {shorten(said, 100)}"))
        elif reason := trouble or doctor.failed(path, column):
            st.error(md(f"The check could not be done: {shorten(reason, 300)}"), icon=":material/error:")

    state()
    found = doctor.report(path, column)
    if found is None:
        if busy:
            st.caption("You can go on meanwhile: train, or leave this page. The results appear here by themselves.")
        else:
            _not_checked(path, column)
        return
    _verdict(found)
    _lines(path, text, column, manifest, version, found)


def _not_checked(path: Path, column: str) -> None:
    """What would be asked, and the button that asks."""
    st.markdown("Not checked yet. Each image is looked at once, in the background:")
    st.markdown("\n".join(f"- {md(title)}" for title in CHECKS.values()))
    st.button("Check this dataset", key="data_check", icon=":material/stethoscope:", type="primary",
              on_click=_again, args=(path, column))  # fmt: skip


def _busy(path: Path, column: str) -> bool:
    return doctor.running(path, column) is not None or doctor.pending(path, column)


def _again(path: Path, column: str) -> None:
    try:
        doctor.start(path, column)
    except CovidvizError as error:
        flash.say(error, "error")


def _verdict(found: Report) -> None:
    """How many checks found something, in one calm line."""
    count = {level: sum(check.severity == level for check in found.checks) for level in checks.WORDS}
    parts = [_many(count[level], checks.WORDS[level][1]) for level in ("bad", "warn", "note") if count[level]]
    said = ", ".join(parts) if parts else "Nothing found"
    st.markdown(md(f"{said}; {count['ok']} of {len(found.checks)} checks are fine."))


@st.fragment  # opening a line draws nothing else anew
def _lines(path: Path, text: str, column: str, manifest: Manifest, version: object, found: Report) -> None:
    shown: dict[str, int] = st.session_state.setdefault("_data_shown", {}).setdefault(f"{path}|{column}", {})
    wanted = set(checks.paths_of(found, shown))
    there = manifest.samples[manifest.samples["path"].isin(wanted)]
    paths = dict(zip(there["sample_id"].astype(str), there["path"].astype(str), strict=True))
    word = dataset_pictures.offer(manifest.root, paths, version)
    opened = st.query_params.get("check")

    def more(check: str) -> None:
        if check in CHECKS:
            shown[check] = shown.get(check, checks.EACH) + checks.MORE

    lines(
        checks.view(found, manifest, shown), opened=opened if opened in CHECKS else None, step=checks.MORE,
        base=f"{dataset_pictures.ADDRESS}{word}/", key="data_checks", on_more=more,
        on_open=lambda check: _go(text, column, check if check in CHECKS else None),
    )  # fmt: skip
