"""The page and the tables that an archive of a study has, for people without Seedfold."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from seedfold.orchestrator.state.finished_jobs import find_by_code
from seedfold.orchestrator.state.overview import Overview
from seedfold.orchestrator.state.usage import USAGE_COLUMNS, study_usage
from seedfold.orchestrator.views.report_page import write_study_report
from seedfold.orchestrator.views.tables import TableRequest, make_result_table
from seedfold.results.tables.export import export

if TYPE_CHECKING:
    import pandas as pd

_FORMATS = ("csv", "parquet")


def make_files(overview: Overview) -> dict[str, bytes]:
    """Return the report and the tables ``runs``, ``metrics`` and ``usage`` of a study, by their names in an archive.

    Without a finished job, there are no tables.
    """
    outputs = f"{overview.folder.name}/outputs"
    with tempfile.TemporaryDirectory(prefix="seedfold-archive-") as scratch:
        page = write_study_report(overview, Path(scratch) / "report.html").read_bytes()
    tables = {
        f"{outputs}/tables/{name}.{format}": _write(frame, format)
        for name, frame in _tables(overview).items()
        for format in _FORMATS
    }
    return {f"{outputs}/report.html": page, **tables}


def _tables(overview: Overview) -> dict[str, pd.DataFrame]:
    import pandas as pd

    finished = find_by_code(overview)
    if not finished.jobs:
        return {}
    request = TableRequest.of_study(overview, finished)
    usage = pd.DataFrame(study_usage(overview).rows, columns=list(USAGE_COLUMNS))
    return {**{name: make_result_table(name, request) for name in ("runs", "metrics")}, "usage": usage}


def _write(frame: pd.DataFrame, format: str) -> bytes:
    data = export(frame, format)
    assert data is not None
    return data
