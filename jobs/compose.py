"""Composing configurations with Hydra from our tree and the user's folders, with errors of one line.

A `Composer` uses Hydra's configuration loader without Hydra's global state, so it also works inside a program that is
itself started by ``@hydra.main``. It raises every error of Hydra, OmegaConf and YAML as a UsageError of one line.
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import yaml
from hydra import version
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.utils import create_config_search_path
from hydra.core.config_search_path import SearchPathQuery
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.utils import setup_globals
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import GrammarParseError, OmegaConfBaseException

from seedfold.jobs import study_keys as conventions
from seedfold.jobs.config_loader import CachingLoader
from seedfold.jobs.errors import UsageError, did_you_mean
from seedfold.jobs.late_resolver import register_late_references
from seedfold.jobs.option_changes import OptionChanges
from seedfold.jobs.study_keys import Conventions

MANY_POINTS = 1_000_000
"""More points than this are probably a mistake."""
SEEDFOLD_CONF = "pkg://seedfold.conf"
ROOT_CONFIG = "config"


class Composer:
    """Composes configurations from a primary folder and the user's folders.

    Raises UsageError if a user's folder does not exist, or holds a file with the path of one of ours.
    """

    conventions: Conventions = conventions.STUDY_CONVENTIONS
    max_points: int | None = MANY_POINTS
    """How many points a study may have; None for any number."""

    def __init__(self, config_dirs: Sequence[Path] = (), primary: str = SEEDFOLD_CONF) -> None:
        setup_globals()
        register_late_references()
        if version.getbase() is None or not hasattr(version.getbase(), "release"):
            version.setbase("1.3")
        self.primary = _config_folder(primary)
        self.config_dirs = tuple(Path(folder).absolute() for folder in config_dirs)
        _refuse_shadows((self.primary, *self.config_dirs))
        search_path = create_config_search_path(primary)
        for folder in self.config_dirs:
            search_path.prepend("command-line", f"file://{folder}", SearchPathQuery(provider="schema"))
        self._set_loader(CachingLoader(search_path), ROOT_CONFIG)

    def _set_loader(
        self, loader: ConfigLoaderImpl, config_name: str | None, fixed_overrides: Sequence[str] = ()
    ) -> None:
        self._loader = loader
        self._config_name = config_name
        self._fixed_overrides = list(fixed_overrides)
        self._options: dict[str, list[str]] = {}
        self._latest: tuple[tuple[RunMode, list[str]], bytes] | None = None

    def compose(self, overrides: Sequence[str], *, partial: bool = False) -> DictConfig:
        """Return what Hydra composes, unresolved, with its ``hydra`` node.

        ``partial`` leaves out parts that have to be chosen (``- task: ???``); without it they are an error.
        """
        try:
            return self._compose(overrides, RunMode.RUN)
        except UsageError:
            if not partial:
                raise
            return self._compose(overrides, RunMode.MULTIRUN)

    def _compose(self, overrides: Sequence[str], mode: RunMode) -> DictConfig:
        all_overrides = [*self._fixed_overrides, *overrides]
        if self._latest is not None and self._latest[0] == (mode, all_overrides):
            return cast(DictConfig, pickle.loads(self._latest[1]))
        with one_line_errors():
            config = self._loader.load_configuration(self._config_name, all_overrides, mode, from_shell=False)
        if isinstance(self._loader, CachingLoader):
            # The stages of a study without config groups as axes need what was composed to see them.
            self._latest = (mode, all_overrides), pickle.dumps(config)
        return config

    def option_changes(self, groups: Sequence[str], tree: Mapping[str, Any]) -> OptionChanges | None:
        """Return what other options of ``groups`` change in what was composed last, ``tree``; None if Hydra has to say.

        ``tree`` is plain data.
        """
        with one_line_errors():
            loader = self._loader
            return OptionChanges.find(loader, groups, tree) if isinstance(loader, CachingLoader) else None

    def parse_overrides(self, overrides: Sequence[str]) -> list[Override]:
        """Parse overrides as typed on a command line."""
        for override in overrides:
            self._refuse_bare_word(override)
        with one_line_errors():
            return OverridesParser.create(config_loader=self._loader).parse_overrides(list(overrides))

    def _refuse_bare_word(self, override: str) -> None:
        if "=" in override or override.startswith("~"):
            return
        suggestion = f"experiment={override}" if override in self.group_options("experiment") else "KEY=VALUE"
        raise UsageError(f"{override}: is not an override; write {suggestion}")

    def apply_overrides(self, overrides: Sequence[Override], config: DictConfig) -> None:
        """Change ``config`` as Hydra does for these overrides."""
        with one_line_errors():
            ConfigLoaderImpl._apply_overrides_to_config(list(overrides), config)

    def is_group(self, key: str) -> bool:
        """Whether ``key`` names a config group, as ``model`` or ``db@backup``."""
        return bool(self._loader.repository.group_exists(key.partition("@")[0]))

    def group_options(self, group: str) -> list[str]:
        """Return the names that a config group offers."""
        if group not in self._options:
            self._options[group] = list(self._loader.get_group_options(group.partition("@")[0]))
        return self._options[group]

    def check_option(self, group: str, option: Any) -> None:
        """Raise UsageError for an option that ``group`` does not offer, with the nearest name and all names."""
        if option is None:
            raise UsageError(f"{group}=null: null is not an option; choose one, or ~{group} to leave {group} out")
        for name in option if isinstance(option, list) else [option]:
            if "/" in str(name) or str(name) in self.group_options(group):
                continue
            raise UsageError(unknown_option_message(group, str(name), self.group_options(group)))

    def find_config_folder(self, config: str) -> Path | None:
        """Return the configuration folder that holds ``config``, such as ``experiment/digits``."""
        return next((root for root in (self.primary, *self.config_dirs) if (root / f"{config}.yaml").is_file()), None)


class ProgramComposer(Composer):
    """Composes configurations of somebody's own Hydra program, as Hydra does in that program.

    ``loader`` is the loader of that Hydra, ``config_name`` the name of the primary configuration; ``fixed_overrides``
    are overrides of Hydra's own node, which hold for every job.
    """

    conventions = conventions.PROGRAM_CONVENTIONS

    def __init__(self, loader: ConfigLoaderImpl, config_name: str | None, fixed_overrides: Sequence[str] = ()) -> None:
        self.config_dirs = ()
        self._set_loader(loader, config_name, fixed_overrides)

    def find_config_folder(self, config: str) -> Path | None:
        """Return None: files that a program's configuration names are looked for in the folder of the launch."""
        return None


def unknown_option_message(group: str, name: str, options: Sequence[str]) -> str:
    """Return the line for an option that a group does not offer."""
    known = ", ".join(options) or "none"
    return f"{group}={name}: no such {group}{did_you_mean(name, options)}; known: {known}"


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Turn errors of Hydra, OmegaConf and YAML into UsageErrors of one line."""
    try:
        yield
    except (HydraException, OmegaConfBaseException, yaml.YAMLError, ValueError, AssertionError) as error:
        # Hydra refuses some choices of a config group with a ValueError, and OmegaConf some keys with an assertion.
        raise UsageError(describe_error(error)) from error
    except RecursionError as error:
        raise UsageError("a value is nested too deeply; write it with fewer levels") from error


def describe_error(error: BaseException) -> str:
    """Return one line for an error of Hydra, OmegaConf or YAML."""
    if isinstance(error, MissingConfigException) and error.missing_cfg_file and error.options is not None:
        group, _, name = error.missing_cfg_file.rpartition("/")
        return unknown_option_message(group, name, list(error.options))
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        first = _message_lines(error)[0]
        return f"{error.missing_cfg_file}: {first[0].lower()}{first[1:]}; correct the name or add the file"
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        mark = error.problem_mark
        return f"{mark.name}, line {mark.line + 1}: {error.problem}; correct the YAML"
    if isinstance(error, OverrideParseException):
        return _describe_unread(error)
    return "; ".join(_error_messages(error))


def _describe_unread(error: OverrideParseException) -> str:
    """Return what is wrong with an override, in words that are easier than the parser's message about tokens."""
    lines = [line for line in _message_lines(error) if not line.startswith("See ")]
    _, is_evaluated, reason = "; ".join(lines).partition(" while evaluating ")
    if is_evaluated:
        return f"{error.override}: {reason}"
    key, _, value = error.override.partition("=")
    quoted = (
        f", or put a text in quotes: \"{key}='{value}'\""
        if value and "'" not in value and not key.startswith("~")
        else ""
    )
    return f"{error.override}: Hydra cannot read this; close what is open in it{quoted}"


def _error_messages(error: BaseException) -> list[str]:
    """Return the first lines of an error and of the OmegaConf errors that caused it."""
    lines = [
        line for line in _message_lines(error) if not line.startswith(("full_key:", "object_type", "reference_type"))
    ]
    if isinstance(error, GrammarParseError):
        lines = ["this interpolation cannot be read; close its braces and quotes"]
    key = getattr(error, "full_key", None)
    messages = [f"{key}: {lines[0]}" if key and key not in lines[0] else lines[0]] if lines else []
    cause = error.__cause__ or error.__context__
    # Where Python is traced, and with OC_CAUSE=1, OmegaConf makes some errors their own cause.
    if isinstance(cause, OmegaConfBaseException) and cause is not error and "To append" not in str(error):
        messages += [
            line
            for line in _error_messages(cause)
            if not any(line in known_message or known_message in line for known_message in messages)
        ]
    return messages + [line for line in lines[1:2] if line.startswith(("To append", "Either remove"))]


def _message_lines(error: BaseException) -> list[str]:
    return [re.sub(r"\s+", " ", line).strip().rstrip(".") for line in str(error).splitlines() if line.strip()]


def _config_folder(primary: str) -> Path:
    if not primary.startswith("pkg://"):
        return Path(primary.removeprefix("file://"))
    import importlib.util

    spec = importlib.util.find_spec(primary.removeprefix("pkg://"))
    if spec is None or not spec.submodule_search_locations:
        raise UsageError(f"{primary}: no such package of configurations; install it")
    return Path(next(iter(spec.submodule_search_locations)))


def _refuse_shadows(folders: Sequence[Path]) -> None:
    """Raise UsageError if two folders hold the same configuration: Hydra would silently ignore one of them."""
    seen: dict[Path, Path] = {}
    for folder in folders:
        if not folder.is_dir():
            raise UsageError(f"{folder}: no such configuration folder; correct --config-dir")
        for file in sorted(folder.rglob("*.yaml")):
            name = file.relative_to(folder)
            if name in seen:
                raise UsageError(f"{file}: shadows {seen[name] / name}; rename one of them")
            seen[name] = folder


def plain_tree(config: DictConfig, *, resolve: bool = False) -> dict[str, Any]:
    """Return a configuration as plain data."""
    tree = OmegaConf.to_container(config, resolve=resolve, enum_to_str=True)
    return cast("dict[str, Any]", tree)
