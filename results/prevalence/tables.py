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
from seedfold.jobs.conditions import axis_named
from seedfold.jobs.errors import UsageError, counted, did_you_mean
from seedfold.jobs.work import OUTPUTS, DataFailure
from seedfold.results.evaluation.axes import address_frame, axis_names
from seedfold.results.prevalence.settings import AnalysisSettings
from seedfold.results.store.atomic_files import replacing
from seedfold.results.store.finished_job import Run
from seedfold.results.store.predictions import find_predictions
from seedfold.results.store.published import FileRecord, load_result

if TYPE_CHECKING:
    import pandas as pd

    from seedfold.results.prevalence.deployment import Deployment, Splits

TABLES = ("quantification", "quantification_error", "calibration", "performance", "decisions")
PARTS = {"quantification_error": "quantification"}
"""Tables that follow from the rows of another."""
SPLITS = ("dev_cal", "dev_test", "app_test")
VERSION = 1
"""Of the arithmetic: raise it when numbers change, and no part from before is taken."""
_FILES = tuple(f"predictions.{split}.parquet" for split in SPLITS)
_RATIO = "imbalance_ratio"
_IMPOSSIBLE = b"impossible"
Progress = Callable[[int, int], None]
_Usable = tuple[Run, Mapping[str, FileRecord]]


@dataclass(frozen=True)
class Analysis:
    """A table; how many jobs were left out, since they lack a split; how many ratios of a task are impossible."""

    table: pd.DataFrame
    left_out: int
    impossible: int


@dataclass(frozen=True)
class Part:
    """One job's part of a table, and the file that keeps it."""

    name: str
    run: Run
    settings: AnalysisSettings
    ratios: tuple[float, ...]
    samples: int
    file: Path

    @classmethod
    def of(cls, name: str, run: Run, files: Mapping[str, FileRecord], settings: AnalysisSettings, cache: Path) -> Part:
        """Name the part by what it depends on; ``files`` are those of the run's result."""
        ratios = settings.ratios_of(run.axes.get(_RATIO))
        known = {
            "version": VERSION,
            "table": name,
            "predictions": [files[name]["sha256"] for name in _FILES],
            "ratios": ratios,
            **settings.of_table(name),
        }
        digest = hashlib.sha256(canonical_json(known).encode()).hexdigest()
        samples = sum(files[name]["rows"] or 0 for name in _FILES)
        return cls(name, run, settings, ratios, samples, cache / digest[:2] / f"{digest}.parquet")

    def make(self) -> None:
        """Compute the part and keep it. Raises UsageError, with the job, for predictions that cannot be analysed."""
        from seedfold.results.prevalence.deployment import Splits

        try:
            with _one_thread():
                splits = Splits.read([self.run.folder])
                deployments, impossible = _deployments(splits, self.ratios, self.settings.base_seed)
                rows = list(_rows(self.name, splits, deployments, self.settings)) if deployments else []
        except DataFailure as error:
            raise UsageError(f"job {self.run.short_id}: {error}") from error
        self._keep(rows, impossible)

    def _keep(self, rows: Sequence[dict[str, Any]], impossible: Sequence[float]) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        table = pa.Table.from_pylist(list(rows)).replace_schema_metadata({_IMPOSSIBLE: json.dumps(list(impossible))})
        with replacing(self.file) as beside:
            pq.write_table(table, beside, compression="zstd")

    def read(self) -> tuple[pd.DataFrame, list[float]]:
        """Return the rows, and the ratios that are impossible."""
        import pyarrow.parquet as pq

        table = pq.read_table(self.file)
        return table.to_pandas(), json.loads(table.schema.metadata[_IMPOSSIBLE])


def _one_thread() -> Any:
    """A context in which a process keeps to one core: others compute beside it."""
    import torch
    from threadpoolctl import threadpool_limits

    torch.set_num_threads(1)
    return threadpool_limits(1)


def _deployments(splits: Splits, ratios: Sequence[float], base_seed: int) -> tuple[list[Deployment], list[float]]:
    from seedfold.results.prevalence.scaling import ImpossibleScaling

    possible, impossible = [], []
    for ratio in ratios:
        try:
            possible.append(splits.at(ratio, base_seed))
        except ImpossibleScaling:
            impossible.append(ratio)
    return possible, impossible


def _rows(
    name: str, splits: Splits, deployments: Sequence[Deployment], settings: AnalysisSettings
) -> Iterator[dict[str, Any]]:
    if name == "quantification":
        from seedfold.results.prevalence.quantification import quantification

        return quantification(splits, deployments, settings.methods)
    from seedfold.results.prevalence.calibration import calibration
    from seedfold.results.prevalence.decisions import decisions
    from seedfold.results.prevalence.performance import performance
    from seedfold.results.prevalence.priors import Priors

    make = {"calibration": calibration, "performance": performance, "decisions": decisions}[name]
    return make(splits, deployments, Priors(settings.zeros, settings.epsilon))


def analyse(
    name: str,
    runs: Sequence[Run],
    settings: AnalysisSettings,
    cache: Path,
    workers: int = 1,
    progress: Progress = lambda done, total: None,
) -> Analysis:
    """Return a table over all runs that predict the three splits; parts that are missing are computed and kept.

    Its columns are task, ratio, the table's own, then the other axes, and the stage where there are several. Raises
    UsageError if there is no such run, or one's predictions cannot be analysed.
    """
    check_table(name)
    usable = _analysable(runs)
    if not usable:
        raise UsageError(f"{name}: no finished job predicts the splits {', '.join(SPLITS)}{_others(runs)}")
    parts = [Part.of(PARTS.get(name, name), run, files, settings, cache) for run, files in usable]
    _make(parts, workers, progress)
    return assemble(name, parts, len(runs))


def at_hand(runs: Sequence[Run], cache: Path) -> dict[str, pd.DataFrame]:
    """Return the tables that are there, by name; nothing is computed.

    Those that a job of the study left, else what is kept of these runs from the last time that each was made.
    """
    import pandas as pd

    left = {name: run.folder / OUTPUTS / file_name(name) for run in runs for name in TABLES}
    there = {name: pd.read_parquet(file) for name, file in left.items() if file.exists()}
    if there or not cache.is_dir():
        return there
    usable = _analysable(runs)
    found = {name: _kept(name, usable, cache) for name in TABLES}
    return {name: analysis.table for name, analysis in found.items() if analysis is not None}


def file_name(name: str) -> str:
    """Return the name of the file that a job leaves a table in."""
    return f"{name}.parquet"


def _kept(name: str, usable: Sequence[_Usable], cache: Path) -> Analysis | None:
    part = PARTS.get(name, name)
    settings = _latest_settings(cache, part)
    if settings is None:
        return None
    parts = [Part.of(part, run, files, settings, cache) for run, files in usable]
    there = [part for part in parts if part.file.exists()]
    return assemble(name, there, len(usable)) if there else None


def _analysable(runs: Sequence[Run]) -> list[_Usable]:
    """Return the runs that predict the three splits, each with the files of its result."""
    results = [(run, load_result(run.folder).files) for run in runs if (run.folder / _FILES[0]).exists()]
    return [(run, files) for run, files in results if predicts(files)]


def _others(runs: Sequence[Run]) -> str:
    """Which splits there are instead, which may only have other names; nothing where there is none."""
    splits = sorted({split for run in runs for split in find_predictions(run.folder)})
    return f"; there are {', '.join(splits)}" if splits else ""


def predicts(files: Collection[str]) -> bool:
    """Whether the files of a result have predictions of the three splits."""
    return all(name in files for name in _FILES)


def check_table(name: str) -> None:
    """Raise UsageError for a table that there is not."""
    if name not in TABLES:
        raise UsageError(f"{name}: no such analysis{did_you_mean(name, TABLES)}; known: {', '.join(TABLES)}")


def _make(parts: Sequence[Part], workers: int, progress: Progress) -> None:
    """Compute what is missing, the largest first. Each part is kept as soon as it is there, whatever stops the rest."""
    missing = {part.file: part for part in parts if not part.file.exists()}
    if not missing:
        return
    from joblib import Parallel, delayed

    largest_first = sorted(missing.values(), key=lambda part: -part.samples * len(part.ratios))
    pool = Parallel(n_jobs=min(workers, len(missing)), return_as="generator_unordered", batch_size=1)
    progress(0, len(missing))
    for done, _ in enumerate(pool(delayed(Part.make)(part) for part in largest_first), start=1):
        progress(done, len(missing))


def assemble(name: str, parts: Sequence[Part], jobs: int) -> Analysis:
    """Put the parts of a table together, with the places of their jobs."""
    import pandas as pd

    found = [part.read() for part in parts]
    if name == "quantification_error":
        found = [(errors_of(frame), impossible) for frame, impossible in found]
    runs = [part.run for part in parts]
    rows = pd.concat([frame for frame, _ in found], ignore_index=True)
    places = address_frame(runs)
    task = axis_named("task", axis_names(runs))
    places = places.rename(columns={task: "task"}) if task else places.assign(task=None)
    impossible = {(place, ratio) for place, (_, ratios) in zip(places["task"], found, strict=True) for ratio in ratios}
    places = places.loc[places.index.repeat([len(frame) for frame, _ in found])].reset_index(drop=True)
    if len({run.stage for run in runs}) == 1:
        places = places.drop(columns="stage")
    return Analysis(_joined(places, rows), jobs - len(parts), len(impossible))


def _joined(places: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """Task, ratio, the rows' own columns, the other places; an axis with the name of a column says that it is one."""
    import pandas as pd

    if rows.empty:
        return pd.DataFrame(columns=["task", "ratio"])
    others = places.drop(columns="task")
    others.columns = [f"axis.{column}" if column in rows.columns else column for column in others.columns]
    return pd.concat([places[["task"]], rows, others], axis=1)


def errors_of(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table ``quantification_error`` of a table ``quantification``."""
    if table.empty:
        return table
    import pandas as pd

    from seedfold.results.prevalence.quantification import quantification_error

    rows = ({str(name): value for name, value in row.items()} for row in table.to_dict("records"))
    return pd.DataFrame(list(quantification_error(rows)))


def notes(analysis: Analysis) -> Iterator[str]:
    """Say what the table does not have."""
    if analysis.left_out:
        lacking = counted(analysis.left_out, "job lacks", "jobs lack")
        yield f"{lacking} one of the splits {', '.join(SPLITS)}: left out"
    if analysis.impossible:
        pairs = counted(analysis.impossible, "ratio of a task is", "ratios of a task are")
        yield f"{pairs} impossible, with too few samples of a class: no rows"


def remember(cache: Path, name: str, settings: AnalysisSettings) -> None:
    """Note with which settings a table was last made: a report shows that one."""
    file = cache / "latest.json"
    known = _latest(cache) | {PARTS.get(name, name): asdict(settings)}
    with replacing(file) as beside:
        beside.write_text(json.dumps(known), encoding="utf-8")


def _latest_settings(cache: Path, name: str) -> AnalysisSettings | None:
    """Return the settings with which a table was last made; None if it never was."""
    known = _latest(cache).get(name)
    return None if known is None else AnalysisSettings.from_dict(known)


def _latest(cache: Path) -> dict[str, Any]:
    try:
        known: dict[str, Any] = json.loads((cache / "latest.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    return known
