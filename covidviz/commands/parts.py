"""What commands share: the answer, the options, the run they are about. Heavy imports are local."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from covidviz import paths
from covidviz.errors import InputError
from covidviz.store import layout

if TYPE_CHECKING:
    from covidviz.config import TrainConfig

__all__ = [
    "Answer", "Parser", "add", "add_run", "add_runs_dir", "add_settings", "asked_run", "counter", "given_settings",
    "runs_dir", "settings", "shown", "tell", "work_here",
]  # fmt: skip


@dataclass(frozen=True)
class Answer:
    """What a command has to say: as one JSON document, or as text for people; and whether it failed."""

    document: Any
    text: str
    failed: str | None = None


def tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


@contextlib.contextmanager
def counter(what: str) -> Iterator[Callable[[int, int], None] | None]:
    """A count that rewrites its line, where a person watches."""
    if not sys.stderr.isatty():
        yield None
        return

    def count(done: int, n: int) -> None:
        sys.stderr.write(f"\r{done} of {n} {what}")
        sys.stderr.flush()

    try:
        yield count
    finally:
        sys.stderr.write("\r\033[K")


# the parser


class Parser(argparse.ArgumentParser):
    """Tells a usage error in one line."""

    def error(self, message: str) -> NoReturn:
        tell(f"covidviz: {message} (see {self.prog} --help)")
        sys.exit(2)


def add(parent: Any, name: str, run: Callable[[argparse.Namespace], Answer], help: str) -> Parser:
    """A command below `parent`, with --json."""
    one: Parser = parent.add_parser(name, help=help, description=help, allow_abbrev=False)
    one.add_argument("--json", action="store_true", help="print one JSON document on stdout and nothing else")
    one.set_defaults(run=run)
    return one


def add_runs_dir(one: Parser) -> None:
    one.add_argument(
        "--runs-dir", type=Path, metavar="DIR", help="folder of all runs; default COVIDVIZ_RUNS_DIR or runs/"
    )


def add_run(one: Parser) -> None:
    """The run that the command is about, and the folder it lies in."""
    one.add_argument("id", metavar="RUN", help="id of the run, or the beginning of one")
    add_runs_dir(one)


def add_settings(parser: argparse.ArgumentParser) -> None:
    """One flag per field of TrainConfig. Values stay text here: the model reads and checks them in one place."""
    from covidviz.config import TrainConfig, knob

    group = parser.add_argument_group("settings")
    for name, field in TrainConfig.model_fields.items():
        row = knob(name)
        flag = f"--{name.replace('_', '-')}"
        help = f"{row['help']}{_accepted(row)}".replace("%", "%%")
        if field.annotation is bool:
            group.add_argument(
                flag, dest=f"field_{name}", action=argparse.BooleanOptionalAction, default=None, help=help
            )
        else:
            group.add_argument(flag, dest=f"field_{name}", metavar="VALUE", help=help)


def _accepted(row: dict[str, Any]) -> str:
    said = []
    if row["choices"]:
        said.append(", ".join(row["choices"]))
    elif row["low"] is not None:
        said.append(f"{row['low']:g} to {row['high']:g}" + (f" {row['unit']}" if row["unit"] else ""))
    default = row["default"]
    if default not in (None, "", ()):
        said.append(f"default {','.join(map(str, default)) if isinstance(default, tuple) else default}")
    return f" ({'; '.join(said)})" if said else ""


# what was given


def runs_dir(args: argparse.Namespace) -> Path:
    return args.runs_dir.expanduser().resolve() if args.runs_dir else paths.runs_dir()


def asked_run(args: argparse.Namespace) -> Path:
    from covidviz.store.runs import find_run

    return find_run(runs_dir(args), args.id)


def given_settings(args: argparse.Namespace) -> dict[str, Any]:
    given = vars(args).items()
    return {
        name.removeprefix("field_"): value for name, value in given if name.startswith("field_") and value is not None
    }


def settings(args: argparse.Namespace) -> TrainConfig:
    from covidviz.config import TrainConfig

    values: dict[str, Any] = {}
    given = given_settings(args)
    recipe = given.pop("recipe", None)
    if recipe is not None and args.config is not None:
        raise InputError("recipe: given with config, accepted: one of --recipe NAME and --config FILE")
    if recipe is not None:
        from covidviz.recipes.fit import fitted

        values, said = fitted(recipe, given)
        if said:
            tell(f"recipe {values['recipe']}: {said}")
        return TrainConfig.parse(values)
    if args.config is not None:
        try:
            values = json.loads(args.config.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(f"config: {args.config} can not be read as JSON: {error}") from error
        if not isinstance(values, dict):
            raise InputError(f"config: {args.config} holds no settings, accepted: one JSON object")
    return TrainConfig.parse({**values, **given})


# runs as answers


_SHOWN = ("loss", "accuracy", "label_accuracy", "exact_match", "macro_f1", "micro_f1")


def shown(run_dir: Path) -> Answer:
    from covidviz.store.reader import Run

    document = Run(run_dir).result()
    lines = [f"{document['run_id']}  {document['state']}  epoch {document['epoch']} of {document['epochs']}"]
    if document["error"]:
        lines.append(document["error"])
    if document["best_epoch"] is not None:
        lines.append(f"best epoch {document['best_epoch']}")
        for split, values in document["metrics"].items():
            shown = [f"{key} {values[key]:.4f}" for key in _SHOWN if isinstance(values.get(key), float)]
            lines.append(f"  {split:<6}{'  '.join(shown)}")
    return Answer(document, "\n".join([*lines, str(run_dir)]))


def work_here(work: Callable[..., str], run_dir: Path) -> Answer:
    """Trains in this process. Ctrl-C asks the training to stop with a checkpoint, twice ends it at once."""
    tell(f"run {run_dir.name}")
    asked = False

    def stop(*_: object) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True
        (run_dir / layout.STOP).touch()
        tell("stopping after this batch, with a checkpoint; once more to end at once")

    before = signal.signal(signal.SIGINT, stop)
    try:
        work(run_dir, on_event=tell)
    finally:
        signal.signal(signal.SIGINT, before)
    answer = shown(run_dir)
    state, error = answer.document["state"], answer.document["error"]
    if state in ("completed", "stopped"):
        return answer
    return dataclasses.replace(answer, failed=error or f"the training ended as {state}")
