"""`python -m covidviz ...`"""

from __future__ import annotations

import sys

from covidviz.cli import main

if __name__ == "__main__":
    sys.exit(main())
