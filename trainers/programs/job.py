"""The job of somebody's own program: it calls the program's function with the configuration of the program's Hydra.

Nothing is composed again and nothing is unpickled. The program's module is imported by its name, from the snapshot of
the code where there is one, else from its file; the function is what ``@hydra.main`` decorates. Hydra's own `run_job`
calls it, so that logging, output folder, working directory and callbacks are as under Hydra's own launchers.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, cast

from hydra._internal.callbacks import Callbacks
from hydra.core.utils import JobReturn, JobRuntime, run_job, setup_globals
from hydra.types import HydraContext
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import UnsupportedInterpolationType

from seedfold.jobs.hydra_program import overrides_of
from seedfold.jobs.work import ConfigFailure, RunInterrupted, Work
from seedfold.results.recording.attempt_file import Attempt
from seedfold.results.store.published import RETURNED, RUN_METRICS_FILE, MetricRecord
from seedfold.trainers.programs.job_config import compose_job_config
from seedfold.trainers.programs.lightning_hook import install, prepare_environment
from seedfold.trainers.programs.output_folder import OutputFolder
from seedfold.trainers.programs.program_function import find_function

PRELOAD = ("hydra.main", "hydra.utils", "hydra._internal.logging_config")
RETURN_FILE = "return.json"
"""What a finished job left: the `value` that its function returned, null where JSON has none, and its `output_dir`."""

_log = logging.getLogger(__name__)


def run(work: Work) -> None:
    """Call the function; raises what it raises, RunInterrupted where it was asked to stop."""
    hydra_part = work.config["hydra"]
    _change_folder(Path(hydra_part["program"]["cwd"]))
    _set_threads(work.description.resources.cpus)
    _set_globals(hydra_part["program"], hydra_part["node"]["job"]["name"])
    sys.argv = [
        hydra_part["program"]["file"],
        *hydra_part["program"].get("options", ()),
        *overrides_of(work.description),
    ]
    if prepare_environment(work.config, os.environ):
        install()
    function = find_function(hydra_part["program"])
    sys.argv[0] = str(sys.modules["__main__"].__file__)
    config = compose_job_config(work.description)
    output = OutputFolder.for_job(work, config)
    with _interrupt_on_sigterm(work, output):
        job_return = _run_job(function, config, output)
    try:
        # Reading it raises what the function raised.
        returned = job_return.return_value
    except UnsupportedInterpolationType as error:
        message = str(error).splitlines()[0]
        raise ConfigFailure(
            f"{message}: jobs import the program, without what is below if __name__ == '__main__'; register the"
            " resolver at the top of the module"
        ) from error
    _write_return(work.staging, returned, output)


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


def _set_globals(program: Mapping[str, Any], name: str) -> None:
    """Let ``${now:...}`` be the time of the launch for all jobs of a sweep, as in Hydra."""
    setup_globals()
    moment, texts = datetime.fromtimestamp(program["now"]), program.get("now_texts", {})

    def now(pattern: str) -> str:
        text: str = texts.get(pattern) or moment.strftime(pattern)
        return text

    OmegaConf.register_new_resolver("now", now, use_cache=True, replace=True)
    JobRuntime.instance().set("name", name)


def _run_job(function: Any, config: DictConfig, output: OutputFolder) -> JobReturn:
    context = HydraContext(config_loader=cast(Any, None), callbacks=Callbacks(config))
    output.set_in_config(config)
    return run_job(function, config, "hydra.sweep.dir", "hydra.sweep.subdir", context)


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
