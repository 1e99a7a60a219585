"""The configuration of a job of somebody's own program, as the program's Hydra would pass it.

The values are those of the description. Nodes that a dataclass declares get their type back, and Hydra's own node what
is known of the job.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from hydra._internal.config_loader_impl import get_overrides_dirname
from hydra.conf import HydraConf
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf

from seedfold.jobs.description import JobDescription
from seedfold.jobs.hydra_program import overrides_of
from seedfold.jobs.work import ConfigFailure


def compose_job_config(job: JobDescription) -> DictConfig:
    """Return the configuration with its ``hydra`` node.

    Raises ConfigFailure for a class that does not exist any more.
    """
    hydra_part = job.config["hydra"]
    program_part = OmegaConf.create({key: value for key, value in job.config.items() if key != "hydra"})
    config = OmegaConf.create({"hydra": _with_type(HydraConf, _hydra_node(job))})
    config.merge_with(_restore_types(program_part, hydra_part["program"]["types"]))
    OmegaConf.set_struct(config, True)
    return config


def _restore_types(config: DictConfig, types: Mapping[str, str]) -> DictConfig:
    """Give nodes their types back, the innermost first."""
    for key in sorted(types, key=lambda key: -len(key.split("."))):
        *above, last = key.split(".")
        parent = config
        for part in above:
            parent = parent._get_node(part)  # type: ignore[assignment]
        node = parent._get_node(last) if key else config
        typed = _with_type(_import_class(types[key]), node)
        if not key:
            return typed
        parent[last] = typed
    return config


def _with_type(kind: type, node: Any) -> DictConfig:
    """Return a node with a declared type, which may hold more keys than are declared."""
    schema = OmegaConf.structured(kind)
    OmegaConf.set_struct(schema, False)
    typed = OmegaConf.merge(schema, node)
    OmegaConf.set_struct(typed, None)
    assert isinstance(typed, DictConfig)
    return typed


def _import_class(name: str) -> type:
    module, _, qualified = name.partition(":")
    try:
        found: Any = importlib.import_module(module)
        for part in qualified.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as error:
        raise ConfigFailure(f"{name}: the type of a configuration cannot be imported ({error})") from error
    return found  # type: ignore[no-any-return]


def _hydra_node(job: JobDescription) -> dict[str, Any]:
    """Return Hydra's own node for this job: what was composed, and the job's overrides, number and name."""
    hydra_part = job.config["hydra"]
    node: dict[str, Any] = deepcopy(hydra_part["node"])
    overrides = overrides_of(job)
    node["overrides"]["task"] = overrides
    dirname = node["job"]["config"]["override_dirname"]
    parsed = OverridesParser.create().parse_overrides(overrides)
    node["job"] |= {
        "id": job.short_id,
        "num": hydra_part["num"],
        "override_dirname": get_overrides_dirname(
            parsed, dirname["exclude_keys"], dirname["item_sep"], dirname["kv_sep"]
        ),
    }
    return node
