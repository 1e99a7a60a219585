"""The tables of a whole study: what prevalences were estimated, how calibration and metrics hold, which rules decide.

Each job that predicts the three splits is analysed by itself, at every ratio or at the one that it was trained for. Of
one whose deployment has no labels, the prevalences are estimated. Its part of a table is kept in a file named by all
that it depends on, so that an analysis goes on where it stopped, and another one over more jobs takes what is there.
The files may be deleted, and a damaged one is written anew.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seedfold.jobs.canonical import canonical_json
from seedfold.jobs.conditions import axis_named
from seedfold.jobs.errors import UsageError, counted, did_you_mean
from seedfold.jobs.work import OUTPUTS, DataFailure
from seedfold.results.evaluation.axes import address_frame, axis_names
from seedfold.results.prevalence.quantify import WITHOUT_LABELS
from seedfold.results.prevalence.settings import SPLITS, AnalysisSettings
from seedfold.results.store.atomic_files import replacing
from seedfold.results.store.finished_job import Run
from seedfold.results.store.predictions import count_unknown_targets, find_predictions
from seedfold.results.store.predictions import file_name as predictions_file
from seedfold.results.store.published import FileRecord, load_result

if TYPE_CHECKING:
    import pandas as pd

    from seedfold.results.prevalence.deployment import Deployment, Splits

TABLES = ("quantification", "quantification_error", "calibration", "performance", "decisions")
ESTIMATES = "quantification"
PARTS = {"quantification_error": ESTIMATES}
"""Tables that follow from the rows of another."""
VERSION = 2
"""Of the arithmetic: raise it when numbers change, and no part from before is taken."""
_RATIO = "imbalance_ratio"
TESTED, DEPLOYED = SPLITS[1:]
_IMPOSSIBLE = b"impossible"
Progress = Callable[[int, int], None]
Content = tuple["pd.DataFrame", list[float]]
"""The rows of a part, and the ratios that are impossible."""


@dataclass(frozen=True)
class Analysis:
    """A table; how many jobs were left out, since they lack a split; how many ratios of a task are impossible.

    ``unlabelled`` counts jobs whose deployment has no labels, ``untested`` those of them without labelled tests.
    """

    name: str
    table: pd.DataFrame
    left_out: int
    impossible: int
    unlabelled: int = 0
    untested: int = 0
    splits: tuple[str, ...] = SPLITS


@dataclass(frozen=True)
class Candidate:
    """A job that can be analysed: the files of the splits that its result has, by the names of `SPLITS`."""

    run: Run
    files: Mapping[str, FileRecord]
    is_labelled: bool = True


@dataclass(frozen=True)
class Part:
    """One job's part of a table, and the file that keeps it."""

    name: str
    candidate: Candidate
    settings: AnalysisSettings
    ratios: tuple[float, ...]
    samples: int
    file: Path

    @classmethod
    def of(cls, name: str, candidate: Candidate, settings: AnalysisSettings, cache: Path) -> Part:
        """Name the part by what it depends on."""
        files = candidate.files
        ratios = settings.ratios_of(candidate.run.axes.get(_RATIO)) if candidate.is_labelled else ()
        known = {
            "version": VERSION,
            "table": name,
            "predictions": [files[split]["sha256"] if split in files else None for split in SPLITS],
            "labelled": candidate.is_labelled,
            "ratios": ratios,
            **settings.of_table(name),
        }
        digest = hashlib.sha256(canonical_json(known).encode()).hexdigest()
        samples = sum(record["rows"] or 0 for record in files.values())
        return cls(name, candidate, settings, ratios, samples, cache / digest[:2] / f"{digest}.parquet")

    def make(self) -> None:
        """Compute the part and keep it. Raises UsageError, with the job, for predictions that cannot be analysed."""
        try:
            with _one_thread():
                rows, impossible = self._compute() if self.candidate.is_labelled else (self._compute_unlabelled(), [])
        except DataFailure as error:
            raise UsageError(f"job {self.candidate.run.short_id}: {error}") from error
        self._keep(rows, impossible)

    def _compute(self) -> tuple[list[dict[str, Any]], list[float]]:
        from seedfold.results.prevalence.deployment import Splits

        splits = Splits.read([self.candidate.run.folder], self.settings.splits)
        deployments, impossible = _deployments(splits, self.ratios, self.settings.base_seed)
        return (list(_rows(self.name, splits, deployments, self.settings)) if deployments else []), impossible

    def _compute_unlabelled(self) -> list[dict[str, Any]]:
        from seedfold.results.prevalence.members import read_members
        from seedfold.results.prevalence.quantification import quantification_without_labels

        folders, (_, dev_test, app_test) = [self.candidate.run.folder], self.settings.splits
        developed = read_members(folders, dev_test) if TESTED in self.candidate.files else None
        deployed = read_members(folders, app_test, labelled=False)
        return list(quantification_without_labels(developed, deployed, self.settings.methods))

    def _keep(self, rows: Sequence[dict[str, Any]], impossible: Sequence[float]) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        table = pa.Table.from_pylist(list(rows)).replace_schema_metadata({_IMPOSSIBLE: json.dumps(list(impossible))})
        with replacing(self.file) as beside:
            pq.write_table(table, beside, compression="zstd", write_page_checksum=True)

    def read(self) -> tuple[pd.DataFrame, list[float]] | None:
        """Return the rows, and the ratios that are impossible; None where the file is damaged or not there."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            table = pq.read_table(self.file, page_checksum_verification=True)
            return table.to_pandas(), json.loads(table.schema.metadata[_IMPOSSIBLE])
        except (pa.ArrowException, OSError, KeyError, TypeError, ValueError):
            return None


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
    found = _find_candidates(name, runs, settings.splits)
    usable = [each for each in found if each.is_labelled or name == ESTIMATES]
    if not usable:
        raise UsageError(_nothing_usable(name, runs, found, settings.splits))
    parts = [Part.of(_part_name(name), each, settings, cache) for each in usable]
    contents = _contents(parts, workers, progress)
    unlabelled = [each for each in found if not each.is_labelled]
    untested = sum(TESTED not in each.files for each in unlabelled)
    made = assemble(name, parts, contents)
    return replace(
        made, left_out=len(runs) - len(found), unlabelled=len(unlabelled), untested=untested, splits=settings.splits
    )


def at_hand(runs: Sequence[Run], cache: Path) -> dict[str, pd.DataFrame]:
    """Return the tables that are there, by name; nothing is computed.

    Those that a job of the study left, else what is kept of these runs from the last time that each was made.
    """
    import pandas as pd

    left = {name: run.folder / OUTPUTS / file_name(name) for run in runs for name in TABLES}
    there = {name: pd.read_parquet(file) for name, file in left.items() if file.exists()}
    if there or not cache.is_dir():
        return there
    found = {name: _kept(name, runs, cache) for name in TABLES}
    return {name: analysis.table for name, analysis in found.items() if analysis is not None}


def file_name(name: str) -> str:
    """Return the name of the file that a job leaves a table in."""
    return f"{name}.parquet"


def _kept(name: str, runs: Sequence[Run], cache: Path) -> Analysis | None:
    settings = _latest_settings(cache, _part_name(name))
    if settings is None:
        return None
    candidates = _find_candidates(name, runs, settings.splits)
    parts = [Part.of(_part_name(name), each, settings, cache) for each in candidates]
    contents = {part.file: content for part in parts if (content := part.read()) is not None}
    there = [part for part in parts if part.file in contents]
    return assemble(name, there, contents) if there else None


def _part_name(name: str) -> str:
    return PARTS.get(name, name)


def _find_candidates(name: str, runs: Sequence[Run], names: Sequence[str]) -> list[Candidate]:
    """Return the runs that predict the splits, called ``names``, and those whose deployment has no labels."""
    found = []
    for run in runs:
        paths = {split: run.folder / predictions_file(own) for split, own in zip(SPLITS, names, strict=True)}
        if not paths[DEPLOYED].exists():
            continue
        known = load_result(run.folder).files
        files = {split: known[path.name] for split, path in paths.items() if path.name in known}
        if DEPLOYED in files and not _is_labelled(run, paths[DEPLOYED]):
            found.append(Candidate(run, files, is_labelled=False))
        elif len(files) == len(SPLITS):
            found.append(Candidate(run, files))
    return found


def _is_labelled(run: Run, file: Path) -> bool:
    try:
        return count_unknown_targets(file) == 0
    except DataFailure as error:
        raise UsageError(f"job {run.short_id}: {error}") from error


def _nothing_usable(name: str, runs: Sequence[Run], found: Sequence[Candidate], splits: Sequence[str]) -> str:
    """Why there is nothing to analyse: labels are missing, or splits, which may only have other names."""
    if found:
        return f"{name}: {splits[-1]} has no labels, and {name} needs them; without labels there is {ESTIMATES}"
    there = sorted({split for run in runs for split in find_predictions(run.folder)})
    others = f"; there are {', '.join(there)}: name them with --split {SPLITS[0]}=NAME" if there else ""
    return f"{name}: no finished job predicts the splits {', '.join(splits)}{others}"


def predicts(files: Collection[str]) -> bool:
    """Whether the files of a result have predictions of the three splits."""
    return all(predictions_file(split) in files for split in SPLITS)


def check_table(name: str) -> None:
    """Raise UsageError for a table that there is not."""
    if name not in TABLES:
        raise UsageError(f"{name}: no such analysis{did_you_mean(name, TABLES)}; known: {', '.join(TABLES)}")


def _contents(parts: Sequence[Part], workers: int, progress: Progress) -> dict[Path, Content]:
    """Read the parts by file, after what is missing or damaged is computed, the largest first.

    Each part is kept as soon as it is there, whatever stops the rest.
    """
    contents = {part.file: part.read() for part in parts}
    missing = {part.file: part for part in parts if contents[part.file] is None}
    if missing:
        from joblib import Parallel, delayed

        largest_first = sorted(missing.values(), key=lambda part: -part.samples * max(1, len(part.ratios)))
        pool = Parallel(n_jobs=min(workers, len(missing)), return_as="generator_unordered", batch_size=1)
        progress(0, len(missing))
        for done, _ in enumerate(pool(delayed(Part.make)(part) for part in largest_first), start=1):
            progress(done, len(missing))
        contents |= {file: part.read() for file, part in missing.items()}
    whole = {file: content for file, content in contents.items() if content is not None}
    for file in contents.keys() - whole.keys():
        raise UsageError(f"{file}: was written and cannot be read again; is the disk full or damaged?")
    return whole


def assemble(name: str, parts: Sequence[Part], contents: Mapping[Path, Content]) -> Analysis:
    """Put the parts of a table together, with the places of their jobs."""
    import pandas as pd

    found = [contents[part.file] for part in parts]
    if name == "quantification_error":
        found = [(errors_of(frame), impossible) for frame, impossible in found]
    runs = [part.candidate.run for part in parts]
    rows = pd.concat([frame for frame, _ in found if len(frame)] or [pd.DataFrame()], ignore_index=True)
    places = address_frame(runs)
    task = axis_named("task", axis_names(runs))
    places = places.rename(columns={task: "task"}) if task else places.assign(task=None)
    impossible = {(place, ratio) for place, (_, ratios) in zip(places["task"], found, strict=True) for ratio in ratios}
    places = places.loc[places.index.repeat([len(frame) for frame, _ in found])].reset_index(drop=True)
    if len({run.stage for run in runs}) == 1:
        places = places.drop(columns="stage")
    return Analysis(name, _joined(places, rows), 0, len(impossible))


def _joined(places: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """Task, ratio, the rows' own columns, the other places; an axis with the name of a column says that it is one."""
    import pandas as pd

    if rows.empty:
        return pd.DataFrame(columns=["task", "ratio"])
    others = places.drop(columns="task")
    others.columns = [f"axis.{column}" if column in rows.columns else column for column in others.columns]
    return pd.concat([places[["task"]], rows, others], axis=1)


def errors_of(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table ``quantification_error`` of a table ``quantification``, where prevalences are known."""
    import pandas as pd

    table = table[table["prevalence"].notna()] if len(table) else table
    if table.empty:
        return pd.DataFrame()

    from seedfold.results.prevalence.quantification import quantification_error

    rows = ({str(name): value for name, value in row.items()} for row in table.to_dict("records"))
    return pd.DataFrame(list(quantification_error(rows)))


def notes(analysis: Analysis) -> Iterator[str]:
    """Say what the table does not have."""
    if analysis.left_out:
        lacking = counted(analysis.left_out, "job lacks", "jobs lack")
        yield f"{lacking} one of the splits {', '.join(analysis.splits)}: left out"
    if analysis.unlabelled:
        jobs, split = counted(analysis.unlabelled, "job has", "jobs have"), analysis.splits[-1]
        if analysis.name != ESTIMATES:
            yield f"{jobs} no labels in {split}: left out; the table {ESTIMATES} estimates prevalences there"
            return
        yield f"{jobs} no labels in {split}: prevalences are estimated there, and nothing can say how well"
    if analysis.untested:
        jobs, split = counted(analysis.untested, "of these jobs has", "of these jobs have"), analysis.splits[1]
        yield f"{jobs} no labelled {split}: only {' and '.join(WITHOUT_LABELS)} can be estimated, which adjust nothing"
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
        known: Any = json.loads((cache / "latest.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}
