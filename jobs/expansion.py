"""From the matrix of a stage to the values of its points.

Hydra composes once per combination of config groups. Axes whose values are themselves configuration (texts with
interpolations, keys inside lists or typed nodes, keys inside other axes) are applied by Hydra's own code, one template
for each combination of them; all other axes only set a place in a template.
"""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf._utils import split_key

from seedfold.jobs.axis_effects import do_overlap
from seedfold.jobs.axis_values import value_override
from seedfold.jobs.compose import plain_tree
from seedfold.jobs.compositions import Composition, GroupOption, StudyContext
from seedfold.jobs.derive import Derivation, read_derivations
from seedfold.jobs.errors import UsageError, did_you_mean
from seedfold.jobs.fold_axis import refuse_unknown_fold
from seedfold.jobs.group_template import PointValues, Template
from seedfold.jobs.interpolations import MISSING
from seedfold.jobs.key_patterns import KeyPath
from seedfold.jobs.matrix import Axis, Matrix, Point
from seedfold.jobs.memoization import ValueSource
from seedfold.jobs.shared_config import has_path, leads_through_value, paths_to_texts, walk_paths, walk_texts
from seedfold.jobs.stages import StageSpec
from seedfold.jobs.value_types import refuse_text

ALWAYS_USED = frozenset({"paths", "cluster", "failures"})
"""Keys that say where things are and how jobs are run; they are not part of an id."""

MAX_TEMPLATES = 1024
"""How many templates are kept at a time: to make one takes as long as thousands of points."""


@dataclass(frozen=True)
class GroupComposition(Composition):
    """What the points of one combination of config groups are made from."""

    applied_by_hydra: dict[int, frozenset[int] | None]
    """Axes, by number, whose values Hydra has to apply: these values, or all (None)."""

    @cached_property
    def config(self) -> DictConfig:
        """What Hydra applies values to copies of."""
        return self.make_config()


class Expansion:
    """The points of one stage, with the results that are kept from one point to the next."""

    def __init__(self, context: StudyContext, spec: StageSpec, matrix: Matrix) -> None:
        self._context = context
        self._spec = spec
        self.matrix = matrix
        self._group_axes = [number for number, axis in enumerate(matrix.axes) if axis.is_group]
        self._value_axes = [number for number, axis in enumerate(matrix.axes) if not axis.is_group]
        self._derivations: tuple[Derivation, ...] = read_derivations(spec, context.folder, context.composer.conventions)
        # In somebody's own program, a key such as fold may mean anything.
        self._is_study_file = not context.composer.conventions.leaves_to_job
        self._compositions: OrderedDict[Point, GroupComposition] = OrderedDict()
        self._templates_by_groups: OrderedDict[Point, tuple[Template, tuple[int, ...]]] = OrderedDict()
        self._templates: OrderedDict[Point, tuple[Template, tuple[int, ...]]] = OrderedDict()
        self._check_options()

    def _check_options(self) -> None:
        for number in self._group_axes:
            axis = self.matrix.axes[number]
            for option in axis.values:
                self._context.composer.check_option(axis.key, option)

    def points(self) -> Iterator[tuple[Point, PointValues, Template]]:
        """Yield each point with its values; errors are UsageErrors that name stage and key or point."""
        for point in self.matrix.points():
            template, own = self._template_of(point)
            numbers = tuple([point[number] for number in own])
            values = template.point_values(numbers, lambda point=point: self.point_name(point))  # type: ignore[misc]
            if self._is_study_file:
                self._check_fold(point, values)
            yield point, values, template

    def _check_fold(self, point: Point, values: PointValues) -> None:
        try:
            refuse_unknown_fold(values.config)
        except UsageError as error:
            raise UsageError(f"{self._spec.label}: {self.point_name(point)}: {error}") from error

    def point_name(self, point: Point) -> str:
        """Return how errors name a point."""
        axes_text = ", ".join(f"{key}={value}" for key, value in self.matrix.values(point).items())
        return axes_text or "its only point"

    def _template_of(self, point: Point) -> tuple[Template, tuple[int, ...]]:
        choice = tuple([point[number] for number in self._group_axes])
        template = _get_recent(self._templates_by_groups, choice)
        if template is not None:
            return cast("tuple[Template, tuple[int, ...]]", template)
        composed = _get_recent(self._compositions, choice) or self._compose_groups(choice)
        if not composed.applied_by_hydra:
            built = self._build_template(composed.make_config, composed.tree, composed.hydra_view)
            return cast("tuple[Template, tuple[int, ...]]", _add_recent(self._templates_by_groups, choice, built))
        _add_recent(self._compositions, choice, composed)
        return self._applied_template(composed, choice, point)

    def _applied_template(
        self, composed: GroupComposition, choice: Point, point: Point
    ) -> tuple[Template, tuple[int, ...]]:
        """Return the template of a point some of whose axes Hydra has to apply."""
        axis_numbers = [
            number for number, values in composed.applied_by_hydra.items() if values is None or point[number] in values
        ]
        key = (*choice, *[part for number in axis_numbers for part in (number, point[number])])
        known = _get_recent(self._templates, key)
        if known is None:
            config = self._apply_axes(composed, axis_numbers, point)
            built = self._build_template(lambda: config, plain_tree(config), composed.hydra_view, axis_numbers)
            known = _add_recent(self._templates, key, built)
        return cast("tuple[Template, tuple[int, ...]]", known)

    def _compose_groups(self, choice: Sequence[int]) -> GroupComposition:
        axes = [self.matrix.axes[number] for number in self._group_axes]
        options = [
            GroupOption(axis.prefix, axis.key, axis.values[number]) for axis, number in zip(axes, choice, strict=True)
        ]
        found = self._context.compose(options, self._spec.resources)
        parts = self._used_parts(found.tree)
        tree = {
            key: item if key not in parts else {child: value for child, value in item.items() if child in parts[key]}
            for key, item in found.tree.items()
            if parts.get(key, True)
        }
        composed = GroupComposition(
            found.node, lambda: _keep_parts(found.make_config(), parts), tree, found.hydra_view, {}
        )
        for number in self._value_axes:
            axis = self.matrix.axes[number]
            self._check_key(axis, tree)
            self._check_values(axis, tree)
            values = self._values_for_hydra(axis, found.node(_axis_path(axis)[0]), tree)
            if values is None or values:
                composed.applied_by_hydra[number] = values
        return composed

    def _used_parts(self, tree: Mapping[str, Any]) -> dict[str, set[str]]:
        """Return what the stage uses of each top-level key that it does not use whole.

        A key that is not in a job's configuration cannot change its id.
        """
        if self._spec.uses is None:
            return {}
        derived = {split_key(key.lstrip("+"))[0] for key in self._spec.derive}
        keys_used_whole = {*self._spec.uses, *map(_top_level_key, self.matrix.axes), *derived, *ALWAYS_USED}
        keys_used_whole |= self._context.composer.conventions.study_keys
        return {
            key: {use.partition(".")[2] for use in self._spec.uses if use.startswith(f"{key}.")}
            for key in tree
            if str(key) not in keys_used_whole
        }

    def _check_key(self, axis: Axis, tree: Mapping[str, Any]) -> None:
        path = _axis_path(axis)
        if axis.prefix or has_path(tree, path) or leads_through_value(path, tree) or self._is_in_earlier_axis(axis):
            return
        known = [".".join(path) for path in walk_paths(tree)]
        raise UsageError(
            f"{self._spec.label}: {axis.key}: no such key in the configuration{did_you_mean(axis.key, known)};"
            f" write +{axis.key} to add it"
        )

    def _is_in_earlier_axis(self, axis: Axis) -> bool:
        """Whether the key of an axis lies in the value of one before it, so that only Hydra can tell if it is there."""
        path = _axis_path(axis)
        value_axes = [self.matrix.axes[number] for number in self._value_axes]
        earlier = [_axis_path(other) for other in value_axes[: value_axes.index(axis)]]
        return any(path[: len(other)] == other for other in earlier)

    def _check_values(self, axis: Axis, tree: Mapping[str, Any]) -> None:
        if axis.prefix or not self._is_study_file:
            return
        try:
            refuse_text(axis.key, axis.values, tree)
        except UsageError as error:
            raise UsageError(f"{self._spec.label}: {error}") from error

    def _values_for_hydra(self, axis: Axis, top_level_node: Any, tree: Mapping[str, Any]) -> frozenset[int] | None:
        path = _axis_path(axis)
        others = [other for other in self._value_axes if self.matrix.axes[other] is not axis]
        overlapping = any(do_overlap(path, _axis_path(self.matrix.axes[other])) for other in others)
        if overlapping or _has_declared_type(top_level_node) or "[" in axis.key or leads_through_value(path, tree):
            return None
        existing = _value_at(tree, path)
        merged = isinstance(existing, (dict, list))
        return frozenset(
            number for number, value in enumerate(axis.values) if _needs_hydra(axis, value, existing, merged)
        )

    def _apply_axes(self, composed: GroupComposition, axis_numbers: Sequence[int], point: Point) -> DictConfig:
        """Return a configuration that Hydra has changed as these axes say."""
        chosen = [self.matrix.axes[number] for number in axis_numbers]
        values = [axis.values[point[number]] for axis, number in zip(chosen, axis_numbers, strict=True)]
        config = copy.deepcopy(composed.config)
        self._context.composer.apply_overrides(
            [value_override(axis.prefix, axis.key, value) for axis, value in zip(chosen, values, strict=True)], config
        )
        return config

    def _build_template(
        self,
        make_config: Callable[[], DictConfig],
        tree: Mapping[str, Any],
        hydra: Any,
        applied_axes: Sequence[int] = (),
    ) -> tuple[Template, tuple[int, ...]]:
        set_axes = tuple(number for number in self._value_axes if number not in applied_axes)
        sources = [
            ValueSource(_axis_path(self.matrix.axes[number]), _value_lookup(self.matrix.axes[number]))
            for number in set_axes
        ]
        context, label = self._context, self._spec.label
        composed = (make_config, tree, sources, self._derivations, context.identity, hydra)
        template = Template(*composed, label, context.composer.conventions, context.watch, context.subtrees)
        return template, set_axes


def _keep_parts(config: DictConfig, parts: Mapping[str, set[str]]) -> DictConfig:
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


def _top_level_key(axis: Axis) -> str:
    """The top-level key that an axis sets; that of a group is its package."""
    if not axis.is_group:
        return _axis_path(axis)[0]
    group, _, package = axis.key.partition("@")
    return (package or group.replace("/", ".")).split(".")[0]


def _get_recent(cache: OrderedDict[Point, Any], key: Point) -> Any:
    found = cache.get(key)
    if found is not None and len(cache) > MAX_TEMPLATES // 2:
        cache.move_to_end(key)
    return found


def _add_recent(cache: OrderedDict[Point, Any], key: Point, value: Any) -> Any:
    if key not in cache and len(cache) >= MAX_TEMPLATES:
        cache.popitem(last=False)
    cache[key] = value
    return value


def _axis_path(axis: Axis) -> KeyPath:
    return tuple(split_key(axis.key))


def _value_lookup(axis: Axis) -> Any:
    entries: dict[int, tuple[Any]] = {}

    def value(number: int) -> tuple[Any]:
        entry = entries.get(number)
        if entry is None:
            entry = entries[number] = (axis.values[number],)
        return entry

    return value


def _value_at(tree: Mapping[str, Any], path: KeyPath) -> Any:
    node: Any = tree
    for part in path:
        if not isinstance(node, dict) or part not in node:
            return None
        node = node[part]
    return node


def _needs_hydra(axis: Axis, value: Any, existing: Any, is_merged: bool) -> bool:
    if is_merged and isinstance(value, (dict, list)):
        return isinstance(value, dict) or isinstance(existing, dict)
    if axis.prefix == "+" and existing is not None and not isinstance(value, (dict, list)):
        return True
    return paths_to_texts(value) != value or any("${" in text or text == MISSING for _, text in walk_texts(value))


def _has_declared_type(node: Any) -> bool:
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
    return any(_has_declared_type(node._get_node(name)) for name in names)
