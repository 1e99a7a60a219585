"""Whole descriptions as JSON for other programs: what jobs share is turned into text once."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from seedfold.jobs.description import JobDescription
from seedfold.jobs.shared_config import SharedConfig

_encode = json.JSONEncoder(ensure_ascii=False).encode


class DescriptionEncoder:
    """Returns for each job the text that `json` makes of its ``to_dict()``, without escapes of letters."""

    def __init__(self) -> None:
        # A value that is kept here keeps its id.
        self._known: dict[int, tuple[Any, str]] = {}

    def encode(self, job: JobDescription) -> str:
        """Return the JSON text of a description."""
        texts = {
            "id": _encode(job.id),
            "study": _encode(job.study),
            "stage": _encode(job.stage),
            "axes": _encode(dict(job.axes)),
            "config": self._config_text(job.config),
            "parents": self._shared(job.parents),
            "resources": self._resources_text(job),
            "run": _encode(job.run),
            "fit": _encode(job.fit),
            "texts": self._shared(job.texts),
        }
        return _object(texts)

    def _config_text(self, config: Mapping[str, Any]) -> str:
        own = config.layout.value_tree if isinstance(config, SharedConfig) else config
        return _object({key: _encode(config[key]) if key in own else self._shared(config[key]) for key in config})

    def _resources_text(self, job: JobDescription) -> str:
        known = self._known.get(id(job.resources))
        if known is None:
            known = self._known[id(job.resources)] = job.resources, _encode(job.resources.to_dict())
        return known[1]

    def _shared(self, value: Any) -> str:
        known = self._known.get(id(value))
        if known is None:
            known = self._known[id(value)] = value, _encode(value)
        return known[1]


def _object(texts: Mapping[str, str]) -> str:
    return "{" + ", ".join([f"{_encode(key)}: {text}" for key, text in texts.items()]) + "}"
