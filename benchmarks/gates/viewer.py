"""Opening a folder of 1,000 runs, looking again, and logging an epoch."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.gates.row import Row, Settings, clock, in_turn, missing, quiet, ratio, seconds
from covidviz.config import TrainConfig
from covidviz.store import cache, index_file, layout
from covidviz.store.index import LOOK_S, SETTLED_S, RunIndex
from covidviz.store.runs import create_run
from covidviz.store.writer import RunWriter
from tests.synthetic import write_synthetic_run

RUNS, EPOCHS, DRAWN = 1000, 100, 20
METRICS = ("loss", "accuracy", "macro_f1", "recall_covid19", "recall_normal", "recall_pneumonia")


def make_runs(runs: Path, n: int) -> None:
    """n runs of 100 epochs with their steps left out: a few are drawn, the others are copies under other names."""
    for i in range(DRAWN):
        first = write_synthetic_run(runs, i, epochs=EPOCHS)
        (first / layout.STEPS).unlink()
        for j in range(i + DRAWN, n, DRAWN):
            shutil.copytree(first, runs / f"{first.name[:15]}-synthetic-{j}-{j:04x}")


def naive(runs: Path) -> pd.DataFrame:
    """What one would write: read every JSON file of every run into one table, and take the best epoch of each."""
    rows, frames = [], []
    for run in sorted(runs.iterdir()):
        config, status = (json.loads((run / name).read_text()) for name in (layout.CONFIG, layout.STATUS))
        with (run / layout.METRICS).open() as file:
            frames.append(pd.DataFrame([json.loads(line) for line in file]).assign(run_id=run.name))
        rows.append({"run_id": run.name, **config, **status})
    metrics = pd.concat(frames, ignore_index=True)
    val = metrics[metrics["split"] == "val"]
    best = val.loc[val.groupby("run_id")["macro_f1"].idxmax()]
    return pd.DataFrame(rows).merge(best, on="run_id", suffixes=("", "_best"))


def write_events(folder: Path, n: int) -> None:
    """The same runs for TensorBoard: 6 metrics at 100 epochs each."""
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    writer = EventFileWriter(str(folder / "0"))
    for epoch in range(1, EPOCHS + 1):
        for name in METRICS:
            value = Summary.Value(tag=name, simple_value=0.5)
            writer.add_event(Event(wall_time=time.time(), step=epoch, summary=Summary(value=[value])))
    writer.close()
    for i in range(1, n):
        shutil.copytree(folder / "0", folder / str(i))


def tensorboard_open(folder: Path, n: int) -> float:
    """Wall seconds from the start of TensorBoard's data server (its fast loader) until every run is loaded."""
    from tensorboard.context import RequestContext
    from tensorboard.data import server_ingester
    from tensorboard.util.grpc_util import ChannelCredsType

    start = time.perf_counter()
    ingester = server_ingester.SubprocessServerDataIngester(
        server_ingester.get_server_binary(), str(folder), reload_interval=5, channel_creds_type=ChannelCredsType.LOCAL
    )
    ingester.start()
    provider, context = ingester.data_provider, RequestContext()
    while True:
        found = provider.list_scalars(context, experiment_id="", plugin_name="scalars")
        whole = [all(series.max_step == EPOCHS for series in tags.values()) for tags in found.values()]
        if len(whole) == n and all(whole):
            break
        time.sleep(0.01)
    taken = time.perf_counter() - start
    ingester._stdin_handle.close()  # it ends with that
    return taken


def opening(settings: Settings) -> Iterator[Row]:
    """All runs at a glance: for the first time, in a new process, and again when nothing changed. The disk is warm."""
    with _own_cache(settings.folder / "cache"):
        yield from _opening(settings)


def _opening(settings: Settings) -> Iterator[Row]:
    runs, events = settings.folder / "many", settings.folder / "events"
    runs.mkdir()
    make_runs(runs, RUNS)
    time.sleep(SETTLED_S)  # no run that ended a moment ago is kept on disk
    known = RunIndex(runs)
    assert len(known.refresh()) == RUNS == len(naive(runs)) == len(index_file.load(runs))
    held: list[Any] = []  # opening is measured, not letting go

    def opened(index: RunIndex) -> None:
        held[:] = index, index.refresh()

    def first() -> float:
        cache.clear("index")
        return seconds(lambda: opened(RunIndex(runs)))

    def warm() -> float:
        held.clear()
        return seconds(lambda: opened(RunIndex(runs)))

    def every_number() -> float:
        held.clear()
        return seconds(
            lambda: held.extend([(row, row.metrics, row.curves, row.settings) for row in RunIndex(runs).refresh()])
        )

    def unchanged() -> float:
        known.refresh()  # as polled every 2 s: the last look at all files was not 10 s ago
        return seconds(known.refresh)

    def thorough() -> float:
        known._looked = 0.0
        return seconds(known.refresh)

    calls = [first, warm, every_number, unchanged, thorough, lambda: seconds(lambda: naive(runs))]
    taken = in_turn(calls, settings.pairs(2))
    what = f"{RUNS} runs x {EPOCHS} epochs"
    note = "a new index, with what an earlier one kept on disk; settings and curves of a run are read when looked at"
    yield ratio(f"warm open of {what} / JSON + pandas", [(row[1], row[-1]) for row in taken], "open naive", note)
    yield ratio("the same and every setting and curve looked at / JSON + pandas", [(row[2], row[-1]) for row in taken])
    yield ratio("first open, nothing kept on disk / JSON + pandas", [(row[0], row[-1]) for row in taken])
    yield ratio("unchanged refresh / JSON + pandas", [(row[3], row[-1]) for row in taken], "refresh")
    yield ratio(f"the look at all files, every {LOOK_S:g} s / JSON + pandas", [(row[4], row[-1]) for row in taken])
    item = "warm open / TensorBoard data server"
    if why := missing("tensorboard", "tensorboard_data_server"):
        yield Row(item, gate="open tensorboard", why=why)
        return
    write_events(events, RUNS)
    with quiet():
        tensorboard_open(events, RUNS)
        pairs = in_turn([warm, every_number, lambda: tensorboard_open(events, RUNS)], settings.pairs(3))
    metrics = f"{len(METRICS)} metrics there, {len(known.refresh()[0].metrics)} here"
    yield ratio(item, [(row[0], row[2]) for row in pairs], "open tensorboard", metrics)
    yield ratio("every setting and curve looked at / TensorBoard data server", [(row[1], row[2]) for row in pairs])


@contextmanager
def _own_cache(folder: Path) -> Iterator[None]:
    """Nothing of the user's cache is used or changed."""
    before = os.environ.get("COVIDVIZ_CACHE_DIR")
    os.environ["COVIDVIZ_CACHE_DIR"] = str(folder)
    try:
        yield
    finally:
        os.environ.pop("COVIDVIZ_CACHE_DIR")
        if before is not None:
            os.environ["COVIDVIZ_CACHE_DIR"] = before


def logging(settings: Settings) -> Iterator[Row]:
    """Six metrics of an epoch, safe on disk afterwards as far as each tool makes them."""
    values = dict.fromkeys(METRICS, 0.123456789)
    epochs, config = settings.size(50, 200), TrainConfig.parse({"data": "none", "name": "logging"})
    with RunWriter(create_run(config, settings.folder / "logged")) as writer:
        ours = _each(lambda epoch: writer.metrics(epoch, "val", values), epochs)
        item = "metrics of an epoch / TensorBoard"
        if why := missing("tensorboard"):
            yield Row(item, gate="log tensorboard", why=why)
        else:
            from torch.utils.tensorboard import SummaryWriter

            board = SummaryWriter(str(settings.folder / "board"))

            def to_board(epoch: int) -> None:
                for name, value in values.items():
                    board.add_scalar(name, value, epoch)
                board.flush()

            pairs = in_turn([ours, _each(to_board, epochs)], settings.pairs(5))
            board.close()
            yield ratio(item, pairs, "log tensorboard")
        item = "metrics of an epoch / MLflow (sqlite)"
        if why := missing("mlflow"):
            yield Row(item, gate="log mlflow", why=why)
            return
        with quiet():
            import mlflow

            mlflow.set_tracking_uri(f"sqlite:///{settings.folder}/mlflow.db")
            with mlflow.start_run():
                peer = _each(lambda epoch: mlflow.log_metrics(values, step=epoch), epochs // 5)
                pairs = in_turn([ours, peer], settings.pairs(3))
        yield ratio(item, pairs, "log mlflow")


def _each(log: Callable[[int], Any], epochs: int) -> Callable[[], float]:
    """Seconds per epoch of logging that many."""
    counted = iter(range(1, 1 << 30))

    def call() -> float:
        start = clock()
        for _ in range(epochs):
            log(next(counted))
        return (clock() - start) / epochs

    return call
