"""The study part of a composed configuration: stages with their axes, predicates, derived values and parents.

A study has either ``matrix``, ``zip``, ``table``, ``exclude``, ``only`` and ``derive`` at the top, which make one stage
named ``train``, or ``stages: {NAME: {run, matrix, zip, table, exclude, only, derive, after, uses, resources}}``. For
bad input, functions here raise UsageError, which names the key.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from seedfold.jobs.axis_values import axis_values, parse_cell
from seedfold.jobs.command import COMMAND, COMMAND_RUN
from seedfold.jobs.compose import Composer, one_line_errors
from seedfold.jobs.errors import UsageError, count_noun, did_you_mean
from seedfold.jobs.fusing import FIT_PREDICT_RUN, FUSE, OFF, Fuse
from seedfold.jobs.matrix import Block
from seedfold.jobs.study_keys import SEARCH, SWEEPER, TOP_LEVEL_STAGE_KEYS

DEFAULT_STAGE = "train"
LIGHTNING = "lightning"
"""The value of ``run`` for a LightningModule that trains itself."""
LIGHTNING_RUN = "seedfold.trainers.stages.lightning.run"
_DATA = "data"
_STAGE_KEYS = ("run", *TOP_LEVEL_STAGE_KEYS, "uses", "resources", FUSE)
_SWEEPER_KEYS = ("params", "zip", "table", "exclude", "only", "derive")

_RESERVED_NAMES = frozenset(
    {
        *("job", "split", "sample_id", "target", "head", "stage", "study", "metric", "value", "attempt", "id"),
        *("seconds", "host", "stale", "n", "expected", "undefined", "over", "mean", "sd", "ci_low", "ci_high"),
        *("samples", "folds", "complete", "n_members", "models", "chosen_on"),
    }
)


@dataclass(frozen=True)
class StageSpec:
    """One stage as a study describes it.

    ``config_path`` is the path of its mapping in the configuration, empty for the stage of a study without ``stages``;
    ``after`` maps parent stages to a predicate that chooses some of their jobs (None for all). ``uses`` are the
    top-level keys that its jobs read besides axes and derived values, or ``TOP.KEY`` directly below them; None for all.
    ``fuse`` says whether its jobs are trained together.
    """

    name: str
    config_path: tuple[str, ...]
    run: str
    blocks: tuple[Block, ...]
    exclude: tuple[Any, ...] = ()
    only: tuple[Any, ...] = ()
    derive: Mapping[str, Any] = field(default_factory=dict)
    after: Mapping[str, Any] = field(default_factory=dict)
    uses: frozenset[str] | None = None
    resources: Mapping[str, Any] = field(default_factory=dict)
    fuse: str | int = OFF

    @property
    def label(self) -> str:
        """The name of the stage in errors."""
        return f"stage {self.name}"

    def block_number(self, key: str) -> int | None:
        """Return the number of the block that holds the axis ``key``."""
        return next((number for number, block in enumerate(self.blocks) if block.find_key(key)), None)


TableFinder = Callable[[str], Path]


def read_stages(composer: Composer, config: DictConfig, find_table: TableFinder) -> tuple[StageSpec, ...]:
    """Return the stages of a composed study in the order written."""
    stages = config.get("stages") or {}
    top = [key for key in TOP_LEVEL_STAGE_KEYS if config.get(key) is not None]
    if not stages:
        return (_read_stage(composer, config, config, (), DEFAULT_STAGE, find_table),)
    if top:
        raise UsageError(f"{top[0]}: a study has either stages or {top[0]} at the top; move it into a stage")
    if not OmegaConf.is_dict(stages):
        raise UsageError("stages: not a mapping of names to stages; write stages: {NAME: {matrix: ...}}")
    specs = []
    for name, node in stages.items():
        _check_keys(str(name), node)
        specs.append(_read_stage(composer, config, node or {}, ("stages", str(name)), str(name), find_table))
    return tuple(specs)


def _check_keys(name: str, node: Any) -> None:
    if node is not None and not OmegaConf.is_dict(node):
        raise UsageError(f"stages.{name}: not a mapping; known keys: {', '.join(_STAGE_KEYS)}")
    for key in node or ():
        if key not in _STAGE_KEYS:
            raise UsageError(
                f"stages.{name}.{key}: unknown key{did_you_mean(str(key), _STAGE_KEYS)}; "
                f"known: {', '.join(_STAGE_KEYS)}"
            )


def read_sweeper(composer: Composer, config: DictConfig, stage: str, run: str, find_table: TableFinder) -> StageSpec:
    """Return the only stage of somebody's own program, from the node ``hydra.sweeper``.

    Its axes are ``params``, as for Hydra's own sweeper; other keys are those of a stage.
    """
    node = config.hydra.sweeper
    for key in node:
        if key not in (*_SWEEPER_KEYS, SEARCH) and not str(key).startswith("_"):
            known = ", ".join(_SWEEPER_KEYS)
            raise UsageError(f"{SWEEPER}.{key}: unknown key{did_you_mean(str(key), _SWEEPER_KEYS)}; known: {known}")
    blocks = [
        *_sweeper_blocks(composer, config),
        *_zip_blocks(composer, f"{SWEEPER}.zip", _get_plain(node, "zip", resolve=True)),
        *_table_blocks(composer, f"{SWEEPER}.table", _get_plain(node, "table", resolve=True), find_table),
    ]
    return StageSpec(
        name=stage,
        config_path=(SWEEPER,),
        run=run,
        blocks=tuple(blocks),
        exclude=_predicate_list(_get_plain(node, "exclude", resolve=True)),
        only=_predicate_list(_get_plain(node, "only", resolve=True)),
        derive=_require_mapping(f"{SWEEPER}.derive", _get_plain(node, "derive", resolve=False)),
    )


def _read_stage(
    composer: Composer, config: DictConfig, node: Any, config_path: tuple[str, ...], name: str, find_table: TableFinder
) -> StageSpec:
    def get(key: str, resolve: bool = True) -> Any:
        return _get_plain(node, key, resolve=resolve)

    prefix = "".join(f"{piece}." for piece in config_path)
    blocks = [
        *_matrix_blocks(composer, f"{prefix}matrix", get("matrix")),
        *_zip_blocks(composer, f"{prefix}zip", get("zip")),
        *_table_blocks(composer, f"{prefix}table", get("table"), find_table),
    ]
    if not config_path:
        blocks += _sweeper_blocks(composer, config)
    return StageSpec(
        name=name,
        config_path=config_path,
        run=_find_run(name, node.get("run") or config.get("run"), config, blocks),
        blocks=tuple(blocks),
        exclude=_predicate_list(get("exclude")),
        only=_predicate_list(get("only")),
        derive=_require_mapping(f"{prefix}derive", get("derive", resolve=False)),
        after=_parse_after(f"{prefix}after", get("after")),
        uses=_parse_uses(f"{prefix}uses", get("uses"), config) if config_path else None,
        resources=_require_mapping(f"{prefix}resources", get("resources", resolve=False)) if config_path else {},
        fuse=_parse_fuse(f"{prefix}{FUSE}", get(FUSE), config.get(FUSE)),
    )


def _parse_fuse(place: str, value: Any, of_study: Any) -> str | int:
    """Return ``fuse`` of a stage, by default that of the study; raises UsageError."""
    found = of_study if value is None else value
    return OFF if Fuse.parse(found, place) is None else found


def _parse_uses(place: str, value: Any, config: DictConfig) -> frozenset[str] | None:
    if value is None:
        return None
    if not isinstance(value, list) or not all(isinstance(key, str) for key in value):
        raise UsageError(f"{place}: {value!r} is not a list of top-level keys; write [task, sampling]")
    for key in value:
        top, _, below = key.partition(".")
        known = [str(each) for each in config]
        if top not in known:
            raise UsageError(f"{place}: {key}: no such top-level key{did_you_mean(top, known)}")
        known = [str(each) for each in config[top]] if OmegaConf.is_dict(config[top]) else []
        if below and below not in known:
            raise UsageError(f"{place}: {key}: no such key in {top}{did_you_mean(below, known)}")
    return frozenset(value)


def _get_plain(node: Any, key: str, *, resolve: bool) -> Any:
    with one_line_errors():
        value = node.get(key)
        if OmegaConf.is_config(value):
            return OmegaConf.to_container(value, resolve=resolve, enum_to_str=True)
        return value


def _find_run(stage: str, run: Any, config: DictConfig, blocks: Sequence[Block]) -> str:
    """Return what a job does: where the study has ``data``, its loaders feed a LightningModule that trains itself."""
    found = _require_run(stage, run)
    has_data = config.get(_DATA) is not None or any(block.find_key(_DATA) for block in blocks)
    return LIGHTNING_RUN if found == LIGHTNING or (found == FIT_PREDICT_RUN and has_data) else found


def _require_run(stage: str, run: Any) -> str:
    if not isinstance(run, str) or not run:
        raise UsageError(
            f"stage {stage}: run is missing;"
            " give the dotted name of the function that does a job (run: package.module.function)"
        )
    return COMMAND_RUN if run == COMMAND else run


def _require_mapping(key: str, value: Any) -> Mapping[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise UsageError(f"{key}: {value!r} is not a mapping; write {key}: {{KEY: ...}}")
    return value


def _predicate_list(value: Any) -> tuple[Any, ...]:
    return () if value is None else tuple(value) if isinstance(value, list) else (value,)


def _parse_after(key: str, value: Any) -> Mapping[str, Any]:
    names = [value] if isinstance(value, str) else value
    if isinstance(names, list) and all(isinstance(name, str) for name in names):
        return dict.fromkeys(names)
    return _require_mapping(key, value)


def check_axis_name(composer: Composer, origin: str, key: str) -> str:
    """Return the name of an axis; raises UsageError if tables, jobs or studies use the name for something else."""
    name = key.lstrip("+")
    if name in _RESERVED_NAMES or name.startswith("logit_"):
        raise UsageError(f"{origin}.{key}: result tables already have a column {name}; rename the key")
    top = name.split(".")[0].split("/")[0]
    if name in composer.conventions.chosen_once or top in composer.conventions.study_keys:
        raise UsageError(
            f"{origin}.{key}: {top} is chosen once for a study and cannot be an axis; start one study for each value"
        )
    return key


def _matrix_blocks(composer: Composer, origin: str, value: Any) -> list[Block]:
    """Return a block for each axis; one whose value is null is dropped: a study file takes out what it inherits."""
    return [
        Block(f"{origin}.{key}", {check_axis_name(composer, origin, key): axis_values(composer, origin, key, values)})
        for key, values in _require_mapping(origin, value).items()
        if values is not None
    ]


def _zip_blocks(composer: Composer, origin: str, value: Any) -> list[Block]:
    groups = value if isinstance(value, list) else [value]
    return [_zip_block(composer, origin, _require_mapping(origin, group)) for group in groups if group]


def _zip_block(composer: Composer, origin: str, entries: Mapping[str, Any]) -> Block:
    columns = {
        check_axis_name(composer, origin, key): axis_values(composer, origin, key, values)
        for key, values in entries.items()
        if values is not None
    }
    block = Block(origin, columns)
    check_lengths(block)
    return block


def check_lengths(block: Block) -> None:
    """Raise UsageError if axes that advance together differ in length."""
    lengths = {key: len(column) for key, column in block.columns.items()}
    if len(set(lengths.values())) > 1:
        shown = ", ".join(f"{key} has {length}" for key, length in lengths.items())
        raise UsageError(f"{block.origin}: axes that advance together differ in length ({shown}); make them equal")


def _sweeper_blocks(composer: Composer, config: DictConfig) -> list[Block]:
    params = _get_plain(OmegaConf.select(config, "hydra.sweeper") or {}, "params", resolve=True)
    return _matrix_blocks(composer, "hydra.sweeper.params", params)


def _table_blocks(composer: Composer, origin: str, value: Any, find_table: TableFinder) -> list[Block]:
    if value is None:
        return []
    table: dict[str, Any] = {"file": value} if isinstance(value, str) else dict(_require_mapping(origin, value))
    for key in table:
        if key not in ("file", "rows", "columns"):
            known = ("file", "rows", "columns")
            raise UsageError(f"{origin}.{key}: unknown key{did_you_mean(key, known)}; known: {', '.join(known)}")
    if not isinstance(table.get("file"), str):
        raise UsageError(f"{origin}: does not name a file; write {origin}: FILE.csv")
    file = find_table(table["file"])
    header, rows = _read_csv(file)
    columns: dict[str, str] = table.get("columns") or {name: name for name in header}
    chosen = _choose_rows(file, rows, table.get("rows"))
    return [Block(str(file), _make_columns(composer, file, header, chosen, columns))]


def _read_csv(file: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Return the header and the rows of a table with their line numbers."""
    try:
        with file.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.reader(stream, strict=True)
            lines = [(reader.line_num, row) for row in reader if row]
    except (csv.Error, UnicodeDecodeError) as error:
        raise UsageError(f"{file}: is not a readable CSV table ({error}); correct it") from error
    if len(lines) < 2:
        raise UsageError(f"{file}: the table has no rows below its header; add some")
    header = [name.strip() for name in lines[0][1]]
    for number, row in lines[1:]:
        if len(row) != len(header):
            raise UsageError(f"{file}, line {number}: {len(row)} cells, the header has {len(header)}; correct the row")
    return header, lines[1:]


def _choose_rows(file: Path, rows: list[tuple[int, list[str]]], row_numbers: Any) -> list[tuple[int, list[str]]]:
    if row_numbers is None:
        return rows
    for number in row_numbers if isinstance(row_numbers, list) else [row_numbers]:
        if isinstance(number, bool) or not isinstance(number, int) or not -len(rows) <= number < len(rows):
            known = f"it has {count_noun(len(rows), 'row')}, 0 to {len(rows) - 1}, or -1 for the last"
            raise UsageError(f"{file}: no row {number!r}; {known}")
    return [rows[number] for number in (row_numbers if isinstance(row_numbers, list) else [row_numbers])]


def _make_columns(
    composer: Composer,
    file: Path,
    header: Sequence[str],
    rows: Sequence[tuple[int, list[str]]],
    columns: Mapping[str, str],
) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for column, key in columns.items():
        if column not in header:
            raise UsageError(f"{file}: no column {column}{did_you_mean(column, header)}; columns: {', '.join(header)}")
        position = header.index(column)
        name = check_axis_name(composer, str(file), str(key))
        found[name] = [
            parse_cell(composer, f"{file}, line {line}, {column}", row[position].strip()) for line, row in rows
        ]
    return found


def study_name(config: DictConfig) -> str:
    """Return the study's name: the key ``study``, else the chosen experiment; raises UsageError if there is none."""
    name = config.get("study") or config.hydra.runtime.choices.get("experiment")
    if not isinstance(name, str) or not name:
        raise UsageError("study: the study has no name; choose experiment=NAME")
    return name
