"""The report of a study: one HTML page that needs no other file, in which every number links to its jobs.

The page can be read offline, on a phone, in dark mode and on paper. Long lists are cut so that it stays below five
megabytes for thousands of jobs, and the page says which lists are cut.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from seedfold.results.evaluation.axes import Group, axis_names, format_value, short_names
from seedfold.results.evaluation.missing_values import (
    PlaceNames,
    Reasons,
    find_missing_jobs,
    find_undefined,
    missing_lines,
)
from seedfold.results.evaluation.uneven_means import uneven_notes
from seedfold.results.imports.run import IMPORT_RUN as IMPORTED
from seedfold.results.report.best_rows import best_of_table
from seedfold.results.report.embedded_figures import figures_left_by_jobs
from seedfold.results.report.figures import Figure, axis_figures, curve_figures, learning_figures
from seedfold.results.report.headline import ReportRow, ReportTable, make_mean_table, shown_metrics
from seedfold.results.report.heat_maps import heat_maps
from seedfold.results.report.leading import Leading, find_leading
from seedfold.results.report.out_of_fold_section import PooledFolds, pool_folds
from seedfold.results.report.plots import DARK_COLOURS, LIGHT_COLOURS
from seedfold.results.report.shown_axes import choose_axes
from seedfold.results.store.finished_job import FinishedJob, Job
from seedfold.results.store.named_output import open_output
from seedfold.results.store.published import RETURNED, Result, load_result
from seedfold.results.tables.number_text import format_number
from seedfold.results.tables.result_tables import averaged_axes

MAX_ROWS = 400
"""The largest number of rows of a table of groups."""
MAX_JOBS = 3000
"""The largest number of rows of the table of jobs."""
MISSING = 12
"""The largest number of lines that say which values the means lack."""
MAX_LISTED = 60
"""The largest number of jobs in one list, and of values of an axis."""

LogFinder = Callable[[FinishedJob], Path | None]
Failure = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _JobRow:
    run: FinishedJob
    cells: Mapping[str, str]
    host: str
    seconds: str
    log: str | None
    can_run: bool


def write_report(
    out: Path,
    *,
    study: str,
    runs: Sequence[FinishedJob],
    states: Mapping[str, int],
    failures: Sequence[Failure],
    overview: Mapping[str, Any],
    planned: Iterable[Job] | None = None,
    planned_by_code: Iterable[Job] | None = None,
    find_log: LogFinder | None = None,
    more_figures: Sequence[Figure] = (),
    reasons: Reasons | None = None,
    compare: Sequence[str] | None = None,
    first: Sequence[str] = (),
) -> None:
    """Write the report of a study to ``out``; an older file is replaced in one step.

    ``states`` counts jobs by state. ``failures`` have ``id, axes, kind, reason, attempts, log``. ``overview`` is shown
    as it is: text and numbers by name, and mappings of mappings (such as ``stages``) as tables. ``planned`` are the
    places of the study, which tell which folds are missing; ``planned_by_code`` are the same places with the axis
    `code`, if ``runs`` have it. ``find_log`` finds the log of a run. ``more_figures`` come before those that jobs left.
    ``reasons`` say why planned jobs have no result; ``compare`` names the axes of the methods that are compared, as
    `problem_axes` takes them; ``first`` the files that come first, as `find_leading` takes them. Raises DamagedError
    for a run whose result is missing.
    """
    results = {run.id: load_result(run.folder) for run in runs}
    over = averaged_axes(runs)
    places = None if planned is None else list(planned)
    places_by_code = places or [] if planned_by_code is None else list(planned_by_code)
    means = make_mean_table(runs, results, over, MAX_ROWS, places_by_code, compare)
    pooled = pool_folds(runs, over, places, MAX_ROWS, compare)
    leading = find_leading(runs, first, _by_file(more_figures))
    drawn = [
        *axis_figures(runs, results, over, places_by_code),
        *heat_maps(runs, results, over),
        *curve_figures(pooled.curves, pooled.setting_count),
        *_further_figures(runs, leading, more_figures),
    ]
    sections = _name_figures(leading, drawn, list(learning_figures(runs, over)))
    values = {
        "study": study,
        "averaged": over,
        "means": means,
        "best": [each.text for each in best_of_table(means, over)],
        "missing": _missing_lines(runs, results, places_by_code, reasons or {}),
        "pooled": pooled,
        "absent": leading.absent,
        "groups": _linked_groups(means, pooled, [*drawn, *sections["learning"], *leading.parts]),
        "jobs": [_make_job_row(run, results[run.id], means.columns, out.parent, find_log) for run in runs[:MAX_JOBS]],
    }
    _render(out, {**values, **sections, **_failure_values(failures, runs, out), **_page_values(states, overview)}, runs)


def _render(out: Path, values: Mapping[str, Any], runs: Sequence[FinishedJob]) -> None:
    page = _load_template().render(**values, **_run_values(runs))
    with open_output(out) as file:
        file.write(page.encode(errors="backslashreplace"))


def _by_file(figures: Sequence[Figure]) -> dict[str, Figure]:
    return {figure.file: figure for figure in figures if figure.file}


def _further_figures(runs: Sequence[FinishedJob], leading: Leading, more_figures: Sequence[Figure]) -> Iterator[Figure]:
    """Yield the figures that were handed over and those that jobs left, without those that lead the page."""
    yield from (figure for figure in more_figures if figure.file not in leading.drawn)
    yield from figures_left_by_jobs(runs, leading.files, _by_file(more_figures))


def _linked_groups(means: ReportTable, pooled: PooledFolds, parts: Sequence[Any]) -> dict[str, Group]:
    """Return the groups that the rows of both tables and the legends of the figures among ``parts`` lead to."""
    rows = [*means.rows, *(pooled.table.rows if pooled.table else ())]
    return _groups_by_anchor(rows, [part for part in parts if isinstance(part, Figure)])


def _failure_values(failures: Sequence[Failure], runs: Sequence[FinishedJob], out: Path) -> dict[str, Any]:
    shown = {run.id for run in runs[:MAX_JOBS]}
    return {"failures": _group_failures(failures, out.parent, shown), "failed": len(failures)}


def _name_figures(leading: Leading, figures: Sequence[Figure], learning: Sequence[Figure]) -> dict[str, Any]:
    """Return the parts of the page by section, no two of them with one title."""
    parts = [*leading.parts, *figures, *learning]
    counts = Counter(part.title for part in parts)
    used: Counter[str] = Counter()

    def named(part: Any) -> Any:
        detail = getattr(part, "detail", "")
        title = f"{part.title} ({detail})" if counts[part.title] > 1 and detail else part.title
        used[title] += 1
        return replace(part, title=title if used[title] == 1 else f"{title}, {used[title]}")

    names = {"leading": leading.parts, "figures": figures, "learning": learning}
    return {section: [named(part) for part in own] for section, own in names.items()}


def _missing_lines(
    runs: Sequence[FinishedJob], results: Mapping[str, Result], planned: Sequence[Job], reasons: Reasons
) -> list[str]:
    """Say which values the means of the table lack and why, and which values count more often than others."""
    shown = [shown_metrics(results[run.id]) for run in runs]
    missing = [*find_undefined(runs, shown), *find_missing_jobs(runs, planned, reasons)]
    notes = uneven_notes(runs, planned, averaged_axes(runs))
    return [*notes, *missing_lines(missing, PlaceNames([*planned, *runs]), MISSING)]


def _page_values(states: Mapping[str, int], overview: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "light": LIGHT_COLOURS,
        "dark": DARK_COLOURS,
        "listed": MAX_LISTED,
        "written": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "states": {state: count for state, count in states.items() if count},
        "facts": {name: format_value(value) for name, value in overview.items() if not _is_table(value)},
        "breakdowns": {name: _table_without_zeros(value) for name, value in overview.items() if _is_table(value)},
    }


def _run_values(runs: Sequence[FinishedJob]) -> dict[str, Any]:
    names = axis_names(runs)
    return {
        "axes": _axis_values(runs),
        "job_axes": choose_axes(runs, names).names,
        "short": short_names(names),
        "many_stages": len({run.stage for run in runs}) > 1,
        "total": len(runs),
        "stale": sum(run.stale is not None for run in runs),
        "shown": {run.id for run in runs[:MAX_JOBS]},
    }


def _load_template() -> Any:
    import jinja2

    folder = jinja2.FileSystemLoader(Path(__file__).parent / "templates")
    environment = jinja2.Environment(
        loader=folder, autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    environment.filters["value"] = format_value
    return environment.get_template("report.html")


def _is_table(value: Any) -> bool:
    return isinstance(value, Mapping) and all(isinstance(row, Mapping) for row in value.values())


def _table_without_zeros(table: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return a mapping of mappings as rows, without the columns in which all values are zero."""
    columns = dict.fromkeys(name for row in table.values() for name in row)
    used = [name for name in columns if any(row.get(name) for row in table.values())]
    return {"columns": used, "rows": {name: [row.get(key, "") for key in used] for name, row in table.items()}}


def _axis_values(runs: Sequence[FinishedJob]) -> dict[str, list[str]]:
    values: dict[str, dict[str, None]] = {}
    for run in runs:
        for name, value in run.axes.items():
            values.setdefault(name, {})[format_value(value)] = None
    return {name: list(found) for name, found in values.items()}


def _group_failures(failures: Sequence[Failure], folder: Path, known: set[str]) -> dict[str, list[dict[str, Any]]]:
    kinds: dict[str, list[dict[str, Any]]] = {}
    for failure in failures:
        anchored = {"anchor": None if failure["id"] in known else f"job-{failure['id']}"}
        link = _relative_link(Path(failure["log"]), folder) if failure.get("log") else None
        kinds.setdefault(str(failure["kind"]), []).append({**failure, **anchored, "link": link})
    return dict(sorted(kinds.items(), key=lambda item: -len(item[1])))


def _relative_link(path: Path, folder: Path) -> str:
    """Return the address of a file relative to the page's folder, so that it stays right if both are moved."""
    from urllib.parse import quote

    return quote(os.path.relpath(path, folder) if path.is_absolute() else str(path))


def _make_job_row(
    run: FinishedJob, result: Result, columns: Sequence[str], folder: Path, find_log: LogFinder | None
) -> _JobRow:
    log = find_log(run) if find_log else None
    heads = {each["head"] for each in result.metrics} - {RETURNED}
    cells: dict[str, str] = {}
    for each in result.metrics:
        name = f"{each['split']} {each['metric']}"
        if name in columns:
            text = format_number(each["value"])
            text += f" ({each['head']})" if len(heads) > 1 and each["head"] in heads else ""
            cells[name] = f"{cells[name]}, {text}" if name in cells else text
    host = str(result.provenance.get("host", ""))
    link = _relative_link(log, folder) if log and log.exists() else None
    return _JobRow(run, cells, host, f"{result.seconds:.1f}", link, can_run=result.run != IMPORTED)


def _groups_by_anchor(rows: Sequence[ReportRow], figures: Sequence[Figure]) -> dict[str, Group]:
    """Return every group that a number or a legend leads to, by its anchor."""
    found = {row.anchor: row.group for row in rows}
    return found | {entry.anchor: entry.group for figure in figures for entry in figure.legend if entry.group}
