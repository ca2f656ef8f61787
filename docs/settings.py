"""Print docs/settings.md, the table of all training settings, from TrainConfig: `python docs/settings.py`."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from covidviz.config import TrainConfig, knob  # the table is generated, so it can't disagree


def settings_table() -> str:
    """The Markdown document."""
    lines = [
        "# Training settings",
        "",
        "Made by `python docs/settings.py > docs/settings.md` from `covidviz/config.py`. Each is a flag of `train` and",
        "`submit` (`--focal-gamma 2`), a key of `config.json` (`focal_gamma`) and a control of *New run*.",
        "",
        "| setting | accepted | default | meaning |",
        "|---|---|---|---|",
    ]
    for name in TrainConfig.model_fields:
        row = knob(name)
        if row["choices"]:
            accepted = " ".join(f"`{choice}`" for choice in row["choices"])
        elif isinstance(row["default"], bool):
            accepted = "yes or no"
        else:
            accepted = f"{row['accepted']} {row['unit']}".strip()
        default = row["default"]
        if isinstance(default, tuple):
            default = ",".join(map(str, default))
        shown = ("yes" if default else "no") if isinstance(default, bool) else f"`{default}`"
        shown = "-" if default in (None, "") else shown
        lines.append(f"| `{name}` | {accepted} | {shown} | {row['help']} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(settings_table(), end="")
