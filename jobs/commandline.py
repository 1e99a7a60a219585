"""What overrides mean for a study: which of them replace or add axes, and which are left for Hydra.

``KEY=v`` and ``KEY=1,2`` replace the axis KEY in every stage that has one. Without such an axis, one value is an
ordinary override, and a sweep adds an axis to a study of one stage. ``stages.S.matrix.KEY=…`` (``matrix.KEY=…`` for one
stage) sets, adds or, with ``~``, removes an axis in one stage. In a zip or a table, values that the axis
has choose their rows; other values replace the column, and there must be one for each row.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from hydra.core.override_parser.types import Override

from seedfold.jobs.axis_values import override_values
from seedfold.jobs.compose import Composer
from seedfold.jobs.errors import UsageError, did_you_mean
from seedfold.jobs.matrix import Block
from seedfold.jobs.stages import StageSpec, check_axis_name, check_lengths

_STAGE_AXIS = re.compile(r"(?:stages\.(?P<stage>[^.]+)\.)?matrix\.(?P<key>.+)")


@dataclass(frozen=True)
class AxisChange:
    """One override of an axis; ``stage`` is None if it changes every stage that has the axis."""

    override: Override
    key: str
    stage: str | None = None
    in_one_stage: bool = False


@dataclass(frozen=True)
class CommandLine:
    """Overrides by meaning: ``study`` changes the study itself, ``axes`` changes axes, ``values`` is the rest."""

    study_overrides: tuple[Override, ...]
    value_overrides: tuple[Override, ...]
    axis_changes: tuple[AxisChange, ...]


def read_command_line(composer: Composer, overrides: Sequence[str]) -> CommandLine:
    """Sort overrides by what they mean without knowing the study yet."""
    study, values, axes = [], [], []
    for override in composer.parse_overrides(overrides):
        key = _override_key(override)
        change = _STAGE_AXIS.fullmatch(key)
        if change is not None:
            axes.append(AxisChange(override, change["key"], change["stage"], in_one_stage=True))
        elif _is_study_override(composer, override):
            _refuse_sweep(override, key)
            if composer.is_group(key) and not override.is_delete() and override.value() is None:
                composer.check_option(key, None)
            study.append(override)
        else:
            values.append(override)
    return CommandLine(tuple(study), tuple(values), tuple(axes))


def _override_key(override: Override) -> str:
    return override.key_or_group if override.package is None else f"{override.key_or_group}@{override.package}"


def _is_study_override(composer: Composer, override: Override) -> bool:
    top = re.split(r"[./]", override.key_or_group)[0]
    one_option = composer.is_group(override.key_or_group) and not override.is_sweep_override()
    conventions = composer.conventions
    return top in conventions.study_keys or top in conventions.chosen_once or one_option


def _refuse_sweep(override: Override, key: str) -> None:
    if override.is_sweep_override():
        raise UsageError(f"{override.input_line}: {key} has one value per study; start one study for each value")


def split_overrides(
    composer: Composer, command_line: CommandLine, stages: Sequence[StageSpec]
) -> tuple[tuple[Override, ...], tuple[AxisChange, ...]]:
    """Return the overrides that Hydra applies, and those that change axes, now that the stages are known."""
    hydra_overrides: list[Override] = []
    axes = list(command_line.axis_changes)
    stages = change_axes(composer, stages, command_line.axis_changes)
    for override in (*command_line.study_overrides, *command_line.value_overrides):
        key = _override_key(override)
        if any(spec.block_number(key) is not None for spec in stages) and not override.is_delete():
            axes.append(AxisChange(override, key))
        elif override.is_sweep_override():
            axes.append(
                AxisChange(override, key, in_one_stage=True) if len(stages) == 1 else _refuse_ambiguous(override, key)
            )
        else:
            hydra_overrides.append(override)
    return tuple(hydra_overrides), tuple(axes)


def _refuse_ambiguous(override: Override, key: str) -> AxisChange:
    raise UsageError(f"{override.input_line}: no stage has an axis {key}; write stages.STAGE.matrix.{key}=… to add one")


def change_axes(
    composer: Composer, stages: Sequence[StageSpec], changes: Iterable[AxisChange]
) -> tuple[StageSpec, ...]:
    """Return the stages with their axes changed."""
    changed = tuple(stages)
    for change in changes:
        stage_names = _stages_to_change(change, changed)
        changed = tuple(_change_axis(composer, spec, change) if spec.name in stage_names else spec for spec in changed)
    return changed


def _stages_to_change(change: AxisChange, stages: Sequence[StageSpec]) -> list[str]:
    if change.in_one_stage:
        return [_stage_to_change(change, stages)]
    return [spec.name for spec in stages if spec.block_number(change.key) is not None]


def _stage_to_change(change: AxisChange, stages: Sequence[StageSpec]) -> str:
    names, line = [spec.name for spec in stages], change.override.input_line
    if change.stage is None and len(names) > 1:
        raise UsageError(f"{line}: the study has several stages; write stages.STAGE.matrix.{change.key}")
    name = change.stage or names[0]
    if name not in names:
        raise UsageError(f"{line}: no stage {name}{did_you_mean(name, names)}; stages: {', '.join(names)}")
    return name


def _change_axis(composer: Composer, spec: StageSpec, change: AxisChange) -> StageSpec:
    block_number = spec.block_number(change.key)
    if change.override.is_delete():
        return _without_axis(spec, change, block_number)
    values = _axis_values(composer, change)
    if not values:
        raise UsageError(f"{change.override.input_line}: the axis has no values; give it some")
    if block_number is None:
        prefix = "++" if change.override.is_add() or change.override.is_force_add() else ""
        if prefix and not change.override.key_or_group.endswith(f"matrix.{change.key}"):
            prefix = "+" if change.override.is_add() else "++"
        check_axis_name(composer, "matrix", change.key)
        new_block = Block(str(change.override.input_line), {f"{prefix}{change.key}": values})
        return replace(spec, blocks=(*spec.blocks, new_block))
    block = _with_values(spec.blocks[block_number], change, values)
    return replace(spec, blocks=(*spec.blocks[:block_number], block, *spec.blocks[block_number + 1 :]))


def _axis_values(composer: Composer, change: AxisChange) -> list[Any]:
    """The values that an override gives an axis. After ``matrix.``, a list is several values, as in a study's file."""
    values = override_values(change.override, composer.max_points)
    is_list = not change.override.is_sweep_override() and isinstance(values[0], list)
    return values[0] if is_list and _STAGE_AXIS.fullmatch(_override_key(change.override)) else values


def _without_axis(spec: StageSpec, change: AxisChange, block_number: int | None) -> StageSpec:
    if block_number is None:
        raise UsageError(f"{change.override.input_line}: {spec.label} has no axis {change.key}; remove the override")
    columns = {
        key: column for key, column in spec.blocks[block_number].columns.items() if key.lstrip("+") != change.key
    }
    remaining = (Block(spec.blocks[block_number].origin, columns),) if columns else ()
    return replace(spec, blocks=(*spec.blocks[:block_number], *remaining, *spec.blocks[block_number + 1 :]))


def _with_values(block: Block, change: AxisChange, values: list[Any]) -> Block:
    key = block.find_key(change.key)
    assert key is not None
    origin = str(change.override.input_line)
    name = f"++{change.key}" if change.override.is_force_add() else key
    if len(block.columns) == 1:
        return Block(origin, {name: values})
    rows = [row for value in values for row, present in enumerate(block.columns[key]) if _are_identical(present, value)]
    if all(any(_are_identical(present, value) for present in block.columns[key]) for value in values):
        return Block(origin, {name: [column[row] for row in rows] for name, column in block.columns.items()})
    columns = {name if column == key else column: held for column, held in block.columns.items()}
    changed = Block(origin, {**columns, name: values})
    check_lengths(changed)
    return changed


def _are_identical(left: Any, right: Any) -> bool:
    return type(left) is type(right) and bool(left == right)
