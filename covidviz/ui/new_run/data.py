"""Which images: the dataset with its classes, the task, what is done to the images."""

from __future__ import annotations

from typing import Any

import streamlit as st

from covidviz.catalog import AUGMENTATIONS, TASKS
from covidviz.config import TrainConfig
from covidviz.data.manifest import Manifest
from covidviz.errors import InputError
from covidviz.ui import datasets, fields, phantoms
from covidviz.ui.components.dataset import dataset
from covidviz.ui.form import Form
from covidviz.ui.text import md, shorten

__all__ = ["show", "titles"]

DATA_FIELDS = ("data", "split_column", "classes", "task", "label_rule", "seed")  # what the dataset is read with
NOTES = 30


def titles(table: dict[str, Any]) -> Any:
    """Names of a catalog table as its titles."""
    return lambda name: table[name].title if name in table else str(name)


def show(form: Form) -> Manifest | None:
    """Draw the part; the dataset as these settings read it, or None while it can't be used."""
    st.header("Data", anchor=False)
    offered = datasets.offered()
    fields.choice(form, "data", offered, datasets.title, typed=True,
                  placeholder="Choose, or type a path" if offered else "Type the path of a folder")  # fmt: skip
    manifest = _understood(form) if form["data"] else None
    if phantoms.wanted(offered):
        phantoms.offer()
    fields.slider(form, "image_size")
    fields.choice(form, "augment", titles=titles(AUGMENTATIONS))
    fields.choice(form, "task", titles=titles(TASKS))
    return manifest


def _understood(form: Form) -> Manifest | None:
    """The dataset as these settings read it, shown; or the sentence that says what is wrong."""
    try:
        config = TrainConfig.parse({name: form[name] for name in DATA_FIELDS})
        manifest = datasets.of_config(config)
        version = datasets.folder_version(datasets.find(config.data))
    except InputError as error:
        st.error(md(_sentence(str(error))), icon=":material/error:")
        return None
    dataset(manifest, version=version, key="new_dataset")
    notes = [*manifest.notes]
    if manifest.unlabelled:
        notes.append(f"{len(manifest.unlabelled):,} images without a label are left out.")
    _notes(notes)
    return manifest


def _notes(notes: list[str]) -> None:
    """How the dataset was read: one note as it is, more of them folded away."""
    if len(notes) == 1:
        st.caption(md(shorten(notes[0], 240)))
    elif notes:
        with st.expander(f"{len(notes)} notes on the data", key="new_dataset_notes"):
            for note in notes[:NOTES]:
                st.caption(md(shorten(note, 240)))


def _sentence(text: str) -> str:
    """With a capital, unless it begins with a file's name."""
    return text if "." in text.partition(" ")[0] else text[:1].upper() + text[1:]
