"""The request of Hydra to its sweeper and its launcher, read as a study and its settings."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seedfold.jobs.errors import UsageError
from seedfold.orchestrator.dispatch.pilot import PilotRequest, pilot_request
from seedfold.orchestrator.ledger.layout import Root, find_root
from seedfold.orchestrator.settings.failures import RetryPolicies
from seedfold.orchestrator.settings.site import read_site_settings
from seedfold.orchestrator.sweeps.main_program import find_main_program, study_name

if TYPE_CHECKING:
    from hydra.types import HydraContext
    from omegaconf import DictConfig

    from seedfold.jobs.hydra_program import Program, ProgramSweep

LAUNCHER = "hydra_plugins.seedfold_sweeper.SeedfoldLauncher"
_LAUNCHER_PREFIX = "seedfold_"
_FLAG_KEYS = ("wait", "resume", "replace", "accept_code", "pilot_auto")
_IDENTITY_KEYS = ("volatile", "neutral", "renames")
OWN_KEYS = ("root", *_FLAG_KEYS, "rerun", "pilot", *_IDENTITY_KEYS, "failures", "report")
"""Settings of the launcher that are none of the cluster's."""
_SEEDFOLD_CONFIG = "seedfold.conf"


@dataclass(frozen=True)
class SweepRequest:
    """The ``config`` of a program, as Hydra composed it for a sweep, and its task function."""

    context: HydraContext
    task_function: Callable[..., Any]
    config: DictConfig

    @property
    def uses_seedfold_launcher(self) -> bool:
        """Whether Seedfold is the launcher too."""
        return bool(self.config.hydra.launcher.get("_target_") == LAUNCHER)

    @property
    def is_basic_sweep(self) -> bool:
        """Whether the sweeper is Hydra's own, or one made from it: it makes a grid, and needs no results."""
        from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
        from hydra.utils import get_class

        return issubclass(get_class(self.config.hydra.sweeper._target_), BasicSweeper)

    @property
    def is_seedfold_study(self) -> bool:
        """Whether this is Seedfold's own configuration, with its studies."""
        sources = self.config.hydra.runtime.config_sources
        return any(source.provider == "main" and source.path == _SEEDFOLD_CONFIG for source in sources)

    @property
    def arguments(self) -> list[str]:
        """The overrides of the program's own configuration, as they were written on the command line."""
        from omegaconf import OmegaConf

        overrides: Any = OmegaConf.to_container(self.config.hydra.overrides.task, resolve=False)
        return [str(one) for one in overrides]

    @property
    def config_dirs(self) -> tuple[Path, ...]:
        """Configuration folders that the command line added to the program's own."""
        sources = self.config.hydra.runtime.config_sources
        return tuple(Path(source.path) for source in sources if source.provider == "command-line")

    @property
    def cluster_name(self) -> str:
        """The option of the group ``cluster`` that belongs to the launcher."""
        return str(self.config.hydra.runtime.choices["hydra/launcher"]).removeprefix(_LAUNCHER_PREFIX)

    @cached_property
    def launcher_settings(self) -> Mapping[str, Any]:
        """The launcher's settings, all resolved except the resources.

        Raises UsageError for a value that is not valid.
        """
        from seedfold.jobs.compose import one_line_errors

        node = self.config.hydra.launcher
        with one_line_errors():
            return {
                str(key): _plain_value(node, key) for key in node if key != "resources" and not str(key).startswith("_")
            }

    def get_flag(self, key: str) -> bool:
        """Read a setting that is true or false. Raises UsageError for another value."""
        value = self.launcher_settings[key]
        if not isinstance(value, bool):
            raise UsageError(f"hydra.launcher.{key}: {value!r} is neither true nor false")
        return value

    @property
    def pilot(self) -> PilotRequest | None:
        """How many jobs of each task run first. Raises UsageError for what is no number of jobs, or used alone."""
        size = self.launcher_settings["pilot"]
        if size is not None and type(size) is not int:
            raise UsageError(f"hydra.launcher.pilot: {size!r} is not a whole number")
        try:
            return pilot_request(size, self.get_flag("pilot_auto"))
        except UsageError as error:
            text = str(error).replace("--pilot-auto", "hydra.launcher.pilot_auto").replace("--pilot N", "pilot=N")
            raise UsageError(text.replace("--pilot", "hydra.launcher.pilot")) from None

    @property
    def rerun(self) -> str | None:
        """Which done jobs are done again: ``stale``, or a condition on their axes."""
        value = self.launcher_settings["rerun"]
        return None if value is None else str(value)

    def check_flags(self) -> None:
        """Raise UsageError, before anything is done, if such a setting is neither true nor false."""
        for key in _FLAG_KEYS:
            self.get_flag(key)

    @property
    def root(self) -> Root:
        """The folder that holds the study. Raises UsageError if it is a file."""
        root = find_root(self.launcher_settings["root"])
        if root.path.exists() and not root.path.is_dir():
            raise UsageError(f"hydra.launcher.root: {root.path} is a file; name a folder")
        root.apply_group_umask()
        return root

    def make_sweep(self) -> ProgramSweep:
        """The sweep of the program. Raises UsageError if jobs could not find its task function."""
        from hydra._internal.config_loader_impl import ConfigLoaderImpl

        from seedfold.jobs.hydra_program import ProgramSweep

        loader = self.context.config_loader
        assert isinstance(loader, ConfigLoaderImpl)
        program = _make_program(self.task_function, self.launched_at, self._now_texts())
        program = replace(program, cached_values=self._cached_values(program.class_module))
        name = study_name(self.config.hydra.job.name, self.task_function, program.module)
        return ProgramSweep(loader, self.config, program, name, self._study_settings())

    @cached_property
    def launched_at(self) -> float:
        """The moment that ``${now:...}`` stands for in all jobs, in seconds since the epoch."""
        return time.time()

    @cached_property
    def sweep_folder(self) -> Path:
        """The folder of the sweep. Raises UsageError where it cannot be resolved."""
        from seedfold.jobs.compose import one_line_errors

        with one_line_errors():
            return Path(str(self.config.hydra.sweep.dir))

    def save_config(self) -> None:
        """Write ``multirun.yaml``, as Hydra's own sweeper does."""
        from omegaconf import OmegaConf

        self.sweep_folder.mkdir(parents=True, exist_ok=True)
        OmegaConf.save(self.config, self.sweep_folder / "multirun.yaml")

    def _now_texts(self) -> dict[str, str]:
        """What ``${now:PATTERN}`` is in this process, in the name of the sweep's folder above all."""
        from omegaconf import OmegaConf

        _ = self.sweep_folder
        texts = OmegaConf.get_cache(self.config).get("now", {})
        return {str(pattern): str(text) for (pattern,), text in texts.items()}

    def _cached_values(self, main_module: str) -> dict[str, Any]:
        """What other resolvers with a cache have given so far; Hydra's own launcher copies it to all jobs."""
        from omegaconf import OmegaConf

        from seedfold.jobs.typed_config import encode_cache

        cache = OmegaConf.get_cache(self.config)
        return encode_cache({str(name): values for name, values in cache.items() if name != "now"}, main_module)

    def _study_settings(self) -> dict[str, Any]:
        from seedfold.jobs.hydra_program import VOLATILE

        uses_launcher = self.uses_seedfold_launcher
        return {
            "cluster": self._cluster_settings() if uses_launcher else {},
            "failures": {**_read_config_file("failures/default.yaml"), **(self._failures() if uses_launcher else {})},
            "identity": self._identity_settings(VOLATILE) if uses_launcher else {"volatile": [*VOLATILE]},
            "paths": {},
            "report": self.launcher_settings["report"] or {} if uses_launcher else {},
        }

    def _failures(self) -> dict[str, Any]:
        """What the launcher says of failures. Raises UsageError, under the launcher's name, for what cannot be."""
        settings = self.launcher_settings["failures"] or {}
        try:
            RetryPolicies.parse(settings)
        except UsageError as error:
            raise UsageError(f"hydra.launcher.{error}") from None
        return dict(settings)

    def _identity_settings(self, volatile: Sequence[str]) -> dict[str, Any]:
        """What makes no difference to a job, as the key ``identity`` of a study says it."""
        mappings = {key: self._identity_mapping(key) for key in ("neutral", "renames")}
        return {
            "volatile": [*volatile, *self._volatile_patterns()],
            **{key: value for key, value in mappings.items() if value},
        }

    def _identity_mapping(self, key: str) -> dict[str, Any]:
        values = self.launcher_settings[key] or {}
        if not isinstance(values, dict):
            raise UsageError(f"hydra.launcher.{key}: {values!r} is not a mapping; write {{KEY: VALUE}}")
        return values

    def _volatile_patterns(self) -> list[str]:
        patterns = self.launcher_settings["volatile"] or []
        if not isinstance(patterns, list):
            raise UsageError(f"hydra.launcher.volatile: {patterns!r} is not a list of patterns; write [{patterns}]")
        return [str(pattern) for pattern in patterns]

    def _cluster_settings(self) -> dict[str, Any]:
        """The settings of the executor; the site file's settings apply where the program does not set them."""
        settings = {key: value for key, value in self.launcher_settings.items() if key not in (*OWN_KEYS, "resources")}
        _check_cluster(settings)
        site = read_site_settings().get("cluster")
        if not isinstance(site, Mapping) or site.get("name") != self.cluster_name:
            return settings
        defaults = _read_config_file(f"cluster/{self.cluster_name}.yaml")
        site_values = {
            key: value for key, value in site.items() if key != "name" and settings.get(key) == defaults.get(key)
        }
        return settings | site_values


def _check_cluster(settings: Mapping[str, Any]) -> None:
    """Raise UsageError, with the name that the setting has here, for a value that is not valid."""
    from seedfold.orchestrator.settings.cluster import ClusterSettings

    try:
        ClusterSettings.parse(settings)
    except UsageError as error:
        raise UsageError(str(error).replace("cluster.", "hydra.launcher.", 1)) from None


def _plain_value(node: DictConfig, key: Any) -> Any:
    from omegaconf import OmegaConf

    value = node[key]
    return OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value


def _read_config_file(name: str) -> dict[str, Any]:
    """Read one of Seedfold's configuration files that needs no composing."""
    import yaml

    import seedfold.conf

    content: dict[str, Any] = yaml.safe_load((Path(seedfold.conf.__file__).parent / name).read_text(encoding="utf-8"))
    return content


def _make_program(function: Callable[..., Any], launched_at: float, now_texts: Mapping[str, str]) -> Program:
    from seedfold.jobs.hydra_program import Program
    from seedfold.jobs.task_function import innermost_name, task_function_name
    from seedfold.orchestrator.code.digests import is_installed

    main = find_main_program(function)
    module, name = innermost_name(function) if main else task_function_name(function)[:2]
    file = main.file if main else task_function_name(function)[2]
    folders = [Path(entry).absolute() for entry in sys.path if Path(entry).is_dir()]
    path = [str(folder) for folder in folders if not is_installed(f"{folder}/")]
    return Program(
        module=module,
        function=name,
        file=str(file),
        path=tuple(dict.fromkeys(path)),
        cwd=str(Path.cwd()),
        now=launched_at,
        options=tuple(_config_options()),
        now_texts=now_texts,
        main_file=str(main.file) if main else "",
        main_module=main.module if main else "",
        argv=main.argv if main else (),
        arguments=main.own_arguments if main else (),
    )


def _config_options() -> Iterator[str]:
    """The options of the command line that say where the program's configuration is found."""
    from hydra._internal.utils import get_args_parser

    known, _ = get_args_parser().parse_known_args()
    for name in ("config-path", "config-name", "config-dir"):
        value = getattr(known, name.replace("-", "_"))
        if value is not None:
            yield f"--{name}={value}"
