"""The job of somebody's own program: it calls the program's function with the configuration of the program's Hydra.

Nothing is composed again and nothing is unpickled. The program runs as its user has started it, from the snapshot of
the code where there is one, until it asks Hydra for its sweep (see `main_module`). Where it was no file, its module is
imported by name. Hydra's own `run_job` calls the function, so that logging, output folder, working directory and
callbacks are as under Hydra's own launchers.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from hydra._internal.callbacks import Callbacks
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn, JobStatus, run_job
from hydra.types import HydraContext
from omegaconf import DictConfig
from omegaconf.errors import UnsupportedInterpolationType

from seedfold.jobs.task_function import program_start
from seedfold.jobs.work import ConfigFailure, RunInterrupted, Work
from seedfold.results.recording.attempt_file import Attempt
from seedfold.results.store.published import RESOLVED_FILE, RETURNED, RUN_METRICS_FILE, MetricRecord
from seedfold.trainers.programs.child_processes import wait_for_ranks
from seedfold.trainers.programs.drawn_values import DrawnValues
from seedfold.trainers.programs.job_config import arguments_of, compose_job_config, set_globals
from seedfold.trainers.programs.lightning_hook import install, prepare_environment
from seedfold.trainers.programs.main_module import TaskFunction, enter, program_file, with_task_function
from seedfold.trainers.programs.output_folder import OutputFolder
from seedfold.trainers.programs.program_function import find_function
from seedfold.trainers.programs.restarted_program import note_job
from seedfold.trainers.programs.snapshot_modules import hand_over_new_files

__all__ = ["PRELOAD", "RETURN_FILE", "enter", "run"]
PRELOAD = ("hydra.main", "hydra.utils", "hydra._internal.logging_config")
RETURN_FILE = "return.json"
"""What a finished job left: the `value` that its function returned, null where JSON has none, and its `output_dir`."""

_log = logging.getLogger(__name__)


def run(work: Work) -> None:
    """Call the function; raises what it raises, RunInterrupted where it was asked to stop."""
    program, start = work.config["hydra"]["program"], program_start(work.config)
    _change_folder(Path(program["cwd"]))
    _set_threads(work.description.resources.cpus)
    if prepare_environment(work.config, os.environ):
        install()
    try:
        if start is not None:
            with_task_function(start, lambda function: _call(work, function, program_file(start)))
            return
        sys.argv = [program["file"], *arguments_of(work.description)]
        function = find_function(program)
        _call(work, function, str(sys.modules["__main__"].__file__))
    finally:
        hand_over_new_files(program["path"])


def _call(work: Work, function: TaskFunction, file: str) -> None:
    """Call the function of the program in ``file`` and write what it returns."""
    hydra_part = work.config["hydra"]
    set_globals(hydra_part["program"], hydra_part["node"]["job"]["name"])
    sys.argv = [file, *arguments_of(work.description)]
    note_job(work, file)
    config = compose_job_config(work.description)
    program = hydra_part["program"]
    drawn = DrawnValues.of_program(work.folder, program)
    with drawn.used_in(config, program.get("cached_values", {})):
        output = OutputFolder.for_job(work, config)
        with _interrupt_on_sigterm(work, output):
            returned = _returned_value(function, config, output, is_imported=not program.get("main_file"))
        HydraConfig.instance().set_config(config)
        texts = {key: value for key, value in work.config.items() if key != "hydra"}
        (work.staging / RESOLVED_FILE).write_text(json.dumps(drawn.values_by_key(config, texts)))
    _write_return(work.staging, returned, output)


def _returned_value(function: TaskFunction, config: DictConfig, output: OutputFolder, is_imported: bool) -> Any:
    """Return what the function returns, raise what it raises; to exit without an error is to return nothing."""
    try:
        # Reading it raises what the function raised.
        return _run_job(function, config, output).return_value
    except SystemExit as error:
        if error.code not in (None, 0):
            raise
        return None
    except UnsupportedInterpolationType as error:
        if not is_imported:
            raise
        message = str(error).splitlines()[0]
        raise ConfigFailure(
            f"{message}: jobs import the program, without what is below if __name__ == '__main__'; register the"
            " resolver at the top of the module"
        ) from error


def _change_folder(folder: Path) -> None:
    try:
        os.chdir(folder)
    except OSError as error:
        raise ConfigFailure(f"{folder}: the folder of the launch cannot be entered here ({error.strerror})") from error


def _set_threads(cpus: int) -> None:
    """Let libraries, also those already loaded, start as many threads as the job has CPUs."""
    from threadpoolctl import threadpool_limits

    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(cpus)
    threadpool_limits(cpus)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(cpus)


def _run_job(function: Any, config: DictConfig, output: OutputFolder) -> JobReturn:
    context = HydraContext(config_loader=cast(Any, None), callbacks=Callbacks(config))
    output.set_in_config(config)
    job_return = run_job(function, config, "hydra.sweep.dir", "hydra.sweep.subdir", context)
    if job_return.status is JobStatus.COMPLETED:
        wait_for_ranks()
    return job_return


class _Stopped(BaseException):
    """Raised inside the function when the job has to stop.

    An ``except Exception`` in the function does not catch it.
    """


@contextmanager
def _interrupt_on_sigterm(work: Work, output: OutputFolder) -> Iterator[None]:
    """Let SIGTERM end the function, unless the function handles signals itself."""
    if work.stop_requested():
        raise RunInterrupted
    old_handler, started_at = signal.signal(signal.SIGTERM, _raise_stopped), time.time()
    try:
        yield
    except _Stopped:
        output.touch_if_progress(started_at)
        raise RunInterrupted("asked to stop") from None
    finally:
        signal.signal(signal.SIGTERM, old_handler)


def _raise_stopped(number: int, frame: object) -> None:
    attempt = Attempt.of_this_process()
    if attempt is not None:
        attempt.request_stop()
        if attempt.asks_file.exists():
            return  # It asks whether it has to stop, and stops by itself.
    raise _Stopped


def _write_return(staging: Path, returned: Any, output: OutputFolder) -> None:
    try:
        value = json.loads(json.dumps(returned, default=_to_number))
    except (TypeError, ValueError):
        _log.warning("the function returned a value that is not JSON, so it is not kept: %r", type(returned))
        value = None
    (staging / RETURN_FILE).write_text(json.dumps({"value": value, "output_dir": str(output.path)}))
    (staging / RUN_METRICS_FILE).write_text(json.dumps(_returned_metrics(value)))


def _returned_metrics(value: Any) -> list[MetricRecord]:
    """Return the numbers that a function returned, one or a mapping of them, as metrics of its job."""
    values = value if isinstance(value, dict) else {"value": value}
    numbers = {str(name): float(number) for name, number in values.items() if type(number) in (int, float)}
    return [MetricRecord(split=RETURNED, head=RETURNED, metric=name, value=one) for name, one in numbers.items()]


def _to_number(value: Any) -> Any:
    """Return the number that an array or a tensor of one element holds; raises TypeError for anything else."""
    if getattr(value, "size", None) == 1 or (hasattr(value, "numel") and value.numel() == 1):
        return value.item()
    raise TypeError(f"{type(value).__name__} is not a JSON value")
