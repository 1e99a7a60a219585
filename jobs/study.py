"""A study: ``load_study`` reads a study file and overrides, and its `Study` yields the description of every job.

Nothing is written and no data is read. Bad input raises UsageError of one line. Some of it is found only when the jobs
are listed, because an axis may name a key that only some combinations of config groups have.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from hydra.core.override_parser.types import Override, OverrideType
from omegaconf import DictConfig, OmegaConf

from seedfold.jobs.axis_values import refuse_many
from seedfold.jobs.commandline import CommandLine, change_axes, read_command_line, split_overrides
from seedfold.jobs.compose import SEEDFOLD_CONF, Composer, one_line_errors, plain_tree
from seedfold.jobs.compositions import StudyContext, fill_in_study
from seedfold.jobs.description import JobDescription
from seedfold.jobs.errors import UsageError, did_you_mean
from seedfold.jobs.expansion import Expansion
from seedfold.jobs.fusing import FUSE, OFF
from seedfold.jobs.group_template import Template
from seedfold.jobs.identity import Identity, job_digest
from seedfold.jobs.job_order import JobOrder
from seedfold.jobs.key_patterns import Patterns
from seedfold.jobs.matrix import Matrix, Point, build_matrix
from seedfold.jobs.predicates import with_predicates
from seedfold.jobs.search_place import search_where_it_stands, with_search_on_top
from seedfold.jobs.searched_stages import stages_with_key
from seedfold.jobs.secret_values import refuse_secret_references
from seedfold.jobs.shared_config import SharedConfig, walk_paths
from seedfold.jobs.stage_parents import ParentJoin, read_edge, sort_topologically
from seedfold.jobs.stages import StageSpec, check_lengths, read_stages, study_name
from seedfold.jobs.study_keys import SEARCH
from seedfold.jobs.value_types import refuse_text

__all__ = ["Stage", "Study", "load_study"]


@dataclass(frozen=True)
class Stage:
    """One stage: its name, the function that its jobs run, its axes, its parent stages, and its number of jobs."""

    name: str
    run: str
    axes: tuple[str, ...]
    after: tuple[str, ...]
    count: int


SETTINGS_KEYS = ("cluster", "failures", "identity", "notify", "paths", "report")
"""Top-level keys that apply to a whole study."""


def _read_settings(config: DictConfig) -> dict[str, Any]:
    """Return the settings of a study as plain data, resolved without its axes."""
    with one_line_errors():
        found = {key: config.get(key) for key in SETTINGS_KEYS}
        if config.get(SEARCH) is not None:
            found[SEARCH] = config.get(SEARCH)
        return {
            key: OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value or {}
            for key, value in found.items()
        }


@dataclass(frozen=True)
class Study:
    """A study with its settings and its jobs.

    ``stages`` are in an order in which parents come first. ``settings`` holds what is configured for the whole study
    under ``cluster``, ``failures``, ``identity``, ``notify``, ``paths`` and ``report``, resolved without the axes, and
    under ``search`` if the study searches; under ``fuse`` it has the stages whose jobs are trained together. ``tables``
    are the files that its axes were read from.
    """

    name: str
    stages: tuple[Stage, ...]
    settings: Mapping[str, Any]
    tables: tuple[Path, ...]
    _context: StudyContext = field(repr=False)
    _specs: tuple[StageSpec, ...] = field(repr=False)
    _matrices: Mapping[str, Matrix] = field(repr=False)
    _order: JobOrder = field(default=JobOrder(), repr=False)

    @property
    def count(self) -> int:
        """The number of jobs; equal jobs of two stages count twice."""
        return sum(stage.count for stage in self.stages)

    @property
    def identity(self) -> Identity:
        """The rules for the ids of this study's jobs."""
        return self._context.identity

    def stages_with_key(self, key: str, first: str | None = None) -> tuple[str, ...]:
        """Return the stages that read a key, or the stage ``first``, and all stages after them. Raises UsageError."""
        return stages_with_key(self._specs, key, first)

    def with_axes(self, overrides: Sequence[str]) -> Study:
        """Return the study with axes changed or added by overrides such as ``matrix.lr=[0.1]``.

        What Hydra has composed is used again. Raises UsageError for other overrides, and as `load_study`.
        """
        composer = self._context.composer
        changes = read_command_line(composer, overrides)
        if changes.study_overrides or changes.value_overrides:
            raise UsageError(f"{', '.join(overrides)}: only axes can be changed here; write matrix.KEY=[…]")
        specs = change_axes(composer, self._specs, changes.axis_changes)
        matrices = {spec.name: make_matrix(composer, spec, self.identity) for spec in specs}
        stages = tuple(make_stage(spec, matrices[spec.name]) for spec in specs)
        return replace(self, stages=stages, _specs=specs, _matrices=matrices)

    def jobs(self) -> Iterator[JobDescription]:
        """Yield every job, parents first, inside a stage in the order of the study or, without one, of the matrix.

        Raises UsageError for a point that cannot be composed, derived or joined with its parents.
        """
        ids: dict[str, list[tuple[Point, str]]] = {}
        wanted = {parent for spec in self._specs for parent in spec.after}
        for spec in self._specs:
            id_by_point: list[tuple[Point, str]] = []
            jobs = self._stage_jobs(spec, ids)
            if self._order.entries:
                # The parents of a job are in the order of the matrix all the same.
                stage_jobs = list(jobs)
                id_by_point = [(point, job.id) for point, job in stage_jobs]
                yield from self._order.sort([job for _, job in stage_jobs], lambda job: job.axes)
            else:
                for point, job in jobs:
                    if spec.name in wanted:
                        id_by_point.append((point, job.id))
                    yield job
            ids[spec.name] = id_by_point

    def _stage_jobs(
        self, spec: StageSpec, ids: Mapping[str, Sequence[tuple[Point, str]]]
    ) -> Iterator[tuple[Point, JobDescription]]:
        expansion = Expansion(self._context, spec, self._matrices[spec.name])
        join = ParentJoin(spec, expansion.matrix, self._matrices, ids, expansion.point_name)
        run = self.identity.old_name(spec.run)
        for point, values, template in expansion.points():
            parents, parents_text = join.parents_of(point)
            document, fit = values.hashed_documents
            job = job_digest(document, run, parents_text)
            yield (
                point,
                JobDescription(
                    id=job,
                    study=self.name,
                    stage=spec.name,
                    axes=self._job_axes(expansion.matrix.values(point)),
                    config=self._job_config(values.config, template),
                    parents=parents,
                    resources=values.resources,
                    run=spec.run,
                    fit=job if fit is document else job_digest(fit, run, parents_text),
                    texts=template.texts,
                ),
            )

    def _job_axes(self, axes: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the values of the axes as JSON data."""
        return axes

    def _job_config(self, config: SharedConfig, template: Template) -> Mapping[str, Any]:
        """Return the part of a configuration that a job gets."""
        return config


def load_study(
    overrides: Sequence[str],
    *,
    config_dirs: Sequence[Path] = (),
    folder: Path | None = None,
    primary: str = SEEDFOLD_CONF,
    many: bool = False,
) -> Study:
    """Read the study that ``overrides`` choose (in Hydra's grammar), from our tree and the user's ``config_dirs``.

    ``folder`` is the folder of the launch, the current one by default: relative tables and ``paths.*`` are looked for
    there. Raises UsageError of one line for bad input, and for a study of more than a million points unless ``many``.
    """
    folder = Path.cwd() if folder is None else folder.absolute()
    composer = Composer(config_dirs, primary)
    if many:
        composer.max_points = None
    command_line = read_command_line(composer, overrides)
    tables: dict[Path, None] = {}
    config, stages, fixed = _compose_study(composer, command_line, folder, tables)
    if primary == SEEDFOLD_CONF:
        _refuse_no_experiment(config)
    name = study_name(config)
    ordered = sort_topologically(stages)
    fill_in_study(config, name, folder)
    refuse_secret_references(plain_tree(config))
    settings = _read_settings(config)
    if fused := {spec.name: spec.fuse for spec in ordered if spec.fuse != OFF}:
        settings[FUSE] = fused
    identity = Identity.from_config(settings["identity"])
    matrices = {spec.name: make_matrix(composer, spec, identity) for spec in ordered}
    refuse_many(name, sum(matrix.size for matrix in matrices.values()), composer.max_points)
    base = StudyContext(composer, fixed, name, folder, identity)
    for spec in ordered:
        for parent in spec.after:
            read_edge(spec, matrices[spec.name], parent, matrices[parent])
    stage_list = tuple(make_stage(spec, matrices[spec.name]) for spec in ordered)
    order = _read_order(config, stage_list)
    return Study(name, stage_list, settings, tuple(tables), base, tuple(ordered), matrices, order)


def _read_order(config: DictConfig, stages: Sequence[Stage]) -> JobOrder:
    with one_line_errors():
        value = config.get("order")
        plain = OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
    return JobOrder.parse(plain, dict.fromkeys(axis for stage in stages for axis in stage.axes))


def _refuse_no_experiment(config: DictConfig) -> None:
    """Raise UsageError if there is only the name of a study: jobs would run with whatever the defaults are."""
    if config.get("study") and config.hydra.runtime.choices.get("experiment") is None:
        name = config.study
        raise UsageError(
            f"study={name}: no experiment is chosen; add experiment=NAME, or go on with seedfold resume {name}"
        )


def make_stage(spec: StageSpec, matrix: Matrix) -> Stage:
    """Return a stage as people see it."""
    return Stage(spec.name, spec.run, tuple(axis.key for axis in matrix.axes), tuple(spec.after), matrix.count)


def _compose_study(
    composer: Composer, command_line: CommandLine, folder: Path, tables: dict[Path, None]
) -> tuple[DictConfig, tuple[StageSpec, ...], tuple[str, ...]]:
    """Compose the study to see its axes, and again if overrides of values remain; add its tables to ``tables``."""

    def find_table(name: str) -> Path:
        found = _find_table(composer, config, folder, name)
        tables[found] = None
        return found

    command_line = search_where_it_stands(composer, command_line)
    study_overrides = [str(override.input_line) for override in command_line.study_overrides]
    config = with_search_on_top(composer.compose(study_overrides, partial=True))
    stages = read_stages(composer, config, find_table)
    hydra_overrides, changes = split_overrides(composer, command_line, stages)
    _refuse_texts([override for override in hydra_overrides if override not in command_line.study_overrides], config)
    texts = tuple(str(override.input_line) for override in hydra_overrides)
    if list(texts) != study_overrides:
        config = with_search_on_top(_compose_again(composer, texts, config))
        stages = read_stages(composer, config, find_table)
    return config, change_axes(composer, stages, changes), texts


def _refuse_texts(overrides: Sequence[Override], before: DictConfig) -> None:
    """Raise UsageError for an override that puts a text where the study has a number; ``++`` says that it is meant."""
    texts = [one for one in overrides if one.type is OverrideType.CHANGE and isinstance(one.value(), str)]
    tree = plain_tree(before) if texts else {}
    for override in texts:
        refuse_text(override.key_or_group, [override.value()], tree)


def _compose_again(composer: Composer, overrides: Sequence[str], before: DictConfig) -> DictConfig:
    try:
        return composer.compose(overrides, partial=True)
    except UsageError as error:
        raise _add_nearest_key(error, before) from error


def _add_nearest_key(error: UsageError, config: DictConfig) -> UsageError:
    """Add the nearest existing key to an error about a key that cannot be overridden."""
    message = str(error)
    if not message.startswith("Could not override '"):
        return error
    key = message.split("'")[1]
    tree = OmegaConf.to_container(config, resolve=False)
    known = [".".join(path) for path in walk_paths(tree) if path[0] != "hydra"]
    if key in known:
        return error
    return UsageError(f"{key}: no such key in the configuration{did_you_mean(key, known)}; write +{key}=… to add it")


def _find_table(composer: Composer, config: DictConfig, folder: Path, name: str) -> Path:
    experiment = config.hydra.runtime.choices.get("experiment")
    root = composer.find_config_folder(f"experiment/{experiment}") if experiment else None
    folders = [folder, *([root, (root / f"experiment/{experiment}.yaml").parent] if root else [])]
    found = next((place / name for place in folders if (place / name).is_file()), None)
    if found is None:
        shown = ", ".join(str(place) for place in dict.fromkeys(folders))
        raise UsageError(f"table {name}: no such file in {shown}; correct the name")
    return found


def make_matrix(composer: Composer, spec: StageSpec, identity: Identity) -> Matrix:
    """Return the points of a stage; raises UsageError for axes and predicates that are not valid."""
    columns = {key.lstrip("+"): column for block in spec.blocks for key, column in block.columns.items()}
    # Hydra takes a mapping for a value, even where the key is that of a group.
    values = {name for name, column in columns.items() if any(isinstance(value, dict) for value in column)}
    groups = frozenset(name for name in columns.keys() - values if composer.is_group(name))
    for block in spec.blocks:
        check_lengths(block)
    matrix = build_matrix(spec.label, spec.blocks, groups)
    _refuse_volatile(spec, matrix, identity)
    return with_predicates(spec.label, matrix, spec.exclude, spec.only)


def _refuse_volatile(spec: StageSpec, matrix: Matrix, identity: Identity) -> None:
    patterns: Patterns = identity.volatile_patterns
    for axis in matrix.axes:
        if patterns.covers(tuple(axis.key.replace("/", ".").split("."))) and len(axis.values) > 1:
            raise UsageError(
                f"{spec.label}: {axis.key}: is a volatile key (identity.volatile), so that all its"
                " values would be the same job; remove the axis"
            )
