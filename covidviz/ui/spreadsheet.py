"""Text that a spreadsheet shows and does not run. No streamlit."""

from __future__ import annotations

__all__ = ["cell"]

LONGEST = 1000  # characters of a cell
FORMULA = tuple("=+-@\uff1d\uff0b\uff0d\uff20")  # and their wide forms, which some spreadsheets read alike


def cell(value: object) -> object:
    """A number, or text on one line. An apostrophe goes before what a spreadsheet would run (OWASP, CSV injection)."""
    if value is None or isinstance(value, float):
        return value
    text = "".join(c if c.isprintable() else " " for c in str(value)[:LONGEST])
    return f"'{text}" if text.lstrip().startswith(FORMULA) else text
