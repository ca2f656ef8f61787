"""Commands on what can be made again: show and clear."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from covidviz.commands.parts import Answer, add
from covidviz.store.cache import KINDS

__all__ = ["register"]


def register(commands: Any, words: Sequence[str]) -> None:
    """Adds `cache show|clear`."""
    cached = commands.add_parser("cache", help="show and clear what can be made again", allow_abbrev=False)
    of_cache = cached.add_subparsers(metavar="COMMAND", required=True)
    for name, run, help in (
        ("show", _cache_show, "what is kept on disk, longest unused first"),
        ("clear", _cache_clear, "remove them; running trainings keep what they have open"),
    ):
        one = add(of_cache, name, run, help)
        one.add_argument("--kind", choices=KINDS, help="only these; default all")


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
