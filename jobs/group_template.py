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

from seedfold.jobs.axis_effects import Leaf, analyse, related
from seedfold.jobs.canonical import checked_key, plain
from seedfold.jobs.compose import one_line_errors
from seedfold.jobs.derive import Derivation
from seedfold.jobs.errors import UsageError
from seedfold.jobs.evaluate import Evaluator, dotted, refuse_missing
from seedfold.jobs.hashed_text import Documents
from seedfold.jobs.identity import Identity
from seedfold.jobs.interpolations import dependencies
from seedfold.jobs.memoization import Lookup, Memory, Numbers, Source
from seedfold.jobs.patterns import Path
from seedfold.jobs.plain_references import UNKNOWN, Reader, shortcut, unsettled
from seedfold.jobs.resources import Resources
from seedfold.jobs.shared_config import (
    Layout,
    SharedConfig,
    Values,
    apply_graft,
    at,
    graft_of,
    strings,
    with_texts_for_paths,
)
from seedfold.jobs.study_keys import OURS, Conventions


@dataclass(frozen=True)
class PointValues:
    """What a template says about one point."""

    config: SharedConfig
    resources: Resources
    documents: tuple[str, str]


class Block:
    """Values that depend on the same sources and are evaluated together."""

    def __init__(self, leaves: Sequence[Leaf], sources: Sequence[int]) -> None:
        self.leaves = tuple(leaves)
        self.memory = Memory(sources)
        self.shortcuts: list[Reader | None] = [None] * len(leaves)


class Template:
    """One composed configuration without Hydra's node, its axes and its derived values.

    ``tree`` is the configuration as plain data; ``config`` makes it, where OmegaConf has to decide. ``place`` names the
    stage in errors. Raises UsageError where the configuration needs a missing value, where an interpolation cannot be
    resolved, and where derived keys overlap with axes or depend on each other in a circle.
    """

    def __init__(
        self,
        config: Callable[[], DictConfig],
        tree: Mapping[str, Any],
        axes: Sequence[Source],
        derivations: Sequence[Derivation],
        identity: Identity,
        hydra: Any,
        place: str,
        conventions: Conventions = OURS,
    ) -> None:
        self._place = place
        self._conventions = conventions
        self.hydra = hydra
        self._tree = with_texts_for_paths(tree) if conventions.lazy else tree
        _check_keys(self._tree)
        self._axes = len(axes)
        self._derivations = list(derivations)
        self._sources = [*axes, *(Source(item.path, _lookup(item)) for item in derivations)]
        paths = [source.path for source in self._sources]
        self._refuse_overlap(paths)
        with one_line_errors():
            leaves = analyse(self._tree, paths, identity, [item.node for item in derivations], conventions)
        self._evaluator = Evaluator(config, paths, hydra, place)
        self._order(leaves)
        self._prepare(leaves, identity)

    def _refuse_overlap(self, paths: Sequence[Path]) -> None:
        for number, item in enumerate(self._derivations, start=self._axes):
            for other, path in enumerate(paths):
                if other != number and related(item.path, path):
                    raise UsageError(
                        f"{self._place}: derive.{item.key}: {'.'.join(path)} is set as well; remove one of them"
                    )

    def _order(self, leaves: Sequence[Leaf]) -> None:
        """Find the order of derivation: each after those it uses."""
        self._arguments: dict[int, Memory] = {}
        waiting = list(range(self._axes, len(self._sources)))
        uses = {number: self._uses(self._derivations[number - self._axes], leaves) for number in waiting}
        ready = set(range(self._axes))
        self._sequence: list[int] = []
        while waiting:
            following = next((number for number in waiting if uses[number] - {number} <= ready), None)
            if following is None or following in uses[following]:
                keys = ", ".join(self._derivations[number - self._axes].key for number in waiting)
                raise UsageError(f"{self._place}: derive: {keys} depend on each other; break the circle")
            waiting.remove(following)
            ready.add(following)
            self._sequence.append(following)
            self._arguments[following] = Memory(sorted(uses[following]))

    def _uses(self, item: Derivation, leaves: Sequence[Leaf]) -> frozenset[int]:
        inside = [leaf for leaf in leaves if leaf.path[: len(item.node)] == item.node]
        used = frozenset[int]().union(*(leaf.sources for leaf in inside))
        if any(dependencies(leaf.text).anything for leaf in inside):
            # Such an argument may read anything: it sees the derivations written before its own.
            own = self._axes + self._derivations.index(item)
            used = frozenset(number for number in used if number < own)
        return used

    def _prepare(self, leaves: Sequence[Leaf], identity: Identity) -> None:
        mine = [leaf for leaf in leaves if self._is_ours(leaf)]
        fixed = [leaf for leaf in mine if not leaf.sources]
        values = self._fixed_values(fixed)
        kept = {key: value for key, value in self._tree.items() if self._is_kept(key)}
        base = apply_graft(kept, graft_of([[leaf.path for leaf in fixed]]), (values,)) if fixed else kept
        if not self._conventions.lazy:
            self._refuse_missing(base)
        changing = [leaf.path for leaf in mine if leaf.sources]
        self._arguments_of = {
            number: self._argument_reader(number, leaves, changing, base) for number in self._sequence
        }
        resources = base.pop(self._conventions.resources, None) or {}
        self._blocks = self._blocks_of([leaf for leaf in mine if leaf.sources], base)
        groups: list[tuple[Path, ...]] = [(source.path,) for source in self._sources]
        groups += [tuple(leaf.path for leaf in block.leaves) for block in self._blocks]
        self._of_config = [number for number, paths in enumerate(groups) if paths[0][0] != self._conventions.resources]
        self._layout = Layout(base, [groups[number] for number in self._of_config])
        self._prepare_resources(resources, groups)
        texts = {leaf.path: leaf.text for leaf in mine if leaf.machine and leaf.path[0] != self._conventions.resources}
        self.texts = {dotted(path): text for path, text in texts.items()}
        hashed = {path: identity.old_text(text) for path, text in texts.items()}
        self._documents = Documents(identity, self._layout, hashed, [self._depends(n) for n in self._of_config])

    def _is_kept(self, key: str) -> bool:
        return key not in self._conventions.study or key == self._conventions.resources

    def _is_ours(self, leaf: Leaf) -> bool:
        """Whether a text is resolved here, and not left to the job."""
        to_job = self._conventions.lazy and leaf.machine and leaf.path[0] != self._conventions.resources
        return self._is_kept(leaf.path[0]) and not to_job

    def _fixed_values(self, leaves: Sequence[Leaf]) -> tuple[Any, ...]:
        if self._conventions.lazy:
            return tuple(self._value(leaf) for leaf in leaves)
        open_texts = unsettled(self._tree)
        readers = [shortcut(leaf, (), open_texts, self._tree) for leaf in leaves]
        found = [UNKNOWN if read is None else read(()) for read in readers]
        return tuple(
            self._value(leaf) if value is UNKNOWN else value for leaf, value in zip(leaves, found, strict=True)
        )

    def _argument_reader(
        self, number: int, leaves: Sequence[Leaf], changing: Sequence[Path], base: Mapping[str, Any]
    ) -> Reader | None:
        """Return how to form the arguments of a derivation, or None where OmegaConf has to."""
        node = self._derivations[number - self._axes].node
        given = at(self._tree, node)
        inside = [leaf for leaf in leaves if leaf.path[: len(node)] == node]
        found = [shortcut(leaf, self._sources, changing, base) for leaf in inside]
        readers = [reader for reader in found if reader is not None]
        places = {leaf.path[len(node) :] for leaf in inside}
        if self._conventions.lazy or len(readers) < len(found) or not places.issuperset(unsettled(given)):
            return None
        graft = graft_of([[leaf.path[len(node) :] for leaf in inside]])

        def read(values: Sequence[tuple[Any, ...]]) -> Any:
            found = tuple([reader(values) for reader in readers])
            return UNKNOWN if any(value is UNKNOWN for value in found) else apply_graft(given, graft, (found,))

        return read

    def _value(self, leaf: Leaf) -> Any:
        """Return the value of a text; the text itself where that is the job's to find out, as under Hydra."""
        if not self._conventions.lazy or leaf.path[0] == self._conventions.resources:
            return self._evaluator.value(leaf.path)
        try:
            value = self._evaluator.value(leaf.path)
            plain(value, dotted(leaf.path))
        except UsageError:
            return leaf.text
        # What would be read as an interpolation once more stays as it was written.
        return leaf.text if any("${" in text for _, text in strings(value)) else value

    def _depends(self, group: int) -> tuple[int, ...]:
        """Return the sources that a group of values depends on."""
        return (group,) if group < len(self._sources) else self._blocks[group - len(self._sources)].memory.sources

    def _refuse_missing(self, base: Mapping[str, Any]) -> None:
        graft = graft_of([[source.path for source in self._sources]])
        blank = ((None,) * len(self._sources),)
        refuse_missing(apply_graft(base, graft, blank) if self._sources else base, (), self._place)

    def _prepare_resources(self, base: Mapping[str, Any], groups: Sequence[tuple[Path, ...]]) -> None:
        name = self._conventions.resources
        graft = graft_of(groups).get(name)
        self._resources_graft = graft
        self._resources_base = base
        numbers = [number for number in range(len(groups)) if groups[number][0][0] == name]
        self._resources_memory = Memory(sorted({source for number in numbers for source in self._depends(number)}))

    def _blocks_of(self, leaves: Sequence[Leaf], base: Mapping[str, Any]) -> list[Block]:
        together: dict[tuple[bool, tuple[int, ...]], list[Leaf]] = {}
        for leaf in leaves:
            together.setdefault((leaf.path[0] == self._conventions.resources, tuple(sorted(leaf.sources))), []).append(
                leaf
            )
        blocks = [Block(members, sources) for (_, sources), members in together.items()]
        changing = [leaf.path for leaf in leaves]
        for block in blocks:
            block.shortcuts = [shortcut(leaf, self._sources, changing, base) for leaf in block.leaves]
        return blocks

    def point(self, axis_numbers: Numbers, name: Callable[[], str]) -> PointValues:
        """Return configuration, resources and hashed documents of the point with these axis value numbers.

        ``name`` says how errors name the point.
        """
        numbers, parts = self._source_values(axis_numbers, name)
        for block in self._blocks:
            key = block.memory.key(numbers)
            known = block.memory.get(key)
            parts.append(known if known is not None else self._evaluate(block, key, numbers, parts))
        if len(parts) == len(self._of_config):
            own: Values = tuple(parts)
        else:
            own = tuple([parts[number] for number in self._of_config])
        return PointValues(
            SharedConfig(self._layout, own), self._resources(numbers, parts), self._documents.of(numbers, own)
        )

    def _source_values(self, axis_numbers: Numbers, name: Callable[[], str]) -> tuple[Numbers, list[tuple[Any, ...]]]:
        values = [source.value(number) for source, number in zip(self._sources, axis_numbers, strict=False)]
        if not self._sequence:
            return axis_numbers, values
        numbers = [*axis_numbers, *([-1] * len(self._sequence))]
        values += [()] * len(self._sequence)
        for source in self._sequence:
            item, memory = self._derivations[source - self._axes], self._arguments[source]
            key = memory.key(tuple(numbers))
            number = memory.get(key)
            if number is None:
                arguments = self._read_arguments(item, memory.sources, numbers, values)
                number = memory.keep(key, item.number(arguments, name))
            numbers[source], values[source] = number, item.values[number]
        return tuple(numbers), values

    def _read_arguments(
        self, item: Derivation, sources: Sequence[int], numbers: Sequence[int], values: Sequence[tuple[Any, ...]]
    ) -> dict[str, Any]:
        read = self._arguments_of[self._axes + self._derivations.index(item)]
        arguments = UNKNOWN if read is None else read(values)
        if arguments is UNKNOWN:
            self._place_sources(sources, numbers, values)
            arguments = self._evaluator.value(item.node)
        return {key: value for key, value in arguments.items() if key != "_target_"}

    def _place_sources(self, sources: Sequence[int], numbers: Sequence[int], values: Sequence[Any]) -> None:
        with one_line_errors():
            for source in sources:
                self._evaluator.place(source, numbers[source], values[source][0])

    def _evaluate(self, block: Block, key: Any, numbers: Numbers, values: Sequence[Any]) -> tuple[Any, ...]:
        if None in block.shortcuts:
            self._place_sources(block.memory.sources, numbers, values)
        found = []
        for leaf, read in zip(block.leaves, block.shortcuts, strict=True):
            value = UNKNOWN if read is None else read(values)
            if value is UNKNOWN:
                self._place_sources(block.memory.sources, numbers, values)
                value = self._value(leaf)
            found.append(value)
        result: tuple[Any, ...] = block.memory.keep(key, tuple(found))
        return result

    def _resources(self, numbers: Numbers, parts: Sequence[tuple[Any, ...]]) -> Resources:
        memory = self._resources_memory
        key = memory.key(numbers)
        known: Resources | None = memory.get(key)
        if known is None:
            graft, base = self._resources_graft, self._resources_base
            given = apply_graft(base, graft, tuple(parts)) if graft else base
            known = memory.keep(key, self._parse_resources(given))
        assert known is not None
        return known

    def _parse_resources(self, given: Mapping[str, Any]) -> Resources:
        try:
            return Resources.parse(given)
        except UsageError as error:
            raise UsageError(f"{self._place}: {error}") from error


def _lookup(item: Derivation) -> Lookup:
    return lambda number: item.values[number]


def _check_keys(tree: Any, key: str = "") -> None:
    """Raise UsageError for a key that is not text."""
    if isinstance(tree, dict):
        for name, item in tree.items():
            checked_key(name, key)
            _check_keys(item, f"{key}.{name}" if key else name)
    elif isinstance(tree, list):
        for index, item in enumerate(tree):
            _check_keys(item, f"{key}[{index}]")
