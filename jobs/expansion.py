"""From the matrix of a stage to the values of its points.

Hydra composes once per combination of config groups. Axes whose values are themselves configuration (texts with
interpolations, keys inside lists or typed nodes, keys inside other axes) are applied by Hydra's own code, one template
for each combination of them; all other axes only set a place in a template.
"""

from __future__ import annotations

import copy
import pickle
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path as FilePath
from typing import Any, cast

from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf._utils import split_key

from seedfold.jobs.axis_effects import related
from seedfold.jobs.compose import Composer, one_line_errors, plain_tree
from seedfold.jobs.derive import Derivation, read_derivations
from seedfold.jobs.errors import UsageError, did_you_mean
from seedfold.jobs.evaluate import hydra_view
from seedfold.jobs.fold_axis import refuse_unknown_fold
from seedfold.jobs.grammar import group_override, value_override
from seedfold.jobs.group_template import PointValues, Template
from seedfold.jobs.identity import Identity
from seedfold.jobs.interpolations import MISSING
from seedfold.jobs.matrix import Axis, Matrix, Point
from seedfold.jobs.memoization import Source
from seedfold.jobs.paths import make_absolute
from seedfold.jobs.patterns import Path
from seedfold.jobs.schema import StageSpec
from seedfold.jobs.shared_config import has, keys, strings
from seedfold.jobs.value_types import refuse_text

ALWAYS_USED = frozenset({"paths", "cluster", "failures"})
"""Where things are and how jobs are got done; no part of identities."""

KEPT_COMPOSITIONS = 64
"""Stages of a study ask for the same compositions, and a copy costs a tenth."""

KEPT_TEMPLATES = 1024
"""Templates kept at a time: one costs as much as thousands of points."""


@dataclass(frozen=True)
class Composition:
    """A composed configuration without Hydra's node, as plain data, and what ``${hydra:...}`` reads in it.

    ``shared`` is there to be looked at, ``make`` makes one that may be changed, which hardly anybody needs.
    """

    shared: DictConfig
    make: Callable[[], DictConfig]
    tree: Mapping[str, Any]
    hydra: Any


@dataclass(frozen=True)
class Base:
    """What is the same for all stages of a study: Hydra's overrides, names and folders."""

    composer: Composer
    fixed: tuple[str, ...]
    study: str
    folder: FilePath
    identity: Identity
    _known: dict[tuple[str, ...], Composition] = field(default_factory=dict, kw_only=True)

    def compose(self, options: Sequence[str], resources: Mapping[str, Any]) -> Composition:
        """Return what Hydra composes, with the study's name, absolute paths and a stage's ``resources`` in it.

        Stages ask for the same ones, which differ in ``resources`` alone.
        """
        overrides = (*self.fixed, *options)
        found = self._known.get(overrides) or self._compose(overrides)
        if not resources:
            return found
        config = found.make()
        set_resources(config, resources)
        tree = {**found.tree, "resources": plain_tree(config["resources"])}
        return Composition(found.shared, lambda: config, tree, found.hydra)

    def _compose(self, overrides: tuple[str, ...]) -> Composition:
        config = self.composer.compose(overrides)
        view = hydra_view(config)
        place_study(config, self.study, self.folder)
        pickled = pickle.dumps(config)
        known = Composition(config, lambda: cast(DictConfig, pickle.loads(pickled)), plain_tree(config), view)
        if len(self._known) < KEPT_COMPOSITIONS:
            self._known[overrides] = known
        return known


@dataclass(frozen=True)
class Composed(Composition):
    """What the points of one combination of config groups are made from."""

    applied: dict[int, frozenset[int] | None]
    """Axes, by number, whose values Hydra has to apply: these values, or all (None)."""

    @cached_property
    def config(self) -> DictConfig:
        """What Hydra applies values to copies of."""
        return self.make()


class Expansion:
    """The points of one stage with everything that is remembered between them."""

    def __init__(self, base: Base, spec: StageSpec, matrix: Matrix) -> None:
        self._base = base
        self._spec = spec
        self.matrix = matrix
        self._groups = [number for number, axis in enumerate(matrix.axes) if axis.is_group]
        self._plain = [number for number, axis in enumerate(matrix.axes) if not axis.is_group]
        self._derivations: tuple[Derivation, ...] = read_derivations(spec, base.folder, base.composer.conventions)
        # The keys of other people's programs mean what they want.
        self._is_study_file = not base.composer.conventions.lazy
        self._composed: OrderedDict[Point, Composed] = OrderedDict()
        self._simple: OrderedDict[Point, tuple[Template, tuple[int, ...]]] = OrderedDict()
        self._templates: OrderedDict[Point, tuple[Template, tuple[int, ...]]] = OrderedDict()
        self._check_options()

    def _check_options(self) -> None:
        for number in self._groups:
            axis = self.matrix.axes[number]
            for option in axis.values:
                self._base.composer.check_option(axis.key, option)

    def points(self) -> Iterator[tuple[Point, PointValues, Template]]:
        """Yield each point with its values; errors are UsageErrors that name stage and key or point."""
        for point in self.matrix.points():
            template, own = self._template(point)
            numbers = tuple([point[number] for number in own])
            values = template.point(numbers, lambda point=point: self.name(point))  # type: ignore[misc]
            if self._is_study_file:
                self._check_fold(point, values)
            yield point, values, template

    def _check_fold(self, point: Point, values: PointValues) -> None:
        try:
            refuse_unknown_fold(values.config)
        except UsageError as error:
            raise UsageError(f"{self._spec.place}: {self.name(point)}: {error}") from error

    def name(self, point: Point) -> str:
        """Return how errors name a point."""
        shown = ", ".join(f"{key}={value}" for key, value in self.matrix.values(point).items())
        return shown or "its only point"

    def _template(self, point: Point) -> tuple[Template, tuple[int, ...]]:
        choice = tuple([point[number] for number in self._groups])
        ready = _recall(self._simple, choice)
        if ready is not None:
            return cast("tuple[Template, tuple[int, ...]]", ready)
        composed = _recall(self._composed, choice) or self._compose(choice)
        if not composed.applied:
            built = self._build(composed.make, composed.tree, composed.hydra)
            return cast("tuple[Template, tuple[int, ...]]", _remember(self._simple, choice, built))
        _remember(self._composed, choice, composed)
        return self._applied_template(composed, choice, point)

    def _applied_template(self, composed: Composed, choice: Point, point: Point) -> tuple[Template, tuple[int, ...]]:
        """Return the template of a point some of whose axes Hydra has to apply."""
        applied = [number for number, values in composed.applied.items() if values is None or point[number] in values]
        key = (*choice, *[part for number in applied for part in (number, point[number])])
        known = _recall(self._templates, key)
        if known is None:
            config = self._applied(composed, applied, point)
            built = self._build(lambda: config, plain_tree(config), composed.hydra, applied)
            known = _remember(self._templates, key, built)
        return cast("tuple[Template, tuple[int, ...]]", known)

    def _compose(self, choice: Sequence[int]) -> Composed:
        axes = [self.matrix.axes[number] for number in self._groups]
        options = [
            group_override(axis.prefix, axis.key, axis.values[number])
            for axis, number in zip(axes, choice, strict=True)
        ]
        found = self._base.compose(options, self._spec.resources)
        parts = self._parts(found.tree)
        tree = {
            key: item if key not in parts else {child: value for child, value in item.items() if child in parts[key]}
            for key, item in found.tree.items()
            if parts.get(key, True)
        }
        composed = Composed(found.shared, lambda: _without(found.make(), parts), tree, found.hydra, {})
        for number in self._plain:
            axis = self.matrix.axes[number]
            self._check_key(axis, tree)
            self._check_values(axis, tree)
            values = self._applied_values(axis, found.shared, tree)
            if values is None or values:
                composed.applied[number] = values
        return composed

    def _parts(self, tree: Mapping[str, Any]) -> dict[str, set[str]]:
        """Return what the stage uses of each top-level key that it does not use whole.

        What is not in a job's configuration cannot change its identity.
        """
        if self._spec.uses is None:
            return {}
        derived = {split_key(key.lstrip("+"))[0] for key in self._spec.derive}
        kept = {*self._spec.uses, *map(_top_of, self.matrix.axes), *derived, *ALWAYS_USED}
        kept |= self._base.composer.conventions.study
        return {
            key: {use.partition(".")[2] for use in self._spec.uses if use.startswith(f"{key}.")}
            for key in tree
            if str(key) not in kept
        }

    def _check_key(self, axis: Axis, tree: Mapping[str, Any]) -> None:
        path = _path(axis)
        if axis.prefix or has(tree, path) or _inside_other(path, tree):
            return
        known = [".".join(path) for path in keys(tree)]
        raise UsageError(
            f"{self._spec.place}: {axis.key}: no such key in the configuration{did_you_mean(axis.key, known)};"
            f" write +{axis.key} to add it"
        )

    def _check_values(self, axis: Axis, tree: Mapping[str, Any]) -> None:
        if axis.prefix or not self._is_study_file:
            return
        try:
            refuse_text(axis.key, axis.values, tree)
        except UsageError as error:
            raise UsageError(f"{self._spec.place}: {error}") from error

    def _applied_values(self, axis: Axis, config: DictConfig, tree: Mapping[str, Any]) -> frozenset[int] | None:
        path = _path(axis)
        others = [other for other in self._plain if self.matrix.axes[other] is not axis]
        overlapping = any(related(path, _path(self.matrix.axes[other])) for other in others)
        if (
            overlapping
            or _typed(config._get_node(path[0], validate_access=False))
            or "[" in axis.key
            or _inside_other(path, tree)
        ):
            return None
        existing = _existing(tree, path)
        merged = isinstance(existing, (dict, list))
        return frozenset(
            number for number, value in enumerate(axis.values) if _needs_hydra(axis, value, existing, merged)
        )

    def _applied(self, composed: Composed, applied: Sequence[int], point: Point) -> DictConfig:
        """Return a configuration that Hydra has changed as these axes say."""
        chosen = [self.matrix.axes[number] for number in applied]
        values = [axis.values[point[number]] for axis, number in zip(chosen, applied, strict=True)]
        config = copy.deepcopy(composed.config)
        self._base.composer.apply(
            [value_override(axis.prefix, axis.key, value) for axis, value in zip(chosen, values, strict=True)], config
        )
        return config

    def _build(
        self, make: Callable[[], DictConfig], tree: Mapping[str, Any], hydra: Any, applied: Sequence[int] = ()
    ) -> tuple[Template, tuple[int, ...]]:
        own = tuple(number for number in self._plain if number not in applied)
        sources = [Source(_path(self.matrix.axes[number]), _lookup(self.matrix.axes[number])) for number in own]
        conventions = self._base.composer.conventions
        template = Template(
            make, tree, sources, self._derivations, self._base.identity, hydra, self._spec.place, conventions
        )
        return template, own


def _without(config: DictConfig, parts: Mapping[str, set[str]]) -> DictConfig:
    """Leave of these top-level keys only the parts named, or nothing."""
    OmegaConf.set_struct(config, False)
    for key, used in parts.items():
        for child in list(config[key].keys()) if used else ():
            if child not in used:
                del config[key][child]
        if not used:
            del config[key]
    OmegaConf.set_struct(config, True)
    return config


def _top_of(axis: Axis) -> str:
    """The top-level key that an axis sets; that of a group is its package."""
    if not axis.is_group:
        return _path(axis)[0]
    group, _, package = axis.key.partition("@")
    return (package or group.replace("/", ".")).split(".")[0]


def place_study(config: DictConfig, study: str, folder: FilePath) -> None:
    """Fill in a composed configuration the study's name, and make its paths absolute."""
    with one_line_errors():
        OmegaConf.set_struct(config, False)
        config["study"] = study
        make_absolute(config, folder)
        OmegaConf.set_struct(config, True)


def set_resources(config: DictConfig, resources: Mapping[str, Any]) -> None:
    """Fill in a composed configuration what a stage asks for."""
    with one_line_errors():
        OmegaConf.set_struct(config, False)
        OmegaConf.update(config, "resources", dict(resources), merge=True, force_add=True)
        OmegaConf.set_struct(config, True)


def _recall(known: OrderedDict[Point, Any], key: Point) -> Any:
    found = known.get(key)
    if found is not None and len(known) > KEPT_TEMPLATES // 2:
        known.move_to_end(key)
    return found


def _remember(known: OrderedDict[Point, Any], key: Point, value: Any) -> Any:
    if key not in known and len(known) >= KEPT_TEMPLATES:
        known.popitem(last=False)
    known[key] = value
    return value


def _path(axis: Axis) -> Path:
    return tuple(split_key(axis.key))


def _lookup(axis: Axis) -> Any:
    entries: dict[int, tuple[Any]] = {}

    def value(number: int) -> tuple[Any]:
        entry = entries.get(number)
        if entry is None:
            entry = entries[number] = (axis.values[number],)
        return entry

    return value


def _existing(tree: Mapping[str, Any], path: Path) -> Any:
    node: Any = tree
    for part in path:
        if not isinstance(node, dict) or part not in node:
            return None
        node = node[part]
    return node


def _inside_other(path: Path, tree: Any) -> bool:
    """Whether ``path`` leads through something that is no mapping: a list, an interpolation, a missing value, null."""
    for part in path[:-1]:
        if not isinstance(tree, dict):
            return True
        if part not in tree:
            return False
        tree = tree[part]
    return not isinstance(tree, dict)


def _needs_hydra(axis: Axis, value: Any, existing: Any, merged: bool) -> bool:
    if merged and isinstance(value, (dict, list)):
        return isinstance(value, dict) or isinstance(existing, dict)
    if axis.prefix == "+" and existing is not None and not isinstance(value, (dict, list)):
        return True
    return any("${" in text or text == MISSING for _, text in strings(value))


def _typed(node: Any) -> bool:
    """Whether a node, or one inside it, has a declared type, by which OmegaConf converts or refuses values."""
    if node is None:
        return False
    if node._metadata.ref_type not in (Any, None):
        return True
    if not isinstance(node, (DictConfig, ListConfig)) or node._is_none() or node._is_missing():
        return False
    if node._is_interpolation():
        return False
    if isinstance(node, DictConfig) and node._metadata.object_type not in (dict, None):
        return True
    names: Any = node.keys() if isinstance(node, DictConfig) else range(len(node))
    return any(_typed(node._get_node(name)) for name in names)
