"""The data doctor: leakage, duplicates, label problems, shortcuts, odd images of a dataset, before anything is trained.

Importing this is light: `known` and the dataclasses need no scikit-learn. `diagnose` needs it and seconds to minutes,
so it belongs in a process of its own.
"""

from __future__ import annotations

from covidviz.data.doctor.keep import content_key, known
from covidviz.data.doctor.report import CHECKS, SEVERITIES, Check, Report
from covidviz.data.doctor.run import Tell, diagnose
from covidviz.data.doctor.with_run import with_run

__all__ = ["CHECKS", "SEVERITIES", "Check", "Report", "Tell", "content_key", "diagnose", "known", "with_run"]
