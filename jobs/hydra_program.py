"""Somebody's own program, started by ``@hydra.main``, as a study: each point of its sweep is a job.

A job's configuration is what the program's own Hydra composes for the point. Under ``hydra`` it holds what is needed to
run the program's function with it (see `seedfold.trainers.programs.job`): ``task``, the function's dotted name, which
counts for the id; and ``program``, ``node`` and ``num``, which do not.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, NoReturn

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf

from seedfold.jobs.axis_values import override_text
from seedfold.jobs.canonical_json import canonical_json
from seedfold.jobs.changing_resolvers import ResolverWatch
from seedfold.jobs.commandline import AxisChange, CommandLine, change_axes, split_overrides
from seedfold.jobs.compose import ProgramComposer, one_line_errors, plain_tree
from seedfold.jobs.compositions import Composition, GroupOption, StudyContext
from seedfold.jobs.description import JobDescription
from seedfold.jobs.errors import UsageError
from seedfold.jobs.group_template import Template
from seedfold.jobs.identity import Identity
from seedfold.jobs.interpolations import KNOWN_RESOLVERS, find_dependencies
from seedfold.jobs.job_overrides import derived_values, overrides_of
from seedfold.jobs.matrix import REPEAT_ADVICE, Block, Matrix
from seedfold.jobs.override_order import (
    change_same_value,
    is_set_again,
    key_order,
    last_of_each_key,
    refuse_useless_sweep,
)
from seedfold.jobs.shared_config import Layout, SharedConfig, paths_to_texts, walk_texts
from seedfold.jobs.stages import StageSpec, check_axis_name, read_sweeper
from seedfold.jobs.study import Study, make_matrix, make_stage
from seedfold.jobs.study_keys import LAUNCHER_RESOURCES, SWEEPER
from seedfold.jobs.typed_config import encode_config
from seedfold.jobs.typed_texts import TypedTexts, find_typed_texts
from seedfold.jobs.value_evaluation import as_hydra_config, dotted_key, pop_hydra_view

RUN = "seedfold.trainers.programs.job.run"
STAGE = "sweep"
VOLATILE = ("hydra.program.**", "hydra.node.**", "hydra.num")
"""Keys that a job needs to run the program, but that do not change the result."""
_OMITTED_HYDRA_KEYS = ("help", "hydra_help")


@dataclass(frozen=True)
class Program:
    """The function that every job calls: where it is, and what surrounded it at the launch.

    ``task`` is its dotted name wherever it lies. ``file`` is the module's, ``path`` are folders that modules were
    imported from, ``cwd`` is the folder of the launch and ``now`` its time, in seconds since the epoch. ``options`` are
    those of the command line that say where the configuration is found. ``now_texts`` is what ``${now:PATTERN}`` was
    in the launching process, by pattern; ``cached_values`` are those of other resolvers with a cache, which Hydra
    hands on to the jobs in the same way (see `encode_cache`).

    ``main_file`` is the main module of the launching process, which jobs run in the same way; it is empty where they
    import ``module`` instead. ``main_module`` is its name after ``python -m``, ``argv`` what followed it on the command
    line of the sweep, and ``arguments`` those of them that the program took for itself.
    """

    module: str
    function: str
    file: str
    path: tuple[str, ...]
    cwd: str
    now: float
    options: tuple[str, ...] = ()
    now_texts: Mapping[str, str] = field(default_factory=dict)
    cached_values: Mapping[str, Any] = field(default_factory=dict)
    main_file: str = ""
    main_module: str = ""
    argv: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()

    @property
    def identity(self) -> dict[str, Any]:
        """What of the program makes a job another one."""
        return {"task": self.task} | ({"arguments": list(self.arguments)} if self.arguments else {})

    @property
    def class_module(self) -> str:
        """The module in which jobs find the classes of the main module."""
        return "__main__" if self.main_file else self.module

    @property
    def task(self) -> str:
        """The dotted name of the function."""
        return f"{self.module}.{self.function}"


@dataclass(frozen=True)
class ProgramSweep:
    """A sweep of a program: the ``loader`` and composed ``config`` of its own Hydra, and its settings as a study."""

    loader: ConfigLoaderImpl
    config: DictConfig
    program: Program
    study_name: str
    settings: Mapping[str, Any]

    @property
    def composer(self) -> ProgramComposer:
        """The composer for the configurations of the points."""
        return ProgramComposer(self.loader, self.config.hydra.job.config_name, hydra_overrides(self.config))


def hydra_overrides(config: DictConfig) -> list[str]:
    """Return the overrides of Hydra's own node, as they were typed on the command line."""
    overrides: Any = OmegaConf.to_container(config.hydra.overrides.hydra, resolve=False)
    return [str(override) for override in overrides]


@dataclass(frozen=True)
class _ProgramContext(StudyContext):
    """What is the same for all points, and what the jobs need of each composed configuration."""

    program: Program
    prefixes: Mapping[str, str]
    groups: tuple[str, ...] = ()
    derived: tuple[str, ...] = ()
    order: tuple[str, ...] = ()
    typed: TypedTexts = field(default_factory=dict)
    hydra_nodes: dict[int, tuple[Any, dict[str, Any]]] = field(default_factory=dict)

    def compose(self, options: Sequence[GroupOption], resources: Mapping[str, Any]) -> Composition:
        """See `StudyContext.compose`. The keys of Hydra's node that a job needs are put beside it."""
        config = self.composer.compose(self._overrides(options))
        view = pop_hydra_view(config)
        composed = encode_config(config, self.program.class_module)
        node: dict[str, Any] = OmegaConf.to_container(view.hydra, resolve=False, enum_to_str=True)  # type: ignore
        resources_entry, derive = node["launcher"].get("resources"), node["sweeper"].get("derive")
        with one_line_errors():
            OmegaConf.set_struct(config, False)
            config[LAUNCHER_RESOURCES] = resources_entry or {}
            config[SWEEPER] = {"derive": derive or {}}
            config["hydra"] = self.program.identity
        hydra_node = {key: value for key, value in node.items() if key not in _OMITTED_HYDRA_KEYS}
        program = asdict(self.program) | {
            "fixed": list(self.fixed_overrides),
            "prefixes": dict(self.prefixes),
            "groups": list(self.groups),
            "derived": list(self.derived),
            "order": list(self.order),
            "typed": self.typed,
            "config": composed,
            # The list itself: resolvers of this kind are found while the points are listed, and later ones are added.
            "drawing": self.watch.names,
        }
        _watch_hydra_node(self.watch, view)
        self.hydra_nodes[id(view)] = view, {**self.program.identity, "program": program, "node": hydra_node}
        node_of = partial(config._get_node, validate_access=False)
        return Composition(node_of, lambda: config, paths_to_texts(plain_tree(config)), view)


def _watch_hydra_node(watch: ResolverWatch, view: Any) -> None:
    """Find the resolvers in Hydra's own node, which only jobs resolve, that give another value at every call."""
    for path, text in walk_texts(OmegaConf.to_container(view.hydra, resolve=False), ("hydra",)):
        if "${" not in text or find_dependencies(text).resolvers <= KNOWN_RESOLVERS:
            continue
        with as_hydra_config(view), watch.watching(), suppress(UsageError), one_line_errors():
            # What cannot be resolved here yet, the job resolves.
            OmegaConf.select(view, dotted_key(path))


@dataclass(frozen=True)
class ProgramStudy(Study):
    """The jobs of a sweep."""

    _layouts_by_id: dict[int, tuple[Layout, Layout]] = field(default_factory=dict, repr=False)
    _job_numbers: list[int] = field(default_factory=list, repr=False)
    _numbers_of_points: Sequence[int] | None = field(default=None, repr=False)

    def jobs(self) -> Iterator[JobDescription]:
        """Yield every job, numbered as Hydra does, in matrix order.

        Raises UsageError as `Study.jobs`, and for two points with the same values, which would be one job. Points that
        another sweeper has made may be one job.
        """
        self._job_numbers.clear()
        point_by_job: dict[str, Mapping[str, Any]] = {}
        for job in super().jobs():
            earlier = point_by_job.setdefault(job.id, job.axes)
            if earlier is not job.axes and self._numbers_of_points is None:
                refuse_equal_points(earlier, job.axes)
            yield job

    def _job_axes(self, axes: Mapping[str, Any]) -> Mapping[str, Any]:
        return {key: paths_to_texts(value) for key, value in axes.items()}

    def _job_config(self, config: SharedConfig, template: Template) -> Mapping[str, Any]:
        known = self._layouts_by_id.get(id(config.layout))
        layout = known[1] if known else self._extend_layout(config.layout, template)
        place, numbers = len(self._job_numbers), self._numbers_of_points
        self._job_numbers.append(place if numbers is None else numbers[place])
        return SharedConfig(layout, (*config.own_values, (self._job_numbers[-1],)))

    def _extend_layout(self, layout: Layout, template: Template) -> Layout:
        assert isinstance(self._context, _ProgramContext)
        hydra_node = self._context.hydra_nodes[id(template.hydra_view)][1]
        extended = Layout({**layout.base, "hydra": hydra_node}, [*layout.groups, (("hydra", "num"),)])
        self._layouts_by_id[id(layout)] = layout, extended
        return extended

    def points_as_overrides(self) -> list[list[str]]:
        """Return the points, with their derived values, as Hydra's overrides, as other launchers expect them."""
        return [
            [*overrides_of(job), *(override_text("++", key, value) for key, value in derived_values(job).items())]
            for job in self.jobs()
        ]


def refuse_equal_points(axes: Mapping[str, Any], others: Mapping[str, Any]) -> NoReturn:
    """Raise UsageError for two points, given by their axes, that are the same job."""
    raise UsageError(
        f"{point_text(axes)} and {point_text(others)}: two points with the same configuration;"
        f" remove one of them, or {REPEAT_ADVICE}"
    )


def point_text(axes: Mapping[str, Any]) -> str:
    """Return a point as people write it."""
    return " ".join(f"{key}={value}" for key, value in axes.items())


def load_sweep(sweep: ProgramSweep, arguments: Sequence[str]) -> ProgramStudy:
    """Read the sweep that ``hydra.sweeper`` and ``arguments``, Hydra's overrides, describe.

    Raises UsageError of one line for bad input. Some of it is found only when the jobs are listed.
    """
    composer = sweep.composer
    parsed = last_of_each_key(composer.parse_overrides(arguments))
    tables: dict[Path, None] = {}
    stage = read_sweeper(composer, sweep.config, STAGE, RUN, lambda name: _find_table(name, tables))
    single_overrides, changes = split_overrides(composer, CommandLine((), parsed, ()), [stage])
    fixed = _find_fixed(composer, sweep, single_overrides, parsed)
    point_changes = [
        AxisChange(one, one.get_key_element().lstrip("+"), in_one_stage=True)
        for one in single_overrides
        if one not in fixed
    ]
    refuse_useless_sweep(composer, parsed)
    # Hydra applies overrides in the order in which they are written.
    in_order = sorted([*changes, *point_changes], key=lambda change: _place(change.override, parsed))
    (stage,) = change_axes(composer, [stage], in_order)
    typed = find_typed_texts([*_sweeper_params(composer, sweep), *parsed])
    return _make_study(sweep, composer, stage, fixed, typed, tables, key_order(parsed))


def _find_fixed(
    composer: ProgramComposer, sweep: ProgramSweep, overrides: Sequence[Override], written: Sequence[Override]
) -> list[Override]:
    """Return those of ``overrides`` that are the same for all points and no part of them, in the order ``written``.

    What such an override changes that follows is the same for all points as well. Of a key that is set twice, the last
    value is part of a point.
    """
    fixed: list[Override] = []
    for override in reversed(overrides):
        later_ones = written[_place(override, written) + 1 :]
        is_followed = any(change_same_value(composer, override, later) for later in fixed)
        is_followed |= any(is_set_again(composer, override, later) for later in later_ones)
        if is_followed or not _is_part_of_point(composer, sweep, override):
            fixed.insert(0, override)
    return fixed


def _sweeper_params(composer: ProgramComposer, sweep: ProgramSweep) -> list[Override]:
    """The sweeps that are written in ``hydra.sweeper.params`` as on a command line."""
    params = sweep.config.hydra.sweeper.get("params") or {}
    return composer.parse_overrides([f"{key}={text}" for key, text in params.items() if isinstance(text, str)])


def _place(override: Override, overrides: Sequence[Override]) -> int:
    return next(place for place, each in enumerate(overrides) if each is override)


def load_expanded_points(
    sweep: ProgramSweep, points: Sequence[Sequence[str]], first_number: int = 0
) -> Iterator[tuple[ProgramStudy, Mapping[int, int]]]:
    """Read points that another sweeper has expanded, each by its overrides: one study for each set of keys.

    Yields a study, and for the places of its points among ``points`` the places of their jobs. Hydra numbers the points
    from ``first_number`` on; a job that several points share has the number of the first one. Raises UsageError if the
    points differ in an override that is not part of an address.
    """
    composer = sweep.composer
    parsed = [composer.parse_overrides(point) for point in points]
    fixed = [override for override in parsed[0] if not _is_part_of_point(composer, sweep, override)]
    fixed_texts = [one.input_line for one in fixed]
    rows_by_keys: dict[tuple[str, ...], dict[int, list[Override]]] = {}
    for place, point in enumerate(parsed):
        row = [one for one in point if one.input_line not in fixed_texts]
        rows_by_keys.setdefault(tuple(one.get_key_element() for one in row), {})[place] = row
    for keys, rows in rows_by_keys.items():
        for one in next(iter(rows.values())):
            if not _is_part_of_point(composer, sweep, one):
                raise UsageError(
                    f"hydra/sweeper: {one.input_line}: the points of this sweeper differ in a key that is not"
                    " part of a job's address; remove it from the sweep, or rename it"
                )
        order = key_order(chain.from_iterable(parsed[place] for place in rows))
        yield _make_points_study(sweep, keys, rows, fixed, order, first_number)


def _make_points_study(
    sweep: ProgramSweep,
    keys: Sequence[str],
    rows: Mapping[int, Sequence[Override]],
    fixed: Sequence[Override],
    order: tuple[str, ...],
    first_number: int,
) -> tuple[ProgramStudy, Mapping[int, int]]:
    """The study of points that set the same ``keys``, by their places, and the place of each point's job."""
    values = {place: [one.value() for one in row] for place, row in rows.items()}
    names = {place: canonical_json(row) for place, row in values.items()}
    values_by_name = {names[place]: row for place, row in values.items()}
    columns = {key: list(column) for key, column in zip(keys, zip(*values_by_name.values(), strict=True), strict=True)}
    blocks = (Block("hydra/sweeper", columns),) if columns else ()
    first_places: dict[str, int] = {}
    for place, name in names.items():
        first_places.setdefault(name, place)
    typed = find_typed_texts(one for row in rows.values() for one in row)
    spec = StageSpec(STAGE, (SWEEPER,), RUN, blocks)
    study = _make_study(sweep, sweep.composer, spec, fixed, typed, order=order)
    job_places = {name: number for number, name in enumerate(first_places)}
    numbers = [first_number + place for place in first_places.values()]
    return replace(study, _numbers_of_points=numbers), {place: job_places[name] for place, name in names.items()}


def _is_part_of_point(composer: ProgramComposer, sweep: ProgramSweep, override: Override) -> bool:
    """Whether an override with one value is part of a point's address, so that another value is another job."""
    key = override.get_key_element().lstrip("+")
    if override.is_delete() or Identity.from_config(sweep.settings["identity"]).volatile_patterns.covers(
        tuple(key.split("."))
    ):
        return False
    try:
        check_axis_name(composer, "command line", key)
    except UsageError:
        return False
    return True


def _make_study(
    sweep: ProgramSweep,
    composer: ProgramComposer,
    stage: StageSpec,
    fixed: Iterable[Override],
    typed: TypedTexts,
    tables: Iterable[Path] = (),
    order: tuple[str, ...] = (),
) -> ProgramStudy:
    identity = Identity.from_config(sweep.settings["identity"])
    matrix: Matrix = make_matrix(composer, stage, identity)
    texts = tuple(f"{override.get_key_element()}={override.get_value_element_as_str()}" for override in fixed)
    prefixes = {axis.key: axis.prefix for axis in matrix.axes}
    groups = tuple(axis.key for axis in matrix.axes if axis.is_group)
    derived = tuple(key.lstrip("+") for key in stage.derive)
    cwd, names = Path(sweep.program.cwd), (prefixes, groups, derived, order, typed)
    base = _ProgramContext(composer, texts, sweep.study_name, cwd, identity, sweep.program, *names)
    listed = (make_stage(stage, matrix),)
    return ProgramStudy(sweep.study_name, listed, sweep.settings, tuple(tables), base, (stage,), {STAGE: matrix})


def _find_table(name: str, tables: dict[Path, None]) -> Path:
    file = Path(name).absolute()
    if not file.is_file():
        raise UsageError(f"{SWEEPER}.table {name}: no such file in {Path.cwd()}; correct the name")
    tables[file] = None
    return file
