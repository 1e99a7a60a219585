"""The tables of a whole study: estimated prevalences, calibration, metrics, and decision rules.

Each job that predicts the three splits is analysed separately, at every ratio or at the one that it was trained for. If
its deployment has no labels, only the prevalences are estimated. The job's part of a table is kept in a file whose name
is made from everything that the part depends on. Thus an analysis goes on where it stopped, and an analysis of more
jobs uses the parts that exist. The files may be deleted, and a damaged file is written again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seedfold.jobs.canonical_json import canonical_json
from seedfold.jobs.conditions import find_axis
from seedfold.jobs.errors import UsageError, count_noun, did_you_mean
from seedfold.jobs.work import OUTPUTS, DataFailure
from seedfold.results.evaluation.axes import address_frame, axis_names
from seedfold.results.prevalence.candidates import (
    ESTIMATES,
    RATIO_AXIS,
    TESTED,
    Candidate,
    find_candidates,
    nothing_usable,
    with_estimates,
)
from seedfold.results.prevalence.quantify import WITHOUT_LABELS
from seedfold.results.prevalence.settings import REQUIRED_SPLITS, AnalysisSettings
from seedfold.results.store.atomic_files import replace_file
from seedfold.results.store.finished_job import FinishedJob
from seedfold.results.store.predictions import file_name as predictions_file

if TYPE_CHECKING:
    import pandas as pd

    from seedfold.results.prevalence.deployment import Deployment, PredictedSplits

TABLE_NAMES = ("quantification", "quantification_error", "calibration", "performance", "decisions")
SOURCE_TABLES = {"quantification_error": ESTIMATES}
"""Tables that follow from the rows of another."""
ARITHMETIC_VERSION = 2
"""The version of the arithmetic. Raise it when numbers change, so that older parts are computed again."""
_IMPOSSIBLE_KEY = b"impossible"
Progress = Callable[[int, int], None]
Content = tuple["pd.DataFrame", list[float]]
"""The rows of a part, and the ratios that are impossible."""


@dataclass(frozen=True)
class AnalysisTable:
    """A table; how many jobs were left out because they lack a split; how many ratios of a task are impossible.

    ``unlabelled`` counts jobs whose deployment has no labels, ``untested`` those of them without labelled tests.
    """

    name: str
    table: pd.DataFrame
    left_out_jobs: int
    impossible_ratios: int
    unlabelled: int = 0
    untested: int = 0
    splits: tuple[str, ...] = REQUIRED_SPLITS


@dataclass(frozen=True)
class TablePart:
    """One job's part of a table, and the file that keeps it."""

    table: str
    candidate: Candidate
    settings: AnalysisSettings
    ratios: tuple[float, ...]
    samples: int
    file: Path

    @classmethod
    def for_run(cls, name: str, candidate: Candidate, settings: AnalysisSettings, cache: Path) -> TablePart:
        """Return the part, with a file named by all that the part depends on."""
        files = candidate.files
        ratios = settings.ratios_for(candidate.run.axes.get(RATIO_AXIS)) if candidate.is_labelled else ()
        dependencies = {
            "version": ARITHMETIC_VERSION,
            "table": name,
            "predictions": [files[split]["sha256"] if split in files else None for split in REQUIRED_SPLITS],
            "labelled": candidate.is_labelled,
            "ratios": ratios,
            **settings.values_for_table(name),
        }
        if candidate.estimate is not None and name != ESTIMATES:
            dependencies["estimate"] = candidate.estimate
        digest = hashlib.sha256(canonical_json(dependencies).encode()).hexdigest()
        samples = sum(record["rows"] or 0 for record in files.values())
        return cls(name, candidate, settings, ratios, samples, cache / digest[:2] / f"{digest}.parquet")

    def compute(self) -> None:
        """Compute the part and keep it. Raises UsageError, with the job, for predictions that cannot be analysed."""
        try:
            with _single_threaded():
                rows, impossible = self._compute() if self.candidate.is_labelled else (self._compute_unlabelled(), [])
        except DataFailure as error:
            raise UsageError(f"job {self.candidate.run.short_id}: {error}") from error
        self._write(rows, impossible)

    def _compute(self) -> tuple[list[dict[str, Any]], list[float]]:
        from seedfold.results.prevalence.deployment import PredictedSplits

        splits = PredictedSplits.read([self.candidate.run.folder], self.settings.splits)
        deployments, impossible = _simulate_deployments(splits, self.ratios, self.settings.base_seed)
        if self.candidate.estimate is not None:
            deployments = [replace(each, known_estimate=self.candidate.estimate) for each in deployments]
        return (list(_compute_rows(self.table, splits, deployments, self.settings)) if deployments else []), impossible

    def _compute_unlabelled(self) -> list[dict[str, Any]]:
        from seedfold.results.prevalence.mean_predictions import read_mean_predictions
        from seedfold.results.prevalence.quantification import quantification_without_labels

        folders, (_, dev_test, app_test) = [self.candidate.run.folder], self.settings.splits
        developed = read_mean_predictions(folders, dev_test) if TESTED in self.candidate.files else None
        deployed = read_mean_predictions(folders, app_test, labelled=False)
        return list(quantification_without_labels(developed, deployed, self.settings.methods))

    def _write(self, rows: Sequence[dict[str, Any]], impossible: Sequence[float]) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        table = pa.Table.from_pylist(list(rows)).replace_schema_metadata(
            {_IMPOSSIBLE_KEY: json.dumps(list(impossible))}
        )
        with replace_file(self.file) as temporary:
            pq.write_table(table, temporary, compression="zstd", write_page_checksum=True)

    def read(self) -> tuple[pd.DataFrame, list[float]] | None:
        """Return the rows, and the ratios that are impossible; None if the file is damaged or missing."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            table = pq.read_table(self.file, page_checksum_verification=True)
            return table.to_pandas(), json.loads(table.schema.metadata[_IMPOSSIBLE_KEY])
        except (pa.ArrowException, OSError, KeyError, TypeError, ValueError):
            return None


def _single_threaded() -> Any:
    """Return a context in which a process uses one core, because other processes compute at the same time."""
    import torch
    from threadpoolctl import threadpool_limits

    torch.set_num_threads(1)
    return threadpool_limits(1)


def _simulate_deployments(
    splits: PredictedSplits, ratios: Sequence[float], base_seed: int
) -> tuple[list[Deployment], list[float]]:
    from seedfold.results.prevalence.resampling import ImpossibleScalingError

    possible, impossible = [], []
    for ratio in ratios:
        try:
            possible.append(splits.deploy(ratio, base_seed))
        except ImpossibleScalingError:
            impossible.append(ratio)
    return possible, impossible


def _compute_rows(
    name: str, splits: PredictedSplits, deployments: Sequence[Deployment], settings: AnalysisSettings
) -> Iterator[dict[str, Any]]:
    if name == "quantification":
        from seedfold.results.prevalence.quantification import quantification_rows

        return quantification_rows(splits, deployments, settings.methods)
    from seedfold.results.prevalence.calibration import calibration_rows
    from seedfold.results.prevalence.decisions import decision_rows
    from seedfold.results.prevalence.performance import performance_rows
    from seedfold.results.prevalence.priors import PriorEstimator

    make = {"calibration": calibration_rows, "performance": performance_rows, "decisions": decision_rows}[name]
    return make(splits, deployments, PriorEstimator(settings.zeros, settings.epsilon))


def make_analysis(
    name: str,
    runs: Sequence[FinishedJob],
    settings: AnalysisSettings,
    cache: Path,
    workers: int = 1,
    progress: Progress = lambda done, total: None,
) -> AnalysisTable:
    """Return a table over all runs that predict the three splits; parts that are missing are computed and kept.

    Its columns are task, ratio, those of the table, then the other axes, and the stage if there are several. Raises
    UsageError if there is no such run, or if the predictions of a run cannot be analysed.
    """
    check_table(name)
    found = _find_candidates(runs, settings)
    usable = [each for each in found if each.is_labelled or name == ESTIMATES]
    if not usable:
        raise UsageError(nothing_usable(name, runs, found, settings.splits))
    parts = [TablePart.for_run(_part_name(name), each, settings, cache) for each in usable]
    contents = _contents(parts, workers, progress)
    unlabelled = [each for each in found if not each.is_labelled]
    untested = sum(TESTED not in each.files for each in unlabelled)
    made = assemble_table(name, parts, contents)
    return replace(
        made,
        left_out_jobs=len(runs) - len(found),
        unlabelled=len(unlabelled),
        untested=untested,
        splits=settings.splits,
    )


def read_existing_tables(runs: Sequence[FinishedJob], cache: Path) -> dict[str, pd.DataFrame]:
    """Return the tables that exist, by name; nothing is computed.

    These are the tables that a job of the study wrote, else the parts of these runs from the last time each was made.
    """
    import pandas as pd

    left_by_jobs = {name: run.folder / OUTPUTS / table_file_name(name) for run in runs for name in TABLE_NAMES}
    tables = {
        name: pd.read_parquet(file, page_checksum_verification=True)
        for name, file in left_by_jobs.items()
        if file.exists()
    }
    if tables or not cache.is_dir():
        return tables
    found = {name: _read_cached_table(name, runs, cache) for name in TABLE_NAMES}
    return {name: analysis.table for name, analysis in found.items() if analysis is not None}


def table_file_name(name: str) -> str:
    """Return the name of the file to which a job writes a table."""
    return f"{name}.parquet"


def _read_cached_table(name: str, runs: Sequence[FinishedJob], cache: Path) -> AnalysisTable | None:
    settings = _read_latest_settings(cache, _part_name(name))
    if settings is None:
        return None
    candidates = _find_candidates(runs, settings)
    parts = [TablePart.for_run(_part_name(name), each, settings, cache) for each in candidates]
    contents = {part.file: content for part in parts if (content := part.read()) is not None}
    there = [part for part in parts if part.file in contents]
    return assemble_table(name, there, contents) if there else None


def _find_candidates(runs: Sequence[FinishedJob], settings: AnalysisSettings) -> list[Candidate]:
    found = find_candidates(runs, settings.splits)
    return with_estimates(found, runs) if settings.retrained_priors == "original" else found


def _part_name(name: str) -> str:
    return SOURCE_TABLES.get(name, name)


def has_required_splits(files: Collection[str]) -> bool:
    """Return whether the files of a result have predictions of the three splits."""
    return all(predictions_file(split) in files for split in REQUIRED_SPLITS)


def check_table(name: str) -> None:
    """Raise UsageError for an unknown table."""
    if name not in TABLE_NAMES:
        raise UsageError(f"{name}: no such analysis{did_you_mean(name, TABLE_NAMES)}; known: {', '.join(TABLE_NAMES)}")


def _contents(parts: Sequence[TablePart], workers: int, progress: Progress) -> dict[Path, Content]:
    """Compute the parts that are missing or damaged, the largest first, and return all parts by file.

    Each part is kept as soon as it is computed, even if a later one fails.
    """
    contents = {part.file: part.read() for part in parts}
    missing = {part.file: part for part in parts if contents[part.file] is None}
    if missing:
        from joblib import Parallel, delayed

        largest_first = sorted(missing.values(), key=lambda part: -part.samples * max(1, len(part.ratios)))
        pool = Parallel(n_jobs=min(workers, len(missing)), return_as="generator_unordered", batch_size=1)
        progress(0, len(missing))
        for done, _ in enumerate(pool(delayed(TablePart.compute)(part) for part in largest_first), start=1):
            progress(done, len(missing))
        contents |= {file: part.read() for file, part in missing.items()}
    whole = {file: content for file, content in contents.items() if content is not None}
    for file in contents.keys() - whole.keys():
        raise UsageError(f"{file}: was written and cannot be read again; is the disk full or damaged?")
    return whole


def assemble_table(name: str, parts: Sequence[TablePart], contents: Mapping[Path, Content]) -> AnalysisTable:
    """Put the parts of a table together, with the addresses of their jobs."""
    import pandas as pd

    found = [contents[part.file] for part in parts]
    if name == "quantification_error":
        found = [(quantification_errors(frame), impossible) for frame, impossible in found]
    runs = [part.candidate.run for part in parts]
    rows = pd.concat([frame for frame, _ in found if len(frame)] or [pd.DataFrame()], ignore_index=True)
    addresses = address_frame(runs)
    task = find_axis("task", axis_names(runs))
    addresses = addresses.rename(columns={task: "task"}) if task else addresses.assign(task=None)
    impossible = {
        (place, ratio) for place, (_, ratios) in zip(addresses["task"], found, strict=True) for ratio in ratios
    }
    addresses = addresses.loc[addresses.index.repeat([len(frame) for frame, _ in found])].reset_index(drop=True)
    if len({run.stage for run in runs}) == 1:
        addresses = addresses.drop(columns="stage")
    return AnalysisTable(name, _join_addresses(addresses, rows), 0, len(impossible))


def _join_addresses(addresses: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """Join task, ratio, the columns of the rows, and the other axes; an axis with the name of a column is renamed."""
    import pandas as pd

    if rows.empty:
        return pd.DataFrame(columns=["task", "ratio"])
    others = addresses.drop(columns="task")
    others.columns = [f"axis.{column}" if column in rows.columns else column for column in others.columns]
    return pd.concat([addresses[["task"]], rows, others], axis=1)


def quantification_errors(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table ``quantification_error`` of a table ``quantification``, where prevalences are known."""
    import pandas as pd

    table = table[table["prevalence"].notna()] if len(table) else table
    if table.empty:
        return pd.DataFrame()

    from seedfold.results.prevalence.quantification import quantification_error_rows

    rows = ({str(name): value for name, value in row.items()} for row in table.to_dict("records"))
    return pd.DataFrame(list(quantification_error_rows(rows)))


def describe_omissions(analysis: AnalysisTable) -> Iterator[str]:
    """Say which jobs and ratios the table leaves out."""
    if analysis.left_out_jobs:
        lacking = count_noun(analysis.left_out_jobs, "job lacks", "jobs lack")
        yield f"{lacking} one of the splits {', '.join(analysis.splits)}: left out"
    if analysis.unlabelled:
        jobs, split = count_noun(analysis.unlabelled, "job has", "jobs have"), analysis.splits[-1]
        if analysis.name != ESTIMATES:
            yield f"{jobs} no labels in {split}: left out; the table {ESTIMATES} estimates prevalences there"
        else:
            yield f"{jobs} no labels in {split}: prevalences are estimated there, but their error is not known"
    if analysis.untested and analysis.name == ESTIMATES:
        jobs, split = count_noun(analysis.untested, "of these jobs has", "of these jobs have"), analysis.splits[1]
        yield f"{jobs} no labelled {split}: only {' and '.join(WITHOUT_LABELS)} can be estimated, which need no labels"
    if analysis.impossible_ratios:
        pairs = count_noun(analysis.impossible_ratios, "ratio of a task is", "ratios of a task are")
        yield f"{pairs} impossible, with too few samples of a class: no rows"


def record_settings(cache: Path, name: str, settings: AnalysisSettings) -> None:
    """Record with which settings a table was last made: a report shows this table."""
    file = cache / "latest.json"
    known = _read_latest(cache) | {SOURCE_TABLES.get(name, name): asdict(settings)}
    with replace_file(file) as temporary:
        temporary.write_text(json.dumps(known), encoding="utf-8")


def _read_latest_settings(cache: Path, name: str) -> AnalysisSettings | None:
    """Return the settings with which a table was last made; None if it never was."""
    known = _read_latest(cache).get(name)
    return None if known is None else AnalysisSettings.from_dict(known)


def _read_latest(cache: Path) -> dict[str, Any]:
    try:
        known: Any = json.loads((cache / "latest.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}
