"""``seedfold results STUDY trials``: the trials of a search."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from seedfold.jobs.errors import UsageError
from seedfold.jobs.study_keys import SEARCH
from seedfold.orchestrator.cli.table_output import TableOutput
from seedfold.orchestrator.state.overview import Overview

if TYPE_CHECKING:
    import pandas as pd

TRIALS = "trials"


def write_trials(overview: Overview, output: TableOutput) -> None:
    """Write the table of trials. Raises UsageError for a study without a search."""
    from seedfold.orchestrator.search.study_search import StudySearch
    from seedfold.orchestrator.search.trials_table import trials_frame

    if SEARCH not in overview.settings:
        raise UsageError(f"{overview.folder.name}: searches nothing, so it has no trials; see seedfold results --help")
    search = StudySearch(overview.states)
    keys = list(search.settings.space)
    frame = trials_frame(search.settings, search.history())
    output.write(frame if output.is_for_programs else _with_short_numbers(frame, keys), exact=keys)


def _with_short_numbers(frame: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """The table for people: searched numbers with four digits, and nothing where a trial lacks a value."""
    import pandas as pd

    def short(value: Any) -> Any:
        if isinstance(value, float):
            return "" if pd.isna(value) else f"{value:.4g}"
        return "" if value is None or value is pd.NA else value

    return frame.assign(**{key: frame[key].astype(object).map(short) for key in (*keys, "rung", "epochs")})
