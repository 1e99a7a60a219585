"""Seedfold's own studies, started Hydra's way: ``python -m seedfold.trainers [-m] experiment=NAME KEY=VALUE…``.

With ``-m`` the study is launched, as by ``seedfold launch``. Without, one of its jobs runs here and now, into Hydra's
output folder: that of the point on the command line, the first where it leaves a choice.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.utils import get_method
from omegaconf import DictConfig

from seedfold.jobs.errors import SeedfoldError
from seedfold.jobs.study import load_study
from seedfold.jobs.terminal_text import terminal_text
from seedfold.jobs.work import Work

_MULTIRUN_ARGUMENTS = ("-m", "--multirun", "hydra.mode=MULTIRUN")
_SEEDFOLD_PLUGINS = {"hydra/sweeper": "seedfold", "hydra/launcher": "seedfold_local"}


@hydra.main(version_base="1.3", config_path="pkg://seedfold.conf", config_name="config")
def main(config: DictConfig) -> None:
    """Run the first job that the command line asks for."""
    hydra_config = HydraConfig.get()
    output = Path(hydra_config.runtime.output_dir)
    config_dirs = [
        Path(source.path) for source in hydra_config.runtime.config_sources if source.provider == "command-line"
    ]
    try:
        job = next(load_study(list(hydra_config.overrides.task), config_dirs=config_dirs).jobs())
    except SeedfoldError as error:
        print(f"seedfold: {terminal_text(str(error))}", file=sys.stderr)
        sys.exit(error.exit_code)
    axes = " ".join(f"{key}={value}" for key, value in job.axes.items())
    print(terminal_text(f"{job.short_id} {job.stage} {axes}"), flush=True)
    work = Work(description=job, attempt=0, folder=output / "job", staging=output / "result")
    work.staging.mkdir(parents=True)
    get_method(job.run)(work)
    print(f"results in {work.staging}")


def add_plugins(arguments: Sequence[str]) -> list[str]:
    """Return the command line with Seedfold as sweeper, unless it names another sweeper."""
    if not any(given in _MULTIRUN_ARGUMENTS for given in arguments):
        return list(arguments)
    chosen = {argument.partition("=")[0] for argument in arguments}
    added = [f"{group}={option}" for group, option in _SEEDFOLD_PLUGINS.items() if group not in chosen]
    # Hydra wants all overrides in one place, before its flags or behind them.
    overrides = (position for position, given in enumerate(arguments) if "=" in given and not given.startswith("-"))
    first = next(overrides, len(arguments))
    return [*arguments[:first], *added, *arguments[first:]]


if __name__ == "__main__":
    sys.argv[1:] = add_plugins(sys.argv[1:])
    main()
