"""The command line. Every heavy import is local to the command that needs it: the scheduler and --help stay light."""

from __future__ import annotations

import contextlib
import os
import sys
import traceback
from collections.abc import Sequence

from covidviz.commands import cache, data, judge, recipes, report, runs, train
from covidviz.commands.parts import Answer, Parser, tell
from covidviz.errors import CovidvizError

__all__ = ["main"]

PROG = "python -m covidviz"
COMMANDS = (train, recipes, data, runs, judge, report, cache)  # in the order of --help


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
    tell(f"covidviz: {' '.join(message.split())}")
    return code


def _parser(argv: Sequence[str]) -> Parser:
    parser = Parser(
        prog=PROG, description="Fine-tune networks on chest X-rays and question the result.", allow_abbrev=False
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    words = [word for word in argv if not word.startswith("-")][:2]
    for family in COMMANDS:
        family.register(commands, words)
    return parser
