"""The configuration of a job of somebody's own program, as the program's Hydra would pass it.

It is what Hydra composed at the launch, with types and unresolved interpolations. Hydra's own code puts the values of
the job's point into it, and Hydra's own node gets what is known of the job.
"""

from __future__ import annotations

import importlib
import logging
from collections.abc import Iterator, Mapping
from copy import deepcopy
from datetime import datetime
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl, get_overrides_dirname
from hydra.conf import HydraConf
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import JobRuntime, setup_globals
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, open_dict, read_write
from omegaconf.errors import OmegaConfBaseException

from seedfold.jobs.description import JobDescription
from seedfold.jobs.job_overrides import overrides_of, value_overrides_of
from seedfold.jobs.typed_config import decode_config, import_class
from seedfold.jobs.work import ConfigFailure

_SWEEP_KEYS = ("hydra/sweeper", "hydra.sweeper", "hydra/launcher", "hydra.launcher", "hydra.sweep.", "hydra.mode")
_log = logging.getLogger(__name__)


def compose_job_config(job: JobDescription) -> DictConfig:
    """Return the configuration with its ``hydra`` node.

    Raises ConfigFailure for a class that does not exist any more.
    """
    program = job.config["hydra"]["program"]
    config = _composed_config(job, program) if "config" in program else _config_of_values(job, program["types"])
    hydra_node = _with_type(HydraConf, OmegaConf.create(_hydra_node(job)))
    with read_write(config), open_dict(config):
        config["hydra"] = hydra_node
    return config


def set_globals(program: Mapping[str, Any], name: str) -> None:
    """Let ``${now:...}`` be the time of the launch for all jobs of a sweep, as in Hydra."""
    setup_globals()
    moment, texts = datetime.fromtimestamp(program["now"]), program.get("now_texts", {})

    def now(pattern: str) -> str:
        text: str = texts.get(pattern) or moment.strftime(pattern)
        return text

    OmegaConf.register_new_resolver("now", now, use_cache=True, replace=True)
    JobRuntime.instance().set("name", name)


def arguments_of(job: JobDescription) -> list[str]:
    """Return the arguments with which the program, started by hand, would run this job alone."""
    program, typed = job.config["hydra"]["program"], job.config["hydra"]["node"]["overrides"]["hydra"]
    kept = [one for one in typed if not one.lstrip("+~").startswith(_SWEEP_KEYS)]
    # The configuration itself may ask for a sweep.
    words = program.get("argv", ())
    is_sweep_by_config = bool(program.get("main_file")) and not {"-m", "--multirun"} & {*words}
    return [
        *program.get("options", ()),
        *overrides_of(job),
        *kept,
        *(["hydra.mode=RUN"] if is_sweep_by_config else []),
    ]


def _composed_config(job: JobDescription, program: Mapping[str, Any]) -> DictConfig:
    """Return what Hydra composed at the launch, with the values of this job's point."""
    config = decode_config(program["config"], _find_class)
    assert isinstance(config, DictConfig)
    try:
        ConfigLoaderImpl._apply_overrides_to_config(value_overrides_of(job), config)
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigFailure(str(error)) from error
    return config


def _config_of_values(job: JobDescription, types: Mapping[str, str]) -> DictConfig:
    """Return the configuration of a job that an earlier version launched: its values, with declared types."""
    program_part = OmegaConf.create({key: value for key, value in job.config.items() if key != "hydra"})
    config = _restore_types(program_part, types)
    OmegaConf.set_struct(config, True)
    return config


def _find_class(name: str) -> type | None:
    """Return a class by its name, also one that is made while the program is imported and stored for Hydra."""
    found = import_class(name)
    if found is None:
        found = next((kind for kind in _stored_classes(ConfigStore.instance().repo) if _class_name(kind) == name), None)
    if found is None:
        _log.warning("%s: the type of a configuration is not there any more; its values have no type", name)
    return found


def _stored_classes(repository: Mapping[str, Any]) -> Iterator[type]:
    for item in repository.values():
        if isinstance(item, Mapping):
            yield from _stored_classes(item)
        elif isinstance(item.node, DictConfig):
            yield from _declared_classes(item.node)


def _declared_classes(node: DictConfig) -> Iterator[type]:
    kind = node._metadata.object_type
    if isinstance(kind, type) and kind is not dict:
        yield kind
    if isinstance(node._content, dict):
        for child in node._content.values():
            if isinstance(child, DictConfig):
                yield from _declared_classes(child)


def _class_name(kind: type) -> str:
    return f"{kind.__module__}:{kind.__qualname__}"


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
