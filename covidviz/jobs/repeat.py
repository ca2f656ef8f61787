"""The same settings over several seeds, as so many queued runs."""

from __future__ import annotations

from pathlib import Path

from covidviz.config import TrainConfig
from covidviz.jobs.queue import enqueue
from covidviz.jobs.scheduler import ensure_scheduler
from covidviz.jobs.submit import prepare
from covidviz.store.runs import create_run

__all__ = ["MOST", "seeds_of", "submit_repeats"]

MOST = 20  # runs at once


def seeds_of(config: TrainConfig, times: int) -> list[TrainConfig]:
    """`config` with seeds s, s+1, ...; named after the seed, with one tag more that they share.

    Raises:
        ConfigError: a seed gets too large.
    """
    if times == 1:
        return [config]
    first = config.seed
    tag = f"seeds {first} to {first + times - 1}"
    name = (config.name or config.describe())[:180]
    return [
        config.replace(seed=seed, name=f"{name} seed {seed}", tags=(*config.tags, tag))
        for seed in range(first, first + times)
    ]


def submit_repeats(config: TrainConfig, times: int, runs_dir: Path) -> list[Path]:
    """Checks all of them against their dataset first, then makes and queues them in the order of the seeds.

    Raises:
        InputError: the dataset or a setting is wrong for one of them; nothing was made.
        StoreError: a run directory can't be written; those before it are queued.
    """
    ready = [prepare(one)[0] for one in seeds_of(config, times)]
    made = []
    for one in ready:
        run_dir = create_run(one, runs_dir)
        enqueue(run_dir)
        made.append(run_dir)
    ensure_scheduler(runs_dir)
    return made
