"""Waits for the scheduler to be killed and takes its place at that moment: a run in the queue is never forgotten.

    python standby.py LOCK PID COMMAND...

Blocks on the scheduler's lock file, which costs no time, and then becomes COMMAND with `--lock DESCRIPTOR`. PID is the
scheduler it stands by for. Only what Python itself needs is imported, since this process stays as long as that one.
"""

from __future__ import annotations

import fcntl
import os
import sys


def main(lock: str, pid: str, *command: str) -> None:
    handle = os.open(lock, os.O_RDWR)
    fcntl.flock(handle, fcntl.LOCK_EX)
    # Another scheduler may have come and gone in between; it had a standby of its own.
    if os.pread(handle, 32, 0).decode().strip() == pid:
        os.set_inheritable(handle, True)
        os.execv(command[0], [*command, "--lock", str(handle)])


if __name__ == "__main__":
    main(*sys.argv[1:])
