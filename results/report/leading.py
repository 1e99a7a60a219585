"""What a study is about: files that its jobs left, named by ``report.first``, which the report shows before all else.

A table of areas by fold is shown with its folds side by side. Other tables are shown as they are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seedfold.jobs.work import OUTPUTS
from seedfold.results.evaluation.axes import format_axes, format_value
from seedfold.results.report.embedded_figures import MEDIA_TYPES, embed_figure
from seedfold.results.report.figures import Figure, to_readable
from seedfold.results.store.finished_job import FinishedJob
from seedfold.results.tables.number_text import UNDEFINED, format_number

if TYPE_CHECKING:
    import pandas as pd

MAX_ROWS = 30
"""The largest number of rows of one of these tables."""
_FOLD, _COUNT = "fold", "n"


@dataclass(frozen=True, slots=True)
class LeadingTable:
    """A table of a job: its title, its columns, the texts of its cells, and which columns hold numbers."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    numeric: Sequence[bool]
    caption: str
    left_out: int = 0


@dataclass(frozen=True, slots=True)
class Leading:
    """Tables and figures in the order in which they are named, and the names of files that are not there.

    ``drawn`` are the names of files in whose place a figure of the report is shown.
    """

    parts: Sequence[LeadingTable | Figure]
    files: frozenset[Path]
    absent: Sequence[str] = ()
    drawn: frozenset[str] = frozenset()


def find_leading(
    runs: Sequence[FinishedJob], first: Sequence[str], drawn: Mapping[str, Figure] | None = None
) -> Leading:
    """Read the files ``STAGE/FILE``; a stage with several jobs has one for each.

    ``drawn`` has figures of the report that show the same as files, by the names of these, and are shown instead.
    """
    parts: list[LeadingTable | Figure] = []
    files: list[Path] = []
    absent, replaced = [], set()
    for name in first:
        file_name = name.rpartition("/")[2]
        if drawn and file_name in drawn:
            parts.append(drawn[file_name])
            replaced.add(file_name)
            continue
        found = list(_find_files(runs, name))
        parts += [_read_part(run, file) for run, file in found]
        files += [file for _, file in found]
        absent += [] if found else [name]
    return Leading(parts, frozenset(files), absent, frozenset(replaced))


def _find_files(runs: Sequence[FinishedJob], name: str) -> Iterator[tuple[FinishedJob, Path]]:
    stage, _, file_name = name.partition("/")
    for run in runs:
        file = run.folder / OUTPUTS / file_name
        if run.stage == stage and file.is_file():
            yield run, file


def _read_part(run: FinishedJob, file: Path) -> LeadingTable | Figure:
    return embed_figure(run, file) if file.suffix in MEDIA_TYPES else read_leading_table(run, file)


def read_leading_table(run: FinishedJob, file: Path) -> LeadingTable:
    """Return a CSV file as a table of texts."""
    import pandas as pd

    frame = pd.read_csv(file)
    pivoted = _folds_side_by_side(frame)
    shown = (frame if pivoted is None else pivoted).iloc[:MAX_ROWS]
    axes = format_axes(run.axes)
    name = "table" if file.stem == run.stage else f"table of {to_readable(file.stem)}"
    what = name if pivoted is None else "area under the ROC curve by fold"
    return LeadingTable(
        title=f"{run.stage}: {what}",
        columns=[to_readable(str(name)) for name in shown],
        rows=list(zip(*(_column_texts(shown[name]) for name in shown), strict=True)),
        numeric=[pd.api.types.is_numeric_dtype(shown[name]) for name in shown],
        caption=f"Left by stage {run.stage}{f', {axes}' if axes else ''}, as {file.name}.",
        left_out=max(0, len(frame if pivoted is None else pivoted) - MAX_ROWS),
    )


def _folds_side_by_side(frame: pd.DataFrame) -> pd.DataFrame | None:
    """Return a row for each model of a table of models, folds and areas, the mean of the folds first; else None."""
    keys = [str(name) for name in frame if name not in (_FOLD, _COUNT, "auroc", "train_auroc")]
    if len(keys) != 1 or not {_FOLD, "auroc"} <= set(frame):
        return None
    wide = frame.pivot_table(index=keys[0], columns=_FOLD, values="auroc", sort=False, aggfunc="first")
    leading = [name for name in ("mean", "all") if name in wide]
    wide = wide[[*leading, *(name for name in wide if name not in leading)]]
    names = {"mean": "mean of folds", "all": "folds pooled"}
    wide.columns = [names.get(str(name), f"fold {name}") for name in wide.columns]
    if "train_auroc" in frame:
        trained = frame[frame[_FOLD] == "mean"].set_index(keys[0])["train_auroc"]
        wide.insert(1, "training samples", trained)
    return wide.reset_index()


def _column_texts(values: pd.Series[Any]) -> list[str]:
    """Return cells as text; numbers that are whole throughout are shown without decimals."""
    import pandas as pd

    if pd.api.types.is_float_dtype(values):
        whole = bool((values.dropna() % 1 == 0).all())
        return [f"{value:.0f}" if whole and value == value else format_number(value) for value in values]
    return [UNDEFINED if pd.isna(value) else format_value(_plain(value)) for value in values]


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else value
