"""The part of a report on how the runs were made: settings, network, what is needed to make them again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson

from covidviz.catalog import LOSSES, MODELS
from covidviz.config import TrainConfig
from covidviz.evaluation.metric_names import metric_name
from covidviz.layers import head_parameters, learning
from covidviz.layers import network as network_of
from covidviz.report import charts
from covidviz.report.blocks import Block, Charts, Code, Section, Table, Text
from covidviz.report.facts import Facts
from covidviz.report.pictures import dataset_name
from covidviz.report.say import duration, listed
from covidviz.setting_names import LABELS, setting, trainable

__all__ = ["differing", "network_section", "parameters", "reproducing", "setup_section", "shown"]

APART = ("name", "tags")  # what people call it


def shown(config: TrainConfig, name: str) -> str:
    """The value of a setting for readers elsewhere: no path of this machine; a dash where it plays no part."""
    if name == "data":
        return dataset_name(config.data)
    loss = config.loss or ""
    unused = (
        (name.startswith("focal_") and not (loss in LOSSES and LOSSES[loss].focal))
        or (name == "lr_steps" and config.schedule != "step")
        or (name == "nesterov" and config.optimizer != "sgd")
        or (name == "backbone_lr" and config.trainable == "head")
        or (name == "pos_weight" and loss not in ("cross_entropy", "bce"))
    )
    if name == "monitor":
        return metric_name(config.monitor)
    return "–" if unused else setting(name, getattr(config, name), config.task) or "–"


def differing(runs: Sequence[Facts]) -> list[str]:
    """The settings in which the runs differ, in the order of the form."""
    names = [name for name in TrainConfig.model_fields if name not in APART]
    return [name for name in names if len({shown(one.config, name) for one in runs}) > 1]


def setup_section(runs: Sequence[Facts]) -> Section:
    """Settings that all runs share, then those in which they differ."""
    config, apart = runs[0].config, differing(runs)
    names = [name for name in TrainConfig.model_fields if name not in APART]
    same = [[LABELS.get(name, name), shown(config, name)] for name in names if name not in apart]
    blocks: list[Block] = [Text(_in_words(runs))]
    if apart:
        head = ["Run", *(LABELS.get(name, name) for name in apart)]
        rows = [[one.label, *(shown(one.config, name) for name in apart)] for one in runs]
        blocks.append(Table(head, rows, "Settings in which the runs differ."))
    rows = [row for row in same if row[1] != "–"]
    half = -(-len(rows) // 2)
    pairs = [[*a, *b] for a, b in zip(rows[:half], [*rows[half:], ["", ""]], strict=False)]
    caption = "Settings that all runs share." if len(runs) > 1 else "Settings of the run."
    blocks.append(Table(["Setting", "Value", "Setting", "Value"], pairs, caption))
    return Section("setup", "Experimental setup", blocks)


def _in_words(runs: Sequence[Facts]) -> str:
    models = list(dict.fromkeys(MODELS[one.config.model].title for one in runs))
    starts = list(dict.fromkeys(shown(one.config, "weights") for one in runs))
    losses = list(dict.fromkeys(shown(one.config, "loss").lower() for one in runs))
    said = [f"{listed(models)} {'was' if len(models) == 1 else 'were'} trained with {listed(losses)}"]
    said.append(f"starting from {listed(starts)}" if starts != ["From scratch"] else "from scratch")
    seeds = sorted({one.config.seed for one in runs})
    text = ", ".join(said) + f"; {'seed' if len(seeds) == 1 else 'seeds'} {listed([str(seed) for seed in seeds])}."
    monitors = {one.config.monitor for one in runs}
    if len(monitors) == 1:
        monitor = shown(runs[0].config, "monitor")
        text += f" The weights of the epoch with the best {monitor} were kept, and all numbers are theirs."
    took = [one.seconds for one in runs if one.seconds is not None]
    devices = list(dict.fromkeys(str(one.summary.device) for one in runs if one.summary.device))
    if took:
        where = f" on {listed(devices)}" if devices else ""
        text += f" Training took {duration(sum(took))}{' in all' if len(took) > 1 else ''}{where}."
    return text


# --- the network ---


def parameters(config: TrainConfig) -> tuple[int, int]:
    """How many parameters learn, and how many there are."""
    found = network_of(config.model)
    head = head_parameters(found.features, config.head, len(config.classes))
    return sum(learning(config).values()) + head, sum(layer.parameters for layer in found.layers) + head


def network_section(runs: Sequence[Facts]) -> Section:
    """Each network that differs, drawn with what is frozen."""
    kinds: dict[object, list[Facts]] = {}
    for one in runs:
        c = one.config
        kinds.setdefault((c.model, c.trainable, c.head, c.image_size, len(c.classes)), []).append(one)
    blocks: list[Block] = []
    for group in kinds.values():
        config = group[0].config
        n, total = parameters(config)
        whose = "" if len(kinds) == 1 else f", {'runs' if len(group) > 1 else 'run'} " + listed(
            [str(one.number) for one in group])  # fmt: skip
        what = {"head": "only the head learns", "all": "all of it learns"}.get(config.trainable)
        what = what or f"{trainable(config.trainable)} and the head learn"
        title = f"{MODELS[config.model].title}: {what}{whose}"
        caption = (
            f"{n:,} of {total:,} parameters learn ({100 * n / total:.2g} %). Hidden layers of the head: "
            f"{setting('head', config.head)}; dropout {config.dropout:g}."
        )
        blocks.append(Charts([charts.network(config, title)], caption, wide=True))
    return Section("network", "Network", blocks)


# --- reproducibility ---


def reproducing(runs: Sequence[Facts]) -> Section:
    """Versions, hardware, commit, data fingerprint, and the settings as a file."""
    rows: list[list[str]] = []
    told = [(one, _environment(one)) for one in runs]
    for name in dict.fromkeys(key for _, known in told for key in known):
        values = {known.get(name, "not known") for _, known in told}
        if len(values) == 1:
            rows.append([name, values.pop()])
        else:
            rows += [[f"{name}, run {one.number}", known.get(name, "not known")] for one, known in told]
    blocks: list[Block] = []
    if rows:
        blocks.append(Table(["What", "Value"], rows, "As recorded by the runs themselves."))
    else:
        blocks.append(Text("No run recorded its environment (environment.json is missing)."))
    blocks.append(Text(
        "To train a run again, save its settings as config.json and name the dataset: python -m covidviz train "
        "--config config.json --data DATASET. The new run's environment.json then has the same data fingerprint, if it "
        "saw the same images with the same labels and splits. Other hardware or versions may round otherwise."
    ))  # fmt: skip
    for one in runs:
        text = orjson.dumps(_portable(one.config), option=orjson.OPT_INDENT_2).decode()
        blocks.append(Code(text, f"Settings of run {one.number}, {one.name} ({one.run.id})", folded=True))
    return Section("reproducibility", "Reproducibility", blocks)


def _portable(config: TrainConfig) -> dict[str, Any]:
    """config.json without paths of this machine."""
    weights = config.weights if config.weights in ("imagenet", "none") else Path(config.weights).name
    return {**config.dump(), "data": dataset_name(config.data), "weights": weights}


def _environment(one: Facts) -> dict[str, str]:
    known = one.environment
    found: dict[str, str] = {}
    versions = known.get("versions")
    if isinstance(versions, dict):
        found["Versions"] = ", ".join(f"{name} {version}" for name, version in versions.items())
    hardware = known.get("hardware")
    if isinstance(hardware, dict):
        named = (("gpu", ""), ("cpu", ""), ("cores", " cores"), ("memory_gb", " GB memory"), ("cuda", ""))
        said = [f"{'CUDA ' if key == 'cuda' else ''}{hardware[key]}{unit}" for key, unit in named if hardware.get(key)]
        found["Hardware"] = ", ".join(said)
    for key, title in (("device", "Device"), ("precision", "Arithmetic")):
        if isinstance(known.get(key), str):
            found[title] = known[key]
    git = known.get("git")
    if isinstance(git, dict) and isinstance(git.get("commit"), str):
        found["Git commit"] = git["commit"] + (", with changes that were not committed" if git.get("modified") else "")
    weights = known.get("weights")
    if isinstance(weights, dict) and isinstance(weights.get("sha256"), str):
        found["Starting weights, SHA-256"] = weights["sha256"]
    if one.fingerprint:
        found["Data fingerprint"] = one.fingerprint
    return found
