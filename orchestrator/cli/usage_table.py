"""How ``seedfold results STUDY usage`` shows what jobs used: amounts with units for people, plain numbers else."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from seedfold.jobs.errors import UsageError
from seedfold.orchestrator.cli.console import duration_text, size_text
from seedfold.orchestrator.cli.table_output import TableOutput
from seedfold.orchestrator.state.usage import USAGE_COLUMNS, StudyUsage

if TYPE_CHECKING:
    import pandas as pd

_SHOWN: dict[str, tuple[str, Callable[[float], str]]] = {
    "time_s": ("time", duration_text),
    "memory_bytes": ("memory", size_text),
    "gpu_memory_bytes": ("GPU memory", size_text),
    "gpu_percent": ("GPU busy", lambda percent: f"{percent:.0f} %"),
}
_AMOUNTS = ("median", "p95", "max", "request")


def write_usage(usage: StudyUsage, output: TableOutput) -> None:
    """Write the table. Raises UsageError if no job is done yet."""
    import pandas as pd

    if not usage.rows:
        raise UsageError("usage: no job is done yet")
    frame = pd.DataFrame(usage.rows, columns=list(USAGE_COLUMNS))
    output.write(frame if output.is_for_programs else _to_text(frame), notes=usage.notes)


def _to_text(frame: pd.DataFrame) -> pd.DataFrame:
    rows = [_row_to_text(row) for row in frame.to_dict("records")]
    import pandas as pd

    return pd.DataFrame(rows, columns=list(USAGE_COLUMNS), dtype=object).rename(columns={"p95": "95 %"})


def _row_to_text(row: dict[Any, Any]) -> dict[str, Any]:
    import pandas as pd

    name, to_text = _SHOWN[row["resource"]]
    amounts = {key: "" if pd.isna(row[key]) else to_text(row[key]) for key in _AMOUNTS}
    share = "" if pd.isna(row["share"]) else f"{100 * row['share']:.3g} %"
    return {"stage": row["stage"], "resource": name, "n": row["n"], **amounts, "share": share}
