"""The tables of a whole study: what prevalences were estimated, how calibration and metrics hold, which rules decide.

Each job that predicts the three splits is analysed by itself, at every ratio or at the one that it was trained for. Its
part of a table is kept in a file named by all that it depends on, so that an analysis goes on where it stopped, and
another one over more jobs takes what is there. The files may be deleted.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seedfold.jobs.canonical import canonical_json
from seedfold.jobs.conditions import find_axis
from seedfold.jobs.errors import UsageError, count_noun, did_you_mean
from seedfold.jobs.work import OUTPUTS, DataFailure
from seedfold.results.evaluation.axes import address_frame, axis_names
from seedfold.results.prevalence.settings import AnalysisSettings
from seedfold.results.store.atomic_files import replace_file
from seedfold.results.store.finished_job import FinishedJob
from seedfold.results.store.predictions import find_predictions
from seedfold.results.store.published import FileRecord, load_result

if TYPE_CHECKING:
    import pandas as pd

    from seedfold.results.prevalence.deployment import Deployment, PredictedSplits

TABLE_NAMES = ("quantification", "quantification_error", "calibration", "performance", "decisions")
SOURCE_TABLES = {"quantification_error": "quantification"}
"""Tables that follow from the rows of another."""
REQUIRED_SPLITS = ("dev_cal", "dev_test", "app_test")
ARITHMETIC_VERSION = 1
"""Of the arithmetic: raise it when numbers change, and no part from before is taken."""
_PREDICTION_FILES = tuple(f"predictions.{split}.parquet" for split in REQUIRED_SPLITS)
_RATIO_AXIS = "imbalance_ratio"
_IMPOSSIBLE_KEY = b"impossible"
Progress = Callable[[int, int], None]
_RunWithFiles = tuple[FinishedJob, Mapping[str, FileRecord]]


@dataclass(frozen=True)
class AnalysisTable:
    """A table; how many jobs were left out, since they lack a split; how many ratios of a task are impossible."""

    table: pd.DataFrame
    left_out_jobs: int
    impossible_ratios: int


@dataclass(frozen=True)
class TablePart:
    """One job's part of a table, and the file that keeps it."""

    table: str
    run: FinishedJob
    settings: AnalysisSettings
    ratios: tuple[float, ...]
    samples: int
    file: Path

    @classmethod
    def for_run(
        cls, name: str, run: FinishedJob, files: Mapping[str, FileRecord], settings: AnalysisSettings, cache: Path
    ) -> TablePart:
        """Name the part by what it depends on; ``files`` are those of the run's result."""
        ratios = settings.ratios_for(run.axes.get(_RATIO_AXIS))
        dependencies = {
            "version": ARITHMETIC_VERSION,
            "table": name,
            "predictions": [files[name]["sha256"] for name in _PREDICTION_FILES],
            "ratios": ratios,
            **settings.values_for_table(name),
        }
        digest = hashlib.sha256(canonical_json(dependencies).encode()).hexdigest()
        samples = sum(files[name]["rows"] or 0 for name in _PREDICTION_FILES)
        return cls(name, run, settings, ratios, samples, cache / digest[:2] / f"{digest}.parquet")

    def compute(self) -> None:
        """Compute the part and keep it. Raises UsageError, with the job, for predictions that cannot be analysed."""
        from seedfold.results.prevalence.deployment import PredictedSplits

        try:
            with _single_threaded():
                splits = PredictedSplits.read([self.run.folder])
                deployments, impossible = _simulate_deployments(splits, self.ratios, self.settings.base_seed)
                rows = list(_compute_rows(self.table, splits, deployments, self.settings)) if deployments else []
        except DataFailure as error:
            raise UsageError(f"job {self.run.short_id}: {error}") from error
        self._write(rows, impossible)

    def _write(self, rows: Sequence[dict[str, Any]], impossible: Sequence[float]) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        table = pa.Table.from_pylist(list(rows)).replace_schema_metadata(
            {_IMPOSSIBLE_KEY: json.dumps(list(impossible))}
        )
        with replace_file(self.file) as temporary:
            pq.write_table(table, temporary, compression="zstd")

    def read(self) -> tuple[pd.DataFrame, list[float]]:
        """Return the rows, and the ratios that are impossible."""
        import pyarrow.parquet as pq

        table = pq.read_table(self.file)
        return table.to_pandas(), json.loads(table.schema.metadata[_IMPOSSIBLE_KEY])


def _single_threaded() -> Any:
    """A context in which a process keeps to one core: others compute beside it."""
    import torch
    from threadpoolctl import threadpool_limits

    torch.set_num_threads(1)
    return threadpool_limits(1)


def _simulate_deployments(
    splits: PredictedSplits, ratios: Sequence[float], base_seed: int
) -> tuple[list[Deployment], list[float]]:
    from seedfold.results.prevalence.scaling import ImpossibleScalingError

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

    Its columns are task, ratio, the table's own, then the other axes, and the stage where there are several. Raises
    UsageError if there is no such run, or one's predictions cannot be analysed.
    """
    check_table(name)
    usable = _analysable_runs(runs)
    if not usable:
        raise UsageError(
            f"{name}: no finished job predicts the splits {', '.join(REQUIRED_SPLITS)}{_other_splits_text(runs)}"
        )
    parts = [TablePart.for_run(SOURCE_TABLES.get(name, name), run, files, settings, cache) for run, files in usable]
    _compute_missing_parts(parts, workers, progress)
    return assemble_table(name, parts, len(runs))


def read_existing_tables(runs: Sequence[FinishedJob], cache: Path) -> dict[str, pd.DataFrame]:
    """Return the tables that are there, by name; nothing is computed.

    Those that a job of the study left, else what is kept of these runs from the last time that each was made.
    """
    import pandas as pd

    left_by_jobs = {name: run.folder / OUTPUTS / table_file_name(name) for run in runs for name in TABLE_NAMES}
    tables = {name: pd.read_parquet(file) for name, file in left_by_jobs.items() if file.exists()}
    if tables or not cache.is_dir():
        return tables
    usable = _analysable_runs(runs)
    found = {name: _read_cached_table(name, usable, cache) for name in TABLE_NAMES}
    return {name: analysis.table for name, analysis in found.items() if analysis is not None}


def table_file_name(name: str) -> str:
    """Return the name of the file that a job leaves a table in."""
    return f"{name}.parquet"


def _read_cached_table(name: str, usable: Sequence[_RunWithFiles], cache: Path) -> AnalysisTable | None:
    part = SOURCE_TABLES.get(name, name)
    settings = _read_latest_settings(cache, part)
    if settings is None:
        return None
    parts = [TablePart.for_run(part, run, files, settings, cache) for run, files in usable]
    existing = [part for part in parts if part.file.exists()]
    return assemble_table(name, existing, len(usable)) if existing else None


def _analysable_runs(runs: Sequence[FinishedJob]) -> list[_RunWithFiles]:
    """Return the runs that predict the three splits, each with the files of its result."""
    results = [(run, load_result(run.folder).files) for run in runs if (run.folder / _PREDICTION_FILES[0]).exists()]
    return [(run, files) for run, files in results if has_required_splits(files)]


def _other_splits_text(runs: Sequence[FinishedJob]) -> str:
    """Which splits there are instead, which may only have other names; nothing where there is none."""
    splits = sorted({split for run in runs for split in find_predictions(run.folder)})
    return f"; there are {', '.join(splits)}" if splits else ""


def has_required_splits(files: Collection[str]) -> bool:
    """Whether the files of a result have predictions of the three splits."""
    return all(name in files for name in _PREDICTION_FILES)


def check_table(name: str) -> None:
    """Raise UsageError for a table that there is not."""
    if name not in TABLE_NAMES:
        raise UsageError(f"{name}: no such analysis{did_you_mean(name, TABLE_NAMES)}; known: {', '.join(TABLE_NAMES)}")


def _compute_missing_parts(parts: Sequence[TablePart], workers: int, progress: Progress) -> None:
    """Compute what is missing, the largest first. Each part is kept as soon as it is there, whatever stops the rest."""
    missing = {part.file: part for part in parts if not part.file.exists()}
    if not missing:
        return
    from joblib import Parallel, delayed

    largest_first = sorted(missing.values(), key=lambda part: -part.samples * len(part.ratios))
    pool = Parallel(n_jobs=min(workers, len(missing)), return_as="generator_unordered", batch_size=1)
    progress(0, len(missing))
    for done, _ in enumerate(pool(delayed(TablePart.compute)(part) for part in largest_first), start=1):
        progress(done, len(missing))


def assemble_table(name: str, parts: Sequence[TablePart], jobs: int) -> AnalysisTable:
    """Put the parts of a table together, with the places of their jobs."""
    import pandas as pd

    found = [part.read() for part in parts]
    if name == "quantification_error":
        found = [(quantification_errors(frame), impossible) for frame, impossible in found]
    runs = [part.run for part in parts]
    rows = pd.concat([frame for frame, _ in found], ignore_index=True)
    addresses = address_frame(runs)
    task = find_axis("task", axis_names(runs))
    addresses = addresses.rename(columns={task: "task"}) if task else addresses.assign(task=None)
    impossible = {
        (place, ratio) for place, (_, ratios) in zip(addresses["task"], found, strict=True) for ratio in ratios
    }
    addresses = addresses.loc[addresses.index.repeat([len(frame) for frame, _ in found])].reset_index(drop=True)
    if len({run.stage for run in runs}) == 1:
        addresses = addresses.drop(columns="stage")
    return AnalysisTable(_join_addresses(addresses, rows), jobs - len(parts), len(impossible))


def _join_addresses(addresses: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """Task, ratio, the rows' own columns, the other places; an axis with the name of a column says that it is one."""
    import pandas as pd

    if rows.empty:
        return pd.DataFrame(columns=["task", "ratio"])
    others = addresses.drop(columns="task")
    others.columns = [f"axis.{column}" if column in rows.columns else column for column in others.columns]
    return pd.concat([addresses[["task"]], rows, others], axis=1)


def quantification_errors(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table ``quantification_error`` of a table ``quantification``."""
    if table.empty:
        return table
    import pandas as pd

    from seedfold.results.prevalence.quantification import quantification_error_rows

    rows = ({str(name): value for name, value in row.items()} for row in table.to_dict("records"))
    return pd.DataFrame(list(quantification_error_rows(rows)))


def describe_omissions(analysis: AnalysisTable) -> Iterator[str]:
    """Say what the table does not have."""
    if analysis.left_out_jobs:
        lacking = count_noun(analysis.left_out_jobs, "job lacks", "jobs lack")
        yield f"{lacking} one of the splits {', '.join(REQUIRED_SPLITS)}: left out"
    if analysis.impossible_ratios:
        pairs = count_noun(analysis.impossible_ratios, "ratio of a task is", "ratios of a task are")
        yield f"{pairs} impossible, with too few samples of a class: no rows"


def record_settings(cache: Path, name: str, settings: AnalysisSettings) -> None:
    """Note with which settings a table was last made: a report shows that one."""
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
        known: dict[str, Any] = json.loads((cache / "latest.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    return known
