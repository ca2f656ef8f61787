"""TrainConfig: every knob, declared once.

Range, step, unit and help of a field feed the command line, the sliders, the validation and the documentation.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, NamedTuple, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from pydantic.fields import FieldInfo

from covidviz.catalog import AUGMENTATIONS, LOSSES, MODELS, OPTIMIZERS, SCHEDULES, TASKS
from covidviz.errors import ConfigError

__all__ = ["SCHEMA_VERSION", "LabelRule", "TrainConfig", "knob", "parse_label_rule", "parse_lr_steps"]

SCHEMA_VERSION = 1
_LIMITS = ("ge", "gt", "le", "lt", "min_length", "max_length")
_METRICS = "loss|accuracy|label_accuracy|exact_match|macro_f1|micro_f1|f1_.+|recall_.+|precision_.+"


def _off(value: Any) -> Any:
    return None if isinstance(value, str) and value.strip().lower() in ("off", "none", "") else value


def _names(value: Any) -> Any:
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


def _table(table: Mapping[str, object]) -> type[str]:
    """A string that must be a key of `table`."""

    def check(value: Any) -> Any:
        if value not in table:
            raise ValueError(f"{value!r} given, accepted: {', '.join(table)}")
        return value

    return Annotated[str, BeforeValidator(check)]  # type: ignore[return-value]


def _knob(
    default: Any, help: str, *, step: float | None = None, unit: str = "", log: bool = False, **limits: Any
) -> Any:
    return Field(default, description=help, json_schema_extra={"step": step, "unit": unit, "log": log}, **limits)


class TrainConfig(BaseModel):
    """All settings of one run. Immutable; `parse` makes one from text or JSON, `dump` writes one."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    # data
    data: str = _knob(..., "Folder of the dataset, or a labels.csv.", min_length=1)
    split_column: str = _knob("split", "Column of labels.csv that says train, val or test.", min_length=1)
    classes: Annotated[tuple[str, ...], BeforeValidator(_names)] = _knob(
        (), "Class names in the order to show them; empty: all, sorted by name."
    )
    critical_class: Annotated[str | None, BeforeValidator(_off)] = _knob(
        None, "The class that must not be missed; default covid19 where there is one."
    )
    task: _table(TASKS) = _knob("single-label", "One class per image, or several labels.")  # type: ignore[valid-type]
    label_rule: Annotated[str | None, BeforeValidator(_off)] = _knob(
        None,
        "What labels mean, in every split: covid19>pneumonia (who has the first has the second too), covid19=infected "
        "(the first is read as the second); several joined by commas. pneumonia>covid19@train holds in train only: a "
        "fault, for teaching.",
    )
    image_size: int = _knob(224, "Side of the square the image is scaled to.", ge=64, le=512, step=32, unit="px")
    augment: _table(AUGMENTATIONS) = _knob("none", "What happens to training images at random.")  # type: ignore[valid-type]

    # network
    model: _table(MODELS) = _knob("resnet18", "The network.")  # type: ignore[valid-type]
    weights: str = _knob("imagenet", "Where it starts: imagenet, none (from scratch), or a weights file.", min_length=1)
    head: Annotated[tuple[Annotated[int, Field(ge=1, le=8192)], ...], BeforeValidator(_names)] = _knob(
        (256,), "Widths of the hidden layers in the new head; empty: none."
    )
    dropout: float = _knob(0.5, "Share of head units switched off at random in training.", ge=0, le=0.9, step=0.05)
    trainable: str = _knob("head", "What learns besides the head: head (nothing), all, from:LAYER, or layer names.")

    # training
    loss: Annotated[str | None, BeforeValidator(_off)] = _knob(None, "What is minimised; default by task.")
    focal_gamma: float = _knob(
        2.0, "How strongly focal loss ignores easy images; 0 is cross-entropy.", ge=0, le=10, step=0.1
    )
    focal_alpha: Annotated[float | None, BeforeValidator(_off)] = _knob(
        None,
        "Weight of positives in focal loss (negatives get 1 - alpha); with one class per image the critical class is "
        "positive; off: no weighting.",
        ge=0,
        le=1,
        step=0.05,
    )
    pos_weight: bool = _knob(
        False, "Weight rare labels up: negatives / positives per label (bce), inverse frequency (cross_entropy)."
    )
    optimizer: _table(OPTIMIZERS) = _knob("sgd", "How the weights are moved.")  # type: ignore[valid-type]
    lr: float = _knob(
        1e-2, "Learning rate of the head, and of the backbone unless backbone_lr is given.", gt=0, le=10, log=True
    )
    backbone_lr: Annotated[float | None, BeforeValidator(_off)] = _knob(
        None, "Learning rate of trainable backbone layers; default: lr.", gt=0, le=10, log=True
    )
    momentum: float = _knob(0.9, "Momentum of SGD (beta 1 of Adam).", ge=0, lt=1, step=0.01)
    nesterov: bool = _knob(False, "Look ahead along the momentum (SGD).")
    weight_decay: float = _knob(0.0, "Pull of the weights towards zero.", ge=0, le=1, log=True)
    schedule: _table(SCHEDULES) = _knob("constant", "How the learning rate changes.")  # type: ignore[valid-type]
    lr_steps: Annotated[str | None, BeforeValidator(_off)] = _knob(
        None, "For the step schedule: EPOCH:LR pairs, each from that epoch on, such as 5:1e-3,8:1e-4."
    )
    batch_size: int = _knob(32, "Images per step.", ge=1, le=4096, step=1, unit="images")
    epochs: int = _knob(10, "Times the training images are gone through.", ge=1, le=1000, step=1)
    seed: int = _knob(0, "Start of every random choice.", ge=0, le=2**31 - 1, step=1)
    monitor: str = _knob("val_macro_f1", "The validation metric whose best epoch is kept, such as val_recall_covid19.")
    patience: Annotated[int | None, BeforeValidator(_off)] = _knob(
        None, "Stop after this many epochs without improvement; off: never.", ge=1, le=1000, step=1
    )
    train_eval: bool = _knob(
        False, "Measure the training metrics after each epoch in evaluation mode (one more pass) instead of on the way."
    )

    # machine
    precision: Literal["auto", "fp32", "bf16", "fp16"] = _knob(
        "auto", "Number format of the arithmetic; auto: the fastest safe one."
    )
    device: str = _knob("auto", "auto, cpu, or cuda:N.")
    cache: Literal["auto", "off", "exact"] = _knob(
        "auto",
        "Kept on disk: decoded images and what frozen layers make of them (auto, exact), or nothing (off). auto is the "
        "fastest and rounds a little otherwise; exact computes what off does.",
    )

    # for people
    name: str = _knob("", "A name; default: from the settings.", max_length=200)
    tags: Annotated[tuple[str, ...], BeforeValidator(_names)] = _knob((), "Words to find the run by.")
    recipe: str = _knob("", "The recipe that the settings come from, such as bscs17028/vgg16-fc.", max_length=100)

    @model_validator(mode="after")
    def _fits_together(self) -> TrainConfig:
        if self.loss is not None:
            if self.loss not in LOSSES:
                raise ValueError(f"loss: {self.loss!r} given, accepted: {', '.join(LOSSES)}")
            if self.task not in LOSSES[self.loss].tasks:
                fit = [name for name, row in LOSSES.items() if self.task in row.tasks]
                raise ValueError(f"loss: {self.loss!r} does not fit task {self.task}, accepted: {', '.join(fit)}")
        if self.pos_weight and self.loss not in (None, "cross_entropy", "bce"):
            raise ValueError(f"pos_weight: does not fit loss {self.loss}, accepted with: cross_entropy, bce")
        if len(set(self.classes)) != len(self.classes):
            raise ValueError(f"classes: {','.join(self.classes)!r} names a class twice")
        if self.classes and self.critical_class and self.critical_class not in self.classes:
            raise ValueError(f"critical_class: {self.critical_class!r} given, accepted: {', '.join(self.classes)}")
        if not re.fullmatch(rf"val_({_METRICS})", self.monitor):
            accepted = "val_ and a metric, such as val_macro_f1, val_loss, val_recall_covid19"
            raise ValueError(f"monitor: {self.monitor!r} given, accepted: {accepted}")
        if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", self.device):
            raise ValueError(f"device: {self.device!r} given, accepted: auto, cpu, cuda, cuda:0, cuda:1 and so on")
        parse_label_rule(self.label_rule)
        steps = parse_lr_steps(self.lr_steps)
        if self.schedule == "step" and not steps:
            raise ValueError("lr_steps: the step schedule needs at least one EPOCH:LR, such as 5:1e-3")
        if self.nesterov and (self.optimizer != "sgd" or self.momentum == 0):
            raise ValueError("nesterov: needs optimizer sgd with momentum above 0")
        _check_trainable(self.model, self.trainable)
        return self

    @classmethod
    def parse(cls, values: Mapping[str, Any], *, tolerant: bool = False) -> TrainConfig:
        """A config from flags, a form or a JSON document.

        Args:
            values: field name to value; text is read as the field's type. `schema_version` is checked and dropped.
            tolerant: drop fields this version does not know (for reading runs of a newer one) instead of refusing.

        Raises:
            ConfigError: names the field, what was given and what is accepted.
        """
        fields = {key: value for key, value in values.items() if key != "schema_version"}
        if tolerant:
            fields = {key: value for key, value in fields.items() if key in cls.model_fields}
        elif unknown := sorted(set(fields) - set(cls.model_fields)):
            raise ConfigError(f"{unknown[0]}: no such setting, accepted: {', '.join(cls.model_fields)}")
        try:
            return cls.model_validate(fields)
        except ValidationError as error:
            raise ConfigError("; ".join(_sentence(detail) for detail in error.errors())) from None

    def dump(self) -> dict[str, Any]:
        """The JSON document of `config.json`."""
        return {"schema_version": SCHEMA_VERSION, **self.model_dump(mode="json")}

    def replace(self, **changes: Any) -> TrainConfig:
        """A copy with some fields changed, checked again."""
        return self.parse({**self.model_dump(), **changes})

    def resolve(self, classes: tuple[str, ...]) -> TrainConfig:
        """The config with every default filled in, for a dataset with these `classes` (already ordered).

        Raises:
            ConfigError: `monitor`, `critical_class` or `label_rule` names a class that is not there.
        """
        critical = self.critical_class or ("covid19" if "covid19" in classes else None)
        if critical is not None and critical not in classes:
            raise ConfigError(f"critical_class: {critical!r} given, accepted: {', '.join(classes)}")
        known = ", ".join(classes)
        for rule in parse_label_rule(self.label_rule):
            for name in (rule.right,) if rule.read_as else (rule.left, rule.right):
                if name not in classes:
                    raise ConfigError(f"label_rule: {name!r} is no class of the dataset, accepted: {known}")
        metric = self.monitor.removeprefix("val_")
        match = re.fullmatch(r"(f1|recall|precision)_(.+)", metric)
        if match and match[2] not in classes:
            raise ConfigError(f"monitor: {match[2]!r} is no class of the dataset, accepted: {known}")
        of_other_task = ("label_accuracy", "exact_match") if self.task == "single-label" else ("accuracy",)
        if metric in of_other_task:
            accepted = "val_loss, val_macro_f1, val_micro_f1"
            raise ConfigError(f"monitor: val_{metric} does not exist for {self.task}, accepted: {accepted}")
        resolved = self.replace(
            classes=classes,
            critical_class=critical,
            loss=self.loss or ("cross_entropy" if self.task == "single-label" else "bce"),
            backbone_lr=self.backbone_lr or self.lr,
        )
        if (
            resolved.loss == "focal"
            and self.task == "single-label"
            and self.focal_alpha is not None
            and critical is None
        ):
            raise ConfigError(
                "focal_alpha: weighs the critical class against the others, so critical_class must be given, accepted: "
                f"{', '.join(classes)}, or focal_alpha off"
            )
        return resolved.replace(name=self.name or resolved.describe())

    def describe(self) -> str:
        """A short name from the settings that matter most, such as `resnet18 head focal g2 lr 0.01`."""
        loss = self.loss or ("cross_entropy" if self.task == "single-label" else "bce")
        start = "scratch" if self.weights == "none" else ""
        parts = [self.model, start, self.trainable.replace("from:", "from "), loss]
        if LOSSES[loss].focal:
            parts.append(f"g{self.focal_gamma:g}")
        parts.append(f"lr {self.lr:g}")
        return " ".join(part for part in parts if part)[:200]

    @property
    def trainable_layers(self) -> tuple[str, ...]:
        """Names of the catalog layers that learn besides the head, in the order of the network.

        Exact module names that are no catalog layer (such as `layer4.1`) come last, as given.
        """
        row = MODELS[self.model]
        if self.trainable == "head":
            return ()
        if self.trainable == "all":
            return row.layer_names
        if self.trainable.startswith("from:"):
            first = row.layer_names.index(self.trainable.removeprefix("from:"))
            return row.layer_names[first:]
        named = _names(self.trainable)
        inner = (n for n in named if n not in row.layer_names and n != "head")
        return (*(n for n in row.layer_names if n in named), *inner)


def _check_trainable(model: str, trainable: str) -> None:
    row = MODELS[model]
    known = ", ".join(row.layer_names)
    if trainable in ("head", "all"):
        return
    if trainable.startswith("from:"):
        if (name := trainable.removeprefix("from:")) not in row.layer_names:
            raise ValueError(f"trainable: {model} has no layer {name!r} to train from, accepted: {known}")
        return
    names = _names(trainable)
    if not names:
        raise ValueError(f"trainable: nothing given, accepted: head, all, from:LAYER, or layers of {model}: {known}")
    for name in names:
        # A module inside a catalog layer (layer4.1.conv2) is accepted here and checked when the model is built.
        if name != "head" and not any(name == layer or name.startswith(layer + ".") for layer in row.layer_names):
            raise ValueError(f"trainable: {model} has no layer {name!r}, accepted: head, all, from:LAYER, {known}")


def parse_lr_steps(text: str | None) -> list[tuple[int, float]]:
    """`"5:1e-3,8:1e-4"` to `[(5, 0.001), (8, 0.0001)]`, sorted by epoch (counted from 1).

    Raises:
        ValueError: not EPOCH:LR pairs, or out of range.
    """
    steps = []
    for part in _names(text or ""):
        match = re.fullmatch(r"(\d+)\s*:\s*([0-9.eE+-]+)", part)
        try:
            epoch, lr = int(match[1]), float(match[2])  # type: ignore[index]
        except (TypeError, ValueError):
            raise ValueError(f"lr_steps: {part!r} given, accepted: EPOCH:LR pairs such as 5:1e-3,8:1e-4") from None
        if epoch < 1 or not (0 < lr <= 10) or not math.isfinite(lr):
            raise ValueError(f"lr_steps: {part!r} given, accepted: epochs from 1 and learning rates above 0 up to 10")
        steps.append((epoch, lr))
    return sorted(steps)


class LabelRule(NamedTuple):
    """One rule on labels.

    read_as: False: who has `left` has `right` too. True: `left` is read as `right`, and is no class of its own.
    train_only: it holds in train and nowhere else, so that train and val mean different things by a label: a fault that
        a course report made, kept for teaching and marked as one wherever it is shown.
    """

    left: str
    right: str
    read_as: bool = False
    train_only: bool = False


def parse_label_rule(text: str | None) -> list[LabelRule]:
    """The rules in `"covid19>pneumonia"`, `"covid19=infected,pneumonia=infected"` or `"pneumonia>covid19@train"`.

    Raises:
        ValueError: not such rules, or a class that is read as two, or as another that is itself read as something.
    """
    accepted = "CLASS>CLASS such as covid19>pneumonia, CLASS=CLASS such as covid19=infected, CLASS>CLASS@train"
    rules = []
    for part in _names(text or ""):
        match = re.fullmatch(r"([^>=@]+)([>=])([^>=@]+)(@train)?", part)
        left, right = (match[1].strip(), match[3].strip()) if match else ("", "")
        if match is None or not left or not right or left == right or (match[2] == "=" and match[4]):
            raise ValueError(f"label_rule: {part!r} given, accepted: {accepted}")
        rules.append(LabelRule(left, right, match[2] == "=", bool(match[4])))
    gone = [rule.left for rule in rules if rule.read_as]
    for rule in rules:
        for name in (rule.right,) if rule.read_as else (rule.left, rule.right):
            if name in gone or gone.count(rule.left) > 1:
                twice = name if name in gone else rule.left
                raise ValueError(f"label_rule: {twice!r} is read as another class, accepted: each class once before =")
    return rules


def knob(name: str) -> dict[str, Any]:
    """What a form or the command line needs to show field `name`.

    Returns:
        `help`, `default`, `unit`, `step`, `log`, `low`, `high` (None where there is no limit), `choices` (or None), and
        `accepted`, the range in words.
    """
    field: FieldInfo = TrainConfig.model_fields[name]
    extra: dict[str, Any] = dict(field.json_schema_extra)  # type: ignore[arg-type]
    limits = {key: getattr(m, key) for m in field.metadata for key in _LIMITS if hasattr(m, key)}
    tables: dict[str, Mapping[str, object]] = {
        "task": TASKS, "augment": AUGMENTATIONS, "model": MODELS, "loss": LOSSES, "optimizer": OPTIMIZERS,
        "schedule": SCHEDULES,
    }  # fmt: skip
    choices = tuple(tables[name]) if name in tables else None
    if name in ("precision", "cache"):
        choices = get_args(field.annotation)
    return {
        **extra,
        "help": field.description,
        "default": None if field.is_required() else field.default,
        "low": limits.get("ge", limits.get("gt")),
        "high": limits.get("le", limits.get("lt")),
        "choices": choices,
        "accepted": _accepted(name, "text"),
    }


def _accepted(name: str, message: str) -> str:
    """The values a field takes, in words."""
    if name == "head":
        return "widths from 1 to 8192, comma-separated, such as 512,256"
    limits = {
        key: getattr(m, key) for m in TrainConfig.model_fields[name].metadata for key in _LIMITS if hasattr(m, key)
    }
    if "min_length" in limits or "max_length" in limits or not limits:
        return message.removeprefix("Input should be ").replace(" or ", ", ")
    low = f"{limits['ge']:g}" if "ge" in limits else f"above {limits['gt']:g}"
    high = f"{limits['le']}" if "le" in limits else f"below {limits['lt']:g}"
    return f"{low} to {high}"


def _sentence(detail: Any) -> str:
    """One pydantic error as `field: what was given, accepted: what is`."""
    name = str(detail["loc"][0]) if detail["loc"] else ""
    message = detail["msg"].removeprefix("Value error, ")
    if detail["type"] == "missing":
        return f"{name}: missing, accepted: {TrainConfig.model_fields[name].description}"
    if detail["type"] == "value_error":
        return message if not name or message.startswith(f"{name}:") else f"{name}: {message}"
    return f"{name}: {detail['input']!r} given, accepted: {_accepted(name, message)}"
