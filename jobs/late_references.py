"""Late references, ``${result:STAGE,KEY}``, when a job starts: values of upstream stages take their places.

Every worker and every job imports this module, few have a late reference: OmegaConf is imported where there is one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from seedfold.jobs.errors import UsageError
from seedfold.jobs.late_resolver import LATE, register_late_references

Lookup = Callable[[str, str], Any]
"""The value of a stage by its dotted key."""


def is_late(value: Any) -> bool:
    """Whether a value holds a late reference at any depth."""
    if isinstance(value, dict):
        return any(is_late(item) for item in value.values())
    if isinstance(value, list):
        return any(is_late(item) for item in value)
    return isinstance(value, str) and f"${{{LATE}:" in value


def resolve(config: Mapping[str, Any], lookup: Lookup) -> tuple[dict[str, Any], dict[str, Any]]:
    """Fill in every late reference; return the configuration, and what was filled in by dotted key.

    Raises what ``lookup`` raises, UsageError for a reference that is not ``${result:STAGE,KEY}``.
    """
    found: dict[str, Any] = {}

    def filled(value: Any, at: tuple[str, ...]) -> Any:
        if isinstance(value, Mapping):
            return {key: filled(item, (*at, str(key))) for key, item in value.items()}
        if isinstance(value, list):
            return [filled(item, (*at, str(place))) for place, item in enumerate(value)]
        if not is_late(value):
            return value
        found[".".join(at)] = _value(value, ".".join(at), lookup)
        return found[".".join(at)]

    return filled(config, ()), found


def _value(text: str, key: str, lookup: Lookup) -> Any:
    from omegaconf import DictConfig, ListConfig, OmegaConf
    from omegaconf.errors import InterpolationResolutionError

    raised: list[Exception] = []

    def asked(*arguments: Any) -> Any:
        try:
            if len(arguments) != 2:
                raise UsageError(f"{key}: {text}: a late reference is ${{result:STAGE,KEY}}")
            return lookup(str(arguments[0]), str(arguments[1]))
        except Exception as error:
            # OmegaConf would say that a resolver failed, and nothing of why.
            raised.append(error)
            raise

    OmegaConf.register_new_resolver(LATE, asked, replace=True)
    try:
        value = OmegaConf.create({"value": text})["value"]
    except InterpolationResolutionError:
        raise raised[0] from None
    finally:
        register_late_references()
    return OmegaConf.to_container(value) if isinstance(value, DictConfig | ListConfig) else value
