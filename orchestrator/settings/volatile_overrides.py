"""Overrides for jobs that exist already: only volatile keys, which are not part of a job's id, may change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from typing import Any

from seedfold.jobs.description import JobDescription
from seedfold.jobs.errors import UsageError
from seedfold.jobs.identity import Identity
from seedfold.jobs.resources import Resources
from seedfold.jobs.value_types import refuse_text

_SETTINGS_GROUPS = ("cluster", "failures")
_RESOURCES = "resources"
_LAUNCHER = "hydra.launcher."


def apply_volatile_overrides(
    jobs: Sequence[JobDescription], settings: Mapping[str, Any], overrides: Sequence[str]
) -> tuple[list[JobDescription], dict[str, Any]]:
    """Return the jobs and settings with the overrides applied; the ids stay the same.

    Raises UsageError, which names the key, for an override that would change an id.
    """
    changed = deepcopy(dict(settings))
    parsed = _parse_overrides(overrides, settings)
    for key, value in parsed.items():
        if key.split(".")[0] in _SETTINGS_GROUPS:
            _set_key(changed, key, value)
    return [_with_values(job, parsed) for job in jobs], changed


def _parse_overrides(overrides: Sequence[str], settings: Mapping[str, Any]) -> dict[str, Any]:
    if not overrides:
        return {}
    from hydra.core.override_parser.overrides_parser import OverridesParser

    from seedfold.jobs.compose import one_line_errors

    identity = Identity.from_config(settings["identity"])
    with one_line_errors():
        parsed = OverridesParser.create().parse_overrides(list(overrides))
    values = {}
    for override in parsed:
        key = _own_key(override.key_or_group)
        if override.is_delete() or override.is_sweep_override():
            raise UsageError(f"{override.input_line}: resume takes only plain KEY=VALUE")
        is_setting = key.split(".")[0] in (*_SETTINGS_GROUPS, _RESOURCES) and "." in key
        if not is_setting and not identity.volatile_patterns.covers(tuple(key.split("."))):
            raise UsageError(f"{key}: is part of the job's id; launch the study with {override.input_line} instead")
        values[key] = override.value()
    return values


def _own_key(key: str) -> str:
    """The key in a study's words, of one that may be in those of a program: of the launcher that it was swept with."""
    launcher_key = key.removeprefix(_LAUNCHER)
    if launcher_key == key:
        return key
    return launcher_key if launcher_key.startswith(f"{_RESOURCES}.") else f"cluster.{launcher_key}"


def _set_key(target: dict[str, Any], key: str, value: Any) -> None:
    *folders, last = key.split(".")
    for folder in folders:
        target = target.setdefault(folder, {})
    target[last] = value


def _with_values(job: JobDescription, values: Mapping[str, Any]) -> JobDescription:
    resources = {key.split(".", 1)[1]: value for key, value in values.items() if key.startswith("resources.")}
    others = {key: value for key, value in values.items() if key.split(".")[0] not in (*_SETTINGS_GROUPS, _RESOURCES)}
    if resources:
        job = replace(job, resources=_merge_resources(job.resources, resources))
    if others:
        config = deepcopy(job.to_dict()["config"])
        for key, value in others.items():
            refuse_text(key, [value], config)
            _set_key(config, key, value)
        job = replace(job, config=config)
    return job


def _merge_resources(resources: Resources, values: Mapping[str, Any]) -> Resources:
    checked = Resources.parse(values)
    fields: dict[str, Any] = {key: getattr(checked, key) for key in values if key in {"cpus", "gpus", "extra"}}
    for key, name in (("memory", "memory_bytes"), ("time", "time_s")):
        if key in values:
            # A value that is to be learned begins with what the job has asked for so far.
            fields[name] = getattr(checked, name) or getattr(resources, name)
    kept = [key for key in resources.auto if key not in values]
    return replace(resources, **fields, auto=(*kept, *(key for key in checked.auto if key in values)))
