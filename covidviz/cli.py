"""The command line. Every heavy import is local to the command that needs it: the scheduler and --help stay light."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import shlex
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from covidviz.errors import CovidvizError, InputError, StoreError
from covidviz.paths import runs_dir
from covidviz.store import layout

if TYPE_CHECKING:
    from covidviz.config import TrainConfig

__all__ = ["main"]

PROG = "python -m covidviz"


@dataclass(frozen=True)
class Answer:
    """What a command has to say: as one JSON document, or as text for people; and whether it failed."""

    document: Any
    text: str
    failed: str | None = None


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code: 0, 1 (failed) or 2 (wrong use or bad input)."""
    given = list(sys.argv[1:] if argv is None else argv)
    try:
        args = _parser(given).parse_args(given)
    except SystemExit as end:  # --help, or a usage error that was already told
        return int(end.code or 0)
    try:
        # Whatever a library prints goes to stderr: stdout is the answer alone.
        args.stdout = sys.stdout
        with contextlib.redirect_stdout(sys.stderr):
            answer: Answer = args.run(args)
    except CovidvizError as error:
        return _fail(str(error), error.exit_code)
    except KeyboardInterrupt:
        return _fail("interrupted", 1)
    except BrokenPipeError:  # as below, of a command that answers line by line
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if sys.flags.dev_mode:
            traceback.print_exc()
        return _fail(f"unexpected {type(error).__name__}: {error} (python -X dev shows where)", 1)
    if args.json:
        from covidviz.store.files import to_json

        out = to_json(answer.document, indent=2)
    else:
        out = answer.text
    try:
        if out:
            print(out, flush=True)
    except BrokenPipeError:  # the reader (head, less) had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return _fail(answer.failed, 1) if answer.failed else 0


def _fail(message: str, code: int) -> int:
    _tell(f"covidviz: {' '.join(message.split())}")
    return code


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


# the parser


class _Parser(argparse.ArgumentParser):
    """Tells a usage error in one line."""

    def error(self, message: str) -> NoReturn:
        _tell(f"covidviz: {message} (see {self.prog} --help)")
        sys.exit(2)


def _parser(argv: Sequence[str]) -> argparse.ArgumentParser:
    parser = _Parser(
        prog=PROG, description="Fine-tune networks on chest X-rays and question the result.", allow_abbrev=False
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    words = [word for word in argv if not word.startswith("-")][:2]

    def add(parent: Any, name: str, run: Callable[[argparse.Namespace], Answer], help: str, **more: Any) -> _Parser:
        one: _Parser = parent.add_parser(name, help=help, description=help, allow_abbrev=False, **more)
        one.add_argument("--json", action="store_true", help="print one JSON document on stdout and nothing else")
        one.set_defaults(run=run)
        return one

    def add_runs_dir(one: _Parser) -> None:
        one.add_argument(
            "--runs-dir", type=Path, metavar="DIR", help="folder of all runs; default COVIDVIZ_RUNS_DIR or runs/"
        )

    one = add(commands, "demo", _demo, "built-in data and three finished runs, ready to explore")
    add_runs_dir(one)

    data = commands.add_parser("data", help="make and inspect datasets", allow_abbrev=False)
    of_data = data.add_subparsers(metavar="COMMAND", required=True)
    one = add(of_data, "phantoms", _phantoms, "make a dataset of chest X-ray-like images, without any download")
    _phantom_options(one)
    one = add(of_data, "inspect", _inspect, "classes, counts per split, unreadable files; opens every image")
    one.add_argument("path", metavar="PATH", help="folder of the dataset, or a labels.csv")
    one.add_argument(
        "--split-column", default="split", metavar="COLUMN", help="column of labels.csv that holds the split"
    )
    one = add(of_data, "doctor", _doctor, "leakage, duplicates, shortcuts, label problems, odd images")
    one.add_argument("path", metavar="PATH", help="folder of the dataset, or a labels.csv")
    one.add_argument(
        "--split-column", default="split", metavar="COLUMN", help="column of labels.csv that holds the split"
    )
    one.add_argument("--run", dest="beside", metavar="RUN", help="a run on this dataset, to tell its scores beside")
    add_runs_dir(one)

    for name, run, help in (
        ("train", _train, "train here and now"),
        ("submit", _submit, "queue a training for the scheduler"),
    ):
        one = add(commands, name, run, help)
        one.add_argument(
            "--config", type=Path, metavar="FILE", help="settings as JSON, such as a run's config.json; flags win"
        )
        add_runs_dir(one)
        if words[:1] == [name]:
            _config_flags(one)

    runs = commands.add_parser("runs", help="list, show and manage runs", allow_abbrev=False)
    of_runs = runs.add_subparsers(metavar="COMMAND", required=True)
    add_runs_dir(add(of_runs, "list", _runs_list, "all runs, newest first"))
    for name, run, help in (
        ("show", _runs_show, "state and best metrics of one run"),
        ("stop", _runs_stop, "stop a queued or running run; a checkpoint is kept"),
        ("resume", _runs_resume, "train on here and now, from the last checkpoint"),
        ("clone", _runs_clone, "queue a new run with the same settings; flags change some"),
        ("delete", _runs_delete, "move a run to the trash"),
        ("restore", _runs_restore, "bring a deleted run back"),
        ("export", _runs_export, "write a run's results for other programs"),
    ):
        one = add(of_runs, name, run, help)
        one.add_argument("id", metavar="RUN", help="id of the run, or the beginning of one")
        add_runs_dir(one)
        if name == "export":
            one.add_argument("--to", choices=("csv", "tensorboard"), required=True, help="kind of files")
            one.add_argument(
                "--out", type=Path, metavar="DIR", help="where to; default csv: ./RUN-csv, tensorboard: the run"
            )
        elif name == "clone" and words[:2] == ["runs", "clone"]:
            _config_flags(one)

    one = add(commands, "evaluate", _evaluate, "metrics and confusion of a run's best epoch on any dataset")
    one.add_argument("id", metavar="RUN", help="id of the run, or the beginning of one")
    one.add_argument("--data", required=True, metavar="PATH", help="folder of the dataset, or a labels.csv")
    one.add_argument("--split", choices=(*layout.SPLITS, "all"), default="test", help="all: every sample; default test")
    add_runs_dir(one)
    one = add(commands, "predict", _predict, "what a run's best epoch says about images")
    one.add_argument("id", metavar="RUN", help="id of the run, or the beginning of one")
    one.add_argument("images", nargs="+", metavar="IMAGE", help="image files, and folders of them with all below")
    one.add_argument("--cam", type=Path, metavar="DIR", help="also write each image with its Grad-CAM there")
    add_runs_dir(one)

    one = add(commands, "compare", _compare, "paired verdict on two runs: what B does with A's images")
    one.add_argument("a", metavar="RUN_A", help="id of the baseline, or the beginning of one")
    one.add_argument("b", metavar="RUN_B", help="id of the run to judge, or the beginning of one")
    one.add_argument("--split", choices=layout.SPLITS, help="default: test where both have it, else val")
    add_runs_dir(one)

    cached = commands.add_parser("cache", help="show and clear what can be made again", allow_abbrev=False)
    of_cache = cached.add_subparsers(metavar="COMMAND", required=True)
    for name, run, help in (
        ("show", _cache_show, "decoded images and frozen features on disk, longest unused first"),
        ("clear", _cache_clear, "remove them; running trainings keep what they have open"),
    ):
        one = add(of_cache, name, run, help)
        one.add_argument("--kind", choices=("images", "features", "index"), help="only these; default all")

    one = add(commands, "scheduler", _scheduler, "the queue's process, in the foreground")
    add_runs_dir(one)
    one.add_argument("--worker", help=argparse.SUPPRESS)  # another training command, for tests
    one.add_argument("--lock", type=int, help=argparse.SUPPRESS)  # inherited from who starts it in the background
    return parser


def _config_flags(parser: argparse.ArgumentParser) -> None:
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


def _phantom_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("out", type=Path, metavar="OUT", help="folder to make")
    parser.add_argument("--size", choices=("tiny", "small", "full"), default="small", help="60, 1,256 or 6,828 images")
    parser.add_argument("--seed", type=int, default=0, help="the same seed gives the same images")
    defects = parser.add_argument_group("defects to plant, for teaching")
    defects.add_argument("--duplicates", type=int, default=0, metavar="N", help="validation images copied from train")
    defects.add_argument("--shared-patients", type=int, default=0, metavar="N", help="patients in train and validation")
    defects.add_argument("--marker-class", metavar="CLASS", help="class whose images carry a text in a corner")
    defects.add_argument(
        "--label-noise", type=float, default=0.0, metavar="SHARE", help="share of wrong labels, 0 to 0.5"
    )
    defects.add_argument("--encoding", choices=("implied", "train-only"), help="the course's two label encodings")


# commands


def _demo(args: argparse.Namespace) -> Answer:
    from covidviz.demo import make_demo

    demo = make_demo(_runs_dir(args), wait=True, on_progress=_tell)
    failed = [run["run_id"] for run in demo["runs"] if run["state"] != "completed"]
    lines = [f"{run['state']:<10} {run['run_id']}" for run in demo["runs"]]
    text = "\n".join([demo["weights"], *lines, "look at them with: streamlit run streamlit_app.py"])
    return Answer(demo, text, failed=f"not completed: {', '.join(failed)}" if failed else None)


def _phantoms(args: argparse.Namespace) -> Answer:
    from covidviz.data.phantoms import PhantomOptions, make_phantoms

    options = PhantomOptions(
        size=args.size, seed=args.seed, duplicates=args.duplicates, shared_patients=args.shared_patients,
        marker_class=args.marker_class, label_noise=args.label_noise, encoding=args.encoding,
    )  # fmt: skip
    with _counter("images") as count:
        path = make_phantoms(args.out, options, on_progress=count)
    n = sum(1 for _ in (path / "images").iterdir())
    return Answer({"path": str(path), "images": n, **dataclasses.asdict(options)}, f"{n} images in {path}")


def _inspect(args: argparse.Namespace) -> Answer:
    from covidviz.data.images import inspect

    with _counter("images") as count:
        document = inspect(args.path, split_column=args.split_column, on_progress=count)
    lines = [f"{'split':<8}{'images':>8}  " + "  ".join(f"{name:>12}" for name in document["classes"])]
    for split, row in document["splits"].items():
        counts = "  ".join(f"{row['per_class'].get(name, 0):>12}" for name in document["classes"])
        lines.append(f"{split:<8}{row['n']:>8}  {counts}")
    lines += [f"{document['patients']} patients"] if document.get("patients") is not None else []
    lines += document.get("notes", [])
    if document.get("unlabelled"):
        lines.append(f"{len(document['unlabelled'])} images without a label are left out")
    lines += [f"unreadable: {row['path']}: {row['error']}" for row in document["unreadable"]]
    return Answer(document, "\n".join(lines))


def _doctor(args: argparse.Namespace) -> Answer:
    from covidviz.data.doctor import diagnose, with_run
    from covidviz.store.runs import find_run

    beside = find_run(_runs_dir(args), args.beside) if args.beside else None
    with _counter("percent") as count:
        tell = None if count is None else lambda share, _: count(round(100 * share), 100)
        report = diagnose(args.path, args.split_column, tell=tell)
    if beside is not None:
        report = with_run(report, beside)
    lines = []
    for check in report.checks:
        lines.append(f"{check.severity:<5} {check.title}: {check.summary}")
        lines += [f"      {check.remedy}"] if check.severity in ("warn", "bad") and check.remedy else []
    return Answer(report.document(), "\n".join(lines))


def _train(args: argparse.Namespace) -> Answer:
    from covidviz.jobs.submit import prepare
    from covidviz.store.runs import create_run

    config, _ = prepare(_config(args))
    # Before the run says running: importing torch can take longer than a heartbeat may.
    from covidviz.training.worker import work

    return _work(work, create_run(config, _runs_dir(args), state="running"))


def _submit(args: argparse.Namespace) -> Answer:
    from covidviz.jobs.submit import submit

    return _shown(submit(_config(args), _runs_dir(args)))


def _runs_list(args: argparse.Namespace) -> Answer:
    from covidviz.store.index import RunIndex

    rows = RunIndex(_runs_dir(args)).refresh()
    table = [("RUN", "STATE", "NAME", "MODEL", "LOSS", "EPOCH", "BEST")]
    table += [
        (
            row.run_id, row.state, row.name[:40], row.model, row.loss, f"{row.epoch}/{row.epochs}",
            "" if row.best is None else f"{row.monitor} {row.best:.3f}",
        )
        for row in rows
    ]  # fmt: skip
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in table]
    return Answer([row.document() for row in rows], "\n".join(lines) if rows else "no runs yet")


def _runs_show(args: argparse.Namespace) -> Answer:
    return _shown(_run_dir(args))


def _runs_stop(args: argparse.Namespace) -> Answer:
    from covidviz.jobs.queue import request_stop

    run_dir = _run_dir(args)
    state = request_stop(run_dir)
    said = "stopped" if state == "stopped" else "stops after the batch it is in, with a checkpoint"
    return Answer({"run_id": run_dir.name, "state": state}, f"{run_dir.name} {said}")


def _runs_resume(args: argparse.Namespace) -> Answer:
    from covidviz.jobs.queue import check_resumable

    run_dir = _run_dir(args)
    check_resumable(run_dir)
    from covidviz.training.worker import work

    return _work(work, run_dir)


def _runs_clone(args: argparse.Namespace) -> Answer:
    from covidviz.jobs.submit import submit
    from covidviz.store.runs import clone_config

    return _shown(submit(clone_config(_run_dir(args), **_fields(args)), _runs_dir(args)))


def _runs_delete(args: argparse.Namespace) -> Answer:
    from covidviz.store.runs import delete_run

    run_dir = _run_dir(args)
    lies = delete_run(run_dir)
    return Answer(
        {"run_id": run_dir.name, "run_dir": str(lies)}, f"{run_dir.name} is in the trash; runs restore brings it back"
    )


def _runs_restore(args: argparse.Namespace) -> Answer:
    from covidviz.store.runs import restore_run

    return _shown(restore_run(_runs_dir(args), args.id))


def _runs_export(args: argparse.Namespace) -> Answer:
    run_dir = _run_dir(args)
    if args.to == "csv":
        from covidviz.store.runs import export_csv

        out = args.out or Path(f"{run_dir.name}-csv")
        files = export_csv(run_dir, out)
    else:
        out = args.out or run_dir
        files = _export_tensorboard(run_dir, out)
    document = {
        "run_id": run_dir.name,
        "to": args.to,
        "path": str(out.resolve()),
        "files": [str(f.resolve()) for f in files],
    }
    return Answer(document, "\n".join(map(str, files)))


def _export_tensorboard(run_dir: Path, out: Path) -> list[Path]:
    """The run's event files; written from metrics.jsonl where `out` has none."""
    from covidviz.store.files import saving
    from covidviz.store.reader import Run

    if found := sorted(out.glob(layout.EVENTS)):
        return found
    run = Run(run_dir)
    config, metrics = run.config(), run.metrics()
    if config is None or metrics.empty:
        raise StoreError(f"run {run_dir.name} has nothing to export yet")
    from covidviz.training.tensorboard import Curves

    with saving(out):
        out.mkdir(parents=True, exist_ok=True)
        with Curves(out, config) as curves:
            for epoch in metrics["epoch"].unique().tolist():
                rows = metrics[metrics["epoch"] == epoch].drop(columns="epoch").to_dict("records")
                curves.epoch(epoch, {row.pop("split"): {k: v for k, v in row.items() if v == v} for row in rows})
            curves.close(completed=run.status().state == "completed")
    return sorted(out.glob(layout.EVENTS))


def _evaluate(args: argparse.Namespace) -> Answer:
    run_dir = _run_dir(args)
    from covidviz.training.inference import evaluate_run

    with _counter("images") as count:
        document = evaluate_run(run_dir, args.data, args.split, on_progress=count)
    lines = [f"{document['n']} images, split {document['split']}"]
    lines += [f"{name:<24}{value:.4f}" for name, value in document["metrics"].items() if value is not None]
    return Answer(document, "\n".join(lines))


def _predict(args: argparse.Namespace) -> Answer:
    run_dir = _run_dir(args)
    from covidviz.data.image_files import image_files

    paths, empty = image_files(args.images)
    for folder in empty:
        _tell(f"covidviz: {folder} holds no image")
    if not paths:
        raise InputError(f"{args.images[0]} holds no image, accepted: PNG, JPEG, WebP, BMP, TIFF, GIF, DICOM")
    from covidviz.training.inference import predict_images

    rows: list[dict[str, Any]] = []
    read = 0
    # Lines for people come as the images are done, so nothing of them is kept; on a terminal they are the counter.
    with _counter("images") if args.json or not args.stdout.isatty() else contextlib.nullcontext() as count:
        for row in predict_images(run_dir, paths, args.cam, on_progress=count):
            read += row["error"] is None
            if args.json:
                rows.append(row)
                continue
            said = row["error"] or "  ".join(f"{name} {p:.3f}" for name, p in row["prob"].items())
            print(f"{row['path']}: {said}", file=args.stdout, flush=True)
    return Answer(rows, "", failed=None if read else "none of the images can be read")


def _compare(args: argparse.Namespace) -> Answer:
    from covidviz.store.runs import find_run

    dirs = [find_run(_runs_dir(args), given) for given in (args.a, args.b)]
    from covidviz.evaluation.judged_runs import judgement, split_of
    from covidviz.evaluation.matched import match
    from covidviz.evaluation.paired import compare
    from covidviz.evaluation.verdict import verdict
    from covidviz.store.reader import Run

    (one, critical), (other, _) = (judgement(Run(run_dir), name) for run_dir, name in zip(dirs, "AB", strict=True))
    split = args.split or split_of([one, other])
    found = match([one], [other], split)
    paired = compare(found.truth, found.a, found.b, found.classes, found.task, clusters=found.patients)
    said = verdict(paired, critical=critical)
    notes = [*found.notes, *said.cautions]
    document = {
        "a": dirs[0].name, "b": dirs[1].name, "split": split, **paired.document(), "verdict": said.text,
        "evidence": said.kind, "notes": notes,
    }  # fmt: skip
    unit = "patients" if found.patients else "images"
    lines = [
        f"A  {dirs[0].name}", f"B  {dirs[1].name}", f"{paired.n} images of {split}, {paired.units} {unit}", "",
        said.text, *notes, "",
        f"{'metric':<24}{'A':>8}{'B':>8}{'B - A':>9}   95 % interval",
    ]  # fmt: skip
    for name, row in paired.metrics.items():
        lines.append(f"{name:<24}{row.a:>8.4f}{row.b:>8.4f}{row.diff:>+9.4f}   {row.low:+.4f} to {row.high:+.4f}")
    return Answer(document, "\n".join(lines))


def _cache_show(args: argparse.Namespace) -> Answer:
    from covidviz.paths import cache_dir
    from covidviz.store import cache

    found = cache.entries(args.kind)
    rows = [
        {"kind": one.kind, "key": one.key, "bytes": one.bytes, "used": one.used, "about": one.about} for one in found
    ]
    total, limit = sum(one.bytes for one in found), cache.limit()
    lines = [
        f"{one.kind:9} {one.bytes / 1e6:>10,.1f} MB  "
        + ", ".join(f"{name} {value}" for name, value in sorted(one.about.items()))
        for one in found
    ]
    lines.append(f"{total / 1e6:,.1f} MB of at most {limit / 1e6:,.0f} MB in {cache_dir()}")
    return Answer({"folder": str(cache_dir()), "limit": limit, "bytes": total, "entries": rows}, "\n".join(lines))


def _cache_clear(args: argparse.Namespace) -> Answer:
    from covidviz.store import cache

    freed = cache.clear(args.kind)
    return Answer({"freed": freed}, f"{freed / 1e6:,.1f} MB freed")


def _scheduler(args: argparse.Namespace) -> Answer:
    from covidviz.jobs.scheduler import WORKER, run_scheduler

    command = shlex.split(args.worker) if args.worker else WORKER
    run_scheduler(_runs_dir(args), command=command, inherited=args.lock)
    return Answer(None, "")


# what commands share


def _runs_dir(args: argparse.Namespace) -> Path:
    return args.runs_dir.expanduser().resolve() if args.runs_dir else runs_dir()


def _run_dir(args: argparse.Namespace) -> Path:
    from covidviz.store.runs import find_run

    return find_run(_runs_dir(args), args.id)


def _fields(args: argparse.Namespace) -> dict[str, Any]:
    given = vars(args).items()
    return {
        name.removeprefix("field_"): value for name, value in given if name.startswith("field_") and value is not None
    }


def _config(args: argparse.Namespace) -> TrainConfig:
    from covidviz.config import TrainConfig

    values: dict[str, Any] = {}
    if args.config is not None:
        try:
            values = json.loads(args.config.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(f"config: {args.config} can not be read as JSON: {error}") from error
        if not isinstance(values, dict):
            raise InputError(f"config: {args.config} holds no settings, accepted: one JSON object")
    return TrainConfig.parse({**values, **_fields(args)})


def _shown(run_dir: Path) -> Answer:
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


_SHOWN = ("loss", "accuracy", "label_accuracy", "exact_match", "macro_f1", "micro_f1")


def _work(work: Callable[..., str], run_dir: Path) -> Answer:
    """Trains in this process. Ctrl-C asks the training to stop with a checkpoint, twice ends it at once."""
    _tell(f"run {run_dir.name}")
    asked = False

    def stop(*_: object) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True
        (run_dir / layout.STOP).touch()
        _tell("stopping after this batch, with a checkpoint; once more to end at once")

    before = signal.signal(signal.SIGINT, stop)
    try:
        work(run_dir, on_event=_tell)
    finally:
        signal.signal(signal.SIGINT, before)
    answer = _shown(run_dir)
    state, error = answer.document["state"], answer.document["error"]
    if state in ("completed", "stopped"):
        return answer
    return dataclasses.replace(answer, failed=error or f"the training ended as {state}")


@contextlib.contextmanager
def _counter(what: str) -> Iterator[Callable[[int, int], None] | None]:
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
