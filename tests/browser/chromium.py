"""Find a Chromium for the browser tests, or install one: `python tests/browser/chromium.py [--install]`.

Looked for: `COVIDVIZ_CHROMIUM`, then what is on the PATH, then Playwright's own. Installed: the distribution's package
where this user may, else Playwright's own build.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "microsoft-edge")


def find_chromium() -> str | None:
    """Path of a Chromium that Playwright can drive, or None."""
    given = os.environ.get("COVIDVIZ_CHROMIUM")
    found = given or next(filter(None, map(shutil.which, NAMES)), None)
    if found:
        return found
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        own = playwright.chromium.executable_path
    return own if Path(own).exists() else None


def install_chromium() -> None:
    """Try the distribution's package, then Playwright's build; say which command failed."""
    commands = [[sys.executable, "-m", "playwright", "install", "chromium"]]
    if shutil.which("apt-get"):
        root = [] if os.geteuid() == 0 else ["sudo", "-n"] if shutil.which("sudo") else None
        if root is not None:
            apt = [*root, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get"]
            commands[:0] = [[*apt, "update", "-qq"], [*apt, "install", "-y", "-qq", "chromium"]]
    for command in commands:
        if find_chromium():
            return
        print("+", " ".join(command), flush=True)
        if subprocess.run(command, stdout=subprocess.DEVNULL, check=False).returncode:
            print(f"failed: {' '.join(command)}", file=sys.stderr)


if __name__ == "__main__":
    if "--install" in sys.argv and not find_chromium():
        install_chromium()
    browser = find_chromium()
    print(f"Chromium: {browser or 'none found; the browser tests will be skipped'}")
    sys.exit(1 if browser is None and os.environ.get("COVIDVIZ_REQUIRE_BROWSER") == "1" else 0)
