"""The top of the New run page, and the way on after Train."""

from __future__ import annotations

import streamlit as st

from covidviz.ui import fields, flash, nav
from covidviz.ui import form as forms
from covidviz.ui.components.copy_link import copy_link
from covidviz.ui.form import Form
from covidviz.ui.recipes import settings as recipes
from covidviz.ui.text import md, shorten

__all__ = ["go_on", "show"]


def go_on() -> None:
    """To the page of the run that was just submitted; to all runs where there were several."""
    if started := st.session_state.pop("new_started", None):
        if len(started) == 1:
            st.switch_page(nav.RUN, query_params={"run": started[0]})
        flash.say(f"{len(started)} runs are in the queue, one per seed.")  # after the toasts of this run were shown
        st.switch_page(nav.RUNS)


def show(form: Form) -> None:
    """The title, where the settings come from, what a link held that is not accepted, and the way back."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="new_head"):
        st.title("New run", anchor=False, width="stretch")
        fields.choice(form, "recipe", recipes.names(), recipes.title, placeholder="Start from a recipe", width=270)
        copy_link(forms.link(form), key="new_copy")
        st.button("Reset", key="new_reset", on_click=forms.reset, icon=":material/restart_alt:",
                  disabled=not form.values or form.values == form.origin)  # fmt: skip
    if form.clone:
        st.caption(f"A clone of {md(shorten(form.clone, 120))}. Change what you like; that run stays as it is.")
    elif form["recipe"]:
        st.caption(md(f"From the recipe {shorten(recipes.title(form['recipe']), 160)}. Change what you like; "
                      "what differs stands on the right."))  # fmt: skip
    for note in form.notes:
        st.info(md(note), icon=":material/info:")
