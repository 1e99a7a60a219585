"""What the points of one combination of config groups share, prepared so that a point costs microseconds.

A template is one composed configuration with *sources*, places whose value differs between points: axes and derived
values. Everything that no source can change is resolved once. What a source can change is evaluated again, by
OmegaConf, and remembered by the numbers of the source values it depends on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from omegaconf import DictConfig

from seedfold.jobs.axis_effects import Leaf, do_overlap, find_leaves
from seedfold.jobs.canonical_json import to_plain
from seedfold.jobs.changing_resolvers import ResolverWatch
from seedfold.jobs.compose import one_line_errors
from seedfold.jobs.derive import Derivation
from seedfold.jobs.errors import UsageError
from seedfold.jobs.hashed_text import HashedDocuments
from seedfold.jobs.identity import Identity
from seedfold.jobs.interpolations import find_dependencies
from seedfold.jobs.key_patterns import KeyPath
from seedfold.jobs.memoization import Numbers, ResultCache, ValueLookup, ValueSource
from seedfold.jobs.plain_references import NEEDS_OMEGACONF, ValueReader, make_reader, unresolved_paths
from seedfold.jobs.resources import Resources
from seedfold.jobs.shared_config import (
    Layout,
    SharedConfig,
    ValueGroups,
    insert_values,
    make_value_tree,
    paths_to_texts,
    value_at,
    walk_texts,
)
from seedfold.jobs.study_keys import STUDY_CONVENTIONS, Conventions
from seedfold.jobs.subtree_facts import KnownSubtrees, PathSet
from seedfold.jobs.value_evaluation import Evaluator, dotted_key, refuse_missing


@dataclass(frozen=True)
class PointValues:
    """What a template computes for one point."""

    config: SharedConfig
    resources: Resources
    hashed_documents: tuple[str, str]


class LeafGroup:
    """Values that depend on the same sources and are evaluated together."""

    def __init__(self, leaves: Sequence[Leaf], sources: Sequence[int]) -> None:
        self.leaves = tuple(leaves)
        self.cache = ResultCache(sources)
        self.readers: list[ValueReader | None] = [None] * len(leaves)


class Template:
    """One composed configuration without Hydra's node, its axes and its derived values.

    ``tree`` is the configuration as plain data; ``config`` returns it as OmegaConf's, which is rarely needed. ``place``
    names the stage in errors. Raises UsageError where the configuration needs a missing value, where an interpolation
    cannot be resolved, and where derived keys overlap with axes or depend on each other in a circle.
    """

    def __init__(
        self,
        make_config: Callable[[], DictConfig],
        tree: Mapping[str, Any],
        axes: Sequence[ValueSource],
        derivations: Sequence[Derivation],
        identity: Identity,
        hydra_view: Any,
        place: str,
        conventions: Conventions = STUDY_CONVENTIONS,
        watch: ResolverWatch | None = None,
        subtrees: KnownSubtrees | None = None,
    ) -> None:
        self._place = place
        self._subtrees = subtrees or KnownSubtrees(identity)
        self._conventions = conventions
        self.hydra_view = hydra_view
        self._tree = paths_to_texts(tree) if conventions.leaves_to_job else tree
        for key, value in self._tree.items():
            self._subtrees.of(key, value)
        self._axis_count = len(axes)
        self._derivations = list(derivations)
        self._sources = [*axes, *(ValueSource(item.target_path, _derived_value_lookup(item)) for item in derivations)]
        paths = [source.path for source in self._sources]
        self._refuse_overlap(paths)
        with one_line_errors():
            arguments = [item.arguments_path for item in derivations]
            leaves = find_leaves(self._tree, paths, identity, arguments, conventions, self._subtrees)
        self._evaluator = Evaluator(make_config, paths, hydra_view, place, watch or ResolverWatch())
        self._order_derivations(leaves)
        self._prepare(leaves, identity)

    def _refuse_overlap(self, paths: Sequence[KeyPath]) -> None:
        for number, item in enumerate(self._derivations, start=self._axis_count):
            for other, path in enumerate(paths):
                if other != number and do_overlap(item.target_path, path):
                    raise UsageError(
                        f"{self._place}: derive.{item.key}: {'.'.join(path)} is set as well; remove one of them"
                    )

    def _order_derivations(self, leaves: Sequence[Leaf]) -> None:
        """Find the order of derivation: each after those it uses."""
        self._argument_caches: dict[int, ResultCache] = {}
        waiting = list(range(self._axis_count, len(self._sources)))
        uses = {number: self._sources_of(self._derivations[number - self._axis_count], leaves) for number in waiting}
        ready = set(range(self._axis_count))
        self._derivation_order: list[int] = []
        while waiting:
            following = next((number for number in waiting if uses[number] - {number} <= ready), None)
            if following is None or following in uses[following]:
                keys = ", ".join(self._derivations[number - self._axis_count].key for number in waiting)
                raise UsageError(f"{self._place}: derive: {keys} depend on each other; break the circle")
            waiting.remove(following)
            ready.add(following)
            self._derivation_order.append(following)
            self._argument_caches[following] = ResultCache(sorted(uses[following]))

    def _sources_of(self, derivation: Derivation, leaves: Sequence[Leaf]) -> frozenset[int]:
        inside = [leaf for leaf in leaves if leaf.path[: len(derivation.arguments_path)] == derivation.arguments_path]
        used = frozenset[int]().union(*(leaf.sources for leaf in inside))
        if any(find_dependencies(leaf.text).may_depend_on_anything for leaf in inside):
            # An argument that may read any key sees only the derivations that are written before its own.
            own = self._axis_count + self._derivations.index(derivation)
            used = frozenset(number for number in used if number < own)
        return used

    def _prepare(self, leaves: Sequence[Leaf], identity: Identity) -> None:
        resolved_here = [leaf for leaf in leaves if self._is_resolved_here(leaf)]
        fixed = [leaf for leaf in resolved_here if not leaf.sources]
        values = self._fixed_values(fixed)
        base = self._fill_in(fixed, values)
        if not self._conventions.leaves_to_job:
            self._refuse_missing(base)
        changing = PathSet(leaf.path for leaf in resolved_here if leaf.sources)
        self._argument_readers = {
            number: self._make_argument_reader(number, leaves, changing, base) for number in self._derivation_order
        }
        resources = base.pop(self._conventions.resources_key, None) or {}
        self._leaf_groups = self._group_leaves([leaf for leaf in resolved_here if leaf.sources], base)
        groups: list[tuple[KeyPath, ...]] = [(source.path,) for source in self._sources]
        groups += [tuple(leaf.path for leaf in block.leaves) for block in self._leaf_groups]
        self._config_groups = [
            number for number, paths in enumerate(groups) if paths[0][0] != self._conventions.resources_key
        ]
        self._layout = Layout(base, [groups[number] for number in self._config_groups])
        self._prepare_resources(resources, groups)
        texts = {
            leaf.path: leaf.text
            for leaf in resolved_here
            if leaf.depends_on_machine and leaf.path[0] != self._conventions.resources_key
        }
        self.texts = {dotted_key(path): text for path, text in texts.items()}
        hashed = {path: identity.old_text(text) for path, text in texts.items()}
        self._documents = HashedDocuments(
            identity, self._layout, hashed, [self._sources_of_group(n) for n in self._config_groups], self._subtrees
        )

    def _fill_in(self, leaves: Sequence[Leaf], values: Sequence[Any]) -> dict[str, Any]:
        """Return the part of the configuration that jobs get, with the values of these strings in their places."""
        inner: dict[str, dict[KeyPath, Any]] = {}
        for leaf, value in zip(leaves, values, strict=True):
            inner.setdefault(leaf.path[0], {})[leaf.path] = value
        filled = {
            key: self._subtrees.filled(key, self._tree[key], tuple(own), tuple(own.values()))
            for key, own in inner.items()
        }
        return {key: filled.get(key, value) for key, value in self._tree.items() if self._is_in_config(key)}

    def _is_in_config(self, key: str) -> bool:
        return key not in self._conventions.study_keys or key == self._conventions.resources_key

    def _is_resolved_here(self, leaf: Leaf) -> bool:
        """Whether a string is resolved here, and not when the job starts."""
        left_to_job = (
            self._conventions.leaves_to_job
            and leaf.depends_on_machine
            and leaf.path[0] != self._conventions.resources_key
        )
        return self._is_in_config(leaf.path[0]) and not left_to_job

    def _fixed_values(self, leaves: Sequence[Leaf]) -> tuple[Any, ...]:
        if self._conventions.leaves_to_job:
            return tuple(self._resolve_leaf(leaf) for leaf in leaves)
        unresolved = PathSet(path for path, _ in self._subtrees.unresolved(self._tree))
        readers = [make_reader(leaf, (), unresolved, self._tree) for leaf in leaves]
        found = [NEEDS_OMEGACONF if read is None else read(()) for read in readers]
        return tuple(
            self._resolve_leaf(leaf) if value is NEEDS_OMEGACONF else value
            for leaf, value in zip(leaves, found, strict=True)
        )

    def _make_argument_reader(
        self, number: int, leaves: Sequence[Leaf], changing: PathSet, base: Mapping[str, Any]
    ) -> ValueReader | None:
        """Return a function that computes the arguments of a derivation; None if only OmegaConf can do it."""
        node = self._derivations[number - self._axis_count].arguments_path
        arguments = value_at(self._tree, node)
        inner_leaves = [leaf for leaf in leaves if leaf.path[: len(node)] == node]
        found = [make_reader(leaf, self._sources, changing, base) for leaf in inner_leaves]
        readers = [reader for reader in found if reader is not None]
        argument_paths = {leaf.path[len(node) :] for leaf in inner_leaves}
        if (
            self._conventions.leaves_to_job
            or len(readers) < len(found)
            or not argument_paths.issuperset(unresolved_paths(arguments))
        ):
            return None
        graft = make_value_tree([[leaf.path[len(node) :] for leaf in inner_leaves]])

        def read(values: Sequence[tuple[Any, ...]]) -> Any:
            found = tuple([reader(values) for reader in readers])
            return (
                NEEDS_OMEGACONF
                if any(value is NEEDS_OMEGACONF for value in found)
                else insert_values(arguments, graft, (found,))
            )

        return read

    def _resolve_leaf(self, leaf: Leaf) -> Any:
        """Return the value of a string; the string itself if it is resolved in the job, as under Hydra.

        Such are values that are another one at every call, and those that cannot be resolved here.
        """
        is_resource = leaf.path[0] == self._conventions.resources_key
        if not self._conventions.leaves_to_job or is_resource:
            return self._evaluator.resolve(leaf.path, may_change=is_resource)
        try:
            value = self._evaluator.resolve(leaf.path)
            to_plain(value, dotted_key(leaf.path))
        except UsageError:
            return leaf.text
        # A value that would be read as an interpolation a second time stays as it was written.
        return leaf.text if any("${" in text for _, text in walk_texts(value)) else value

    def _sources_of_group(self, group: int) -> tuple[int, ...]:
        """Return the sources that a group of values depends on."""
        return (group,) if group < len(self._sources) else self._leaf_groups[group - len(self._sources)].cache.sources

    def _refuse_missing(self, base: Mapping[str, Any]) -> None:
        graft = make_value_tree([[source.path for source in self._sources]])
        blank = ((None,) * len(self._sources),)
        for key, value in (insert_values(base, graft, blank) if self._sources else base).items():
            known = self._subtrees.find(key, value)
            if known is None or not known.is_complete:
                refuse_missing(value, (key,), self._place)

    def _prepare_resources(self, base: Mapping[str, Any], groups: Sequence[tuple[KeyPath, ...]]) -> None:
        name = self._conventions.resources_key
        graft = make_value_tree(groups).get(name)
        self._resources_value_tree = graft
        self._resources_base = base
        numbers = [number for number in range(len(groups)) if groups[number][0][0] == name]
        self._resources_cache = ResultCache(
            sorted({source for number in numbers for source in self._sources_of_group(number)})
        )

    def _group_leaves(self, leaves: Sequence[Leaf], base: Mapping[str, Any]) -> list[LeafGroup]:
        leaves_by_sources: dict[tuple[bool, tuple[int, ...]], list[Leaf]] = {}
        for leaf in leaves:
            leaves_by_sources.setdefault(
                (leaf.path[0] == self._conventions.resources_key, tuple(sorted(leaf.sources))), []
            ).append(leaf)
        blocks = [LeafGroup(members, sources) for (_, sources), members in leaves_by_sources.items()]
        changing = PathSet(leaf.path for leaf in leaves)
        for block in blocks:
            block.readers = [make_reader(leaf, self._sources, changing, base) for leaf in block.leaves]
        return blocks

    def point_values(self, axis_numbers: Numbers, point_name: Callable[[], str]) -> PointValues:
        """Return configuration, resources and hashed documents of the point with these axis value numbers.

        ``point_name`` returns how errors name the point.
        """
        numbers, value_groups = self._source_values(axis_numbers, point_name)
        for block in self._leaf_groups:
            key = block.cache.make_key(numbers)
            known = block.cache.get(key)
            value_groups.append(known if known is not None else self._evaluate_group(block, key, numbers, value_groups))
        if len(value_groups) == len(self._config_groups):
            config_values: ValueGroups = tuple(value_groups)
        else:
            config_values = tuple([value_groups[number] for number in self._config_groups])
        return PointValues(
            SharedConfig(self._layout, config_values),
            self._resources_of(numbers, value_groups),
            self._documents.documents_of(numbers, config_values),
        )

    def _source_values(
        self, axis_numbers: Numbers, point_name: Callable[[], str]
    ) -> tuple[Numbers, list[tuple[Any, ...]]]:
        values = [source.lookup(number) for source, number in zip(self._sources, axis_numbers, strict=False)]
        if not self._derivation_order:
            return axis_numbers, values
        numbers = [*axis_numbers, *([-1] * len(self._derivation_order))]
        values += [()] * len(self._derivation_order)
        for source in self._derivation_order:
            derivation, cache = self._derivations[source - self._axis_count], self._argument_caches[source]
            key = cache.make_key(tuple(numbers))
            number = cache.get(key)
            if number is None:
                arguments = self._read_arguments(derivation, cache.sources, numbers, values)
                number = cache.add(key, derivation.value_number(arguments, point_name))
            numbers[source], values[source] = number, derivation.values[number]
        return tuple(numbers), values

    def _read_arguments(
        self, derivation: Derivation, sources: Sequence[int], numbers: Sequence[int], values: Sequence[tuple[Any, ...]]
    ) -> dict[str, Any]:
        read = self._argument_readers[self._axis_count + self._derivations.index(derivation)]
        arguments = NEEDS_OMEGACONF if read is None else read(values)
        if arguments is NEEDS_OMEGACONF:
            self._set_sources(sources, numbers, values)
            arguments = self._evaluator.resolve(derivation.arguments_path)
        return {key: value for key, value in arguments.items() if key != "_target_"}

    def _set_sources(self, sources: Sequence[int], numbers: Sequence[int], values: Sequence[Any]) -> None:
        with one_line_errors():
            for source in sources:
                self._evaluator.set_source(source, numbers[source], values[source][0])

    def _evaluate_group(
        self, leaf_group: LeafGroup, key: Any, numbers: Numbers, values: Sequence[Any]
    ) -> tuple[Any, ...]:
        if None in leaf_group.readers:
            self._set_sources(leaf_group.cache.sources, numbers, values)
        found = []
        for leaf, read in zip(leaf_group.leaves, leaf_group.readers, strict=True):
            value = NEEDS_OMEGACONF if read is None else read(values)
            if value is NEEDS_OMEGACONF:
                self._set_sources(leaf_group.cache.sources, numbers, values)
                value = self._resolve_leaf(leaf)
            found.append(value)
        result: tuple[Any, ...] = leaf_group.cache.add(key, tuple(found))
        return result

    def _resources_of(self, numbers: Numbers, value_groups: Sequence[tuple[Any, ...]]) -> Resources:
        cache = self._resources_cache
        key = cache.make_key(numbers)
        parsed: Resources | None = cache.get(key)
        if parsed is None:
            graft, base = self._resources_value_tree, self._resources_base
            resources = insert_values(base, graft, tuple(value_groups)) if graft else base
            parsed = cache.add(key, self._parse_resources(resources))
        assert parsed is not None
        return parsed

    def _parse_resources(self, resources: Mapping[str, Any]) -> Resources:
        try:
            return Resources.parse(resources)
        except UsageError as error:
            raise UsageError(f"{self._place}: {error}") from error


def _derived_value_lookup(item: Derivation) -> ValueLookup:
    return lambda number: item.values[number]
