"""The overrides of a job of somebody's own program: those that Hydra shows, and those that make its configuration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf._utils import split_key

from seedfold.jobs.axis_values import value_override
from seedfold.jobs.canonical_json import canonical_json
from seedfold.jobs.description import JobDescription
from seedfold.jobs.shared_config import value_at
from seedfold.jobs.typed_texts import typed_override


def overrides_of(job: JobDescription) -> list[str]:
    """Return a job's point as Hydra's overrides, in the order of the command line."""
    program = job.config["hydra"]["program"]
    prefixes, typed = program["prefixes"], program.get("typed", {})
    axes = [typed_override(typed, prefixes.get(key, ""), key, value) for key, value in job.axes.items()]
    texts = {_key_element(text): text for text in (*program["fixed"], *axes)}
    # What is on no command line comes first, as Hydra puts `hydra.sweeper.params` before it.
    order = dict.fromkeys(program.get("order", ()))
    return [*(text for key, text in texts.items() if key not in order), *(texts[key] for key in order if key in texts)]


def _axis_override(program: Mapping[str, Any], key: str, value: Any) -> Override:
    prefix, typed = program["prefixes"].get(key, ""), program.get("typed", {})
    if canonical_json(value) in typed.get(key, {}):
        return OverridesParser.create().parse_override(typed_override(typed, prefix, key, value))
    return value_override(prefix, key, value)


def _key_element(override: str) -> str:
    return override.partition("=")[0]


def derived_values(job: JobDescription) -> dict[str, Any]:
    """Return the values that were derived for a job, by key."""
    keys = job.config["hydra"]["program"].get("derived", ())
    return {key: value_at(job.config, tuple(split_key(key))) for key in keys}


def value_overrides_of(job: JobDescription) -> list[Override]:
    """Return the overrides by which Hydra makes a job's configuration from that of its config groups."""
    program = job.config["hydra"]["program"]
    axes = [_axis_override(program, key, value) for key, value in job.axes.items() if key not in program["groups"]]
    return [*axes, *(value_override("++", key, value) for key, value in derived_values(job).items())]
