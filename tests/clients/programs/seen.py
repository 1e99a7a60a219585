"""What a job sees, written into its output folder. It is copied beside each program."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.utils import get_original_cwd
from omegaconf import DictConfig, ListConfig, OmegaConf


def describe(value: Any) -> Any:
    """The value with its types, as the program's function meets them."""
    if isinstance(value, DictConfig):
        kind, flags = OmegaConf.get_type(value), [OmegaConf.is_struct(value), OmegaConf.is_readonly(value)]
        keys = {repr(key): "???" if OmegaConf.is_missing(value, key) else describe(value[key]) for key in value}
        return {"type": getattr(kind, "__name__", str(kind)), "flags": flags, "keys": keys}
    if isinstance(value, ListConfig):
        return [describe(one) for one in value]
    return [type(value).__name__, repr(value)]


def write_seen(cfg: DictConfig, returned: Any) -> None:
    """Write what the job sees and what it is about to return."""
    told = HydraConfig.get()
    seen = {
        "config": describe(cfg),
        "returned": returned,
        "overrides": list(told.overrides.task),
        "number": told.job.num,
        "name": told.job.name,
        "dirname": told.job.override_dirname,
        "config_name": told.job.config_name,
        "choices": {key: value for key, value in told.runtime.choices.items() if not key.startswith("hydra/")},
        "arguments": [Path(sys.argv[0]).name],
        "folder": str(Path(told.runtime.output_dir).relative_to(Path(get_original_cwd(), told.sweep.dir))),
        "started_in": get_original_cwd(),
        "works_in_output_folder": Path.cwd() == Path(told.runtime.output_dir),
        "variable": os.environ.get("CLIENT_NUMBER"),
    }
    Path(told.runtime.output_dir, "seen.json").write_text(json.dumps(seen))
