"""Secrets in environment variables, which must not get into the files of a study.

A variable is taken for a secret by its name: ``WANDB_API_KEY``, ``HF_TOKEN``, ``DB_PASSWORD``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from typing import Any

from seedfold.jobs.description import JobDescription
from seedfold.jobs.errors import UsageError
from seedfold.jobs.key_patterns import KeyPath
from seedfold.jobs.shared_config import SharedConfig, walk_texts

_SECRET_NAME = re.compile("KEY|TOKEN|PASSWORD|PASSWD|SECRET|CREDENTIAL", re.IGNORECASE)
_ENVIRONMENT_REFERENCE = re.compile(r"\$\{\s*(?:oc\.)?env\s*:\s*['\"]?(\w+)")
_SHORTEST_VALUE = 8
"""A shorter value may stand in a text by chance."""
_ADVICE = "leave it out of the configuration, and read the variable in the job; most libraries do this by themselves"


def refuse_secret_references(tree: Any) -> None:
    """Raise UsageError, which names the key, if a value of nested data refers to a secret environment variable."""
    for path, text in walk_texts(tree):
        for name in _ENVIRONMENT_REFERENCE.findall(text):
            if _SECRET_NAME.search(name):
                key = ".".join(path)
                raise UsageError(f"{key}: {name} would be written into the files of the study; {_ADVICE}")


def refuse_secrets(
    jobs: Iterable[JobDescription],
    settings: Mapping[str, Any],
    overrides: Iterable[str],
    environment: Mapping[str, str],
) -> None:
    """Raise UsageError, which names the key, if the value of a secret variable is in what is written of a study."""
    secrets = _find_secrets(environment)
    if not secrets:
        return
    typed = (((one.partition("=")[0],), one) for one in overrides)
    for path, text in chain(walk_texts(dict(settings)), _texts_of(jobs), typed):
        for value, name in secrets.items():
            if value in text:
                key = ".".join(path)
                raise UsageError(f"{key}: holds the value of the environment variable {name}; {_ADVICE}")


def traceback_text(error: BaseException, environment: Mapping[str, str]) -> str:
    """Return the traceback of an error as Python prints it, `without_secrets`."""
    import traceback

    return without_secrets("".join(traceback.format_exception(error)), environment)


def without_secrets(text: str, environment: Mapping[str, str]) -> str:
    """Return ``text`` with the names of secret variables in the place of their values."""
    for value, name in _find_secrets(environment).items():
        text = text.replace(value, f"[{name}]")
    return text


def _find_secrets(environment: Mapping[str, str]) -> dict[str, str]:
    """The names of secret variables by their values. The path of a file with a key in it is not a secret."""
    return {
        value: name
        for name, value in environment.items()
        if len(value) >= _SHORTEST_VALUE and _SECRET_NAME.search(name) and not value.startswith(("/", "~"))
    }


def _texts_of(jobs: Iterable[JobDescription]) -> Iterator[tuple[KeyPath, str]]:
    """Every text of the jobs' configurations with its key. What many jobs share comes once."""
    seen: dict[int, object] = {}
    for job in jobs:
        config = job.config
        if not isinstance(config, SharedConfig):
            yield from walk_texts(dict(config))
            continue
        if id(config.layout.base) not in seen:
            seen[id(config.layout.base)] = config.layout.base
            yield from walk_texts(config.layout.base)
        for keys, values in zip(config.layout.groups, config.own_values, strict=True):
            if id(values) not in seen:
                seen[id(values)] = values
                for key, value in zip(keys, values, strict=True):
                    yield from walk_texts(value, key)
