"""What holds for all tests, and the clusters that they may use; see `clusters.slurm.cluster`."""

from __future__ import annotations

import gc
import os
import shutil
import sys
import tempfile
import uuid
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from clusters.lsf.cluster import Lsf
from clusters.lsf.cluster import running as running_lsf
from clusters.lsf.settings import Dialect
from clusters.lsf.settings import Settings as LsfSettings
from clusters.slurm.cluster import Cluster, find_cluster, running
from clusters.slurm.configuration import PORTS, Settings
from clusters.slurm.packages import missing_packages
from command_server import MAIN_PROCESS, testing_python, training_python
from distribution import SharedFixtureScheduling, sort_tests
from hypothesis import HealthCheck, settings
from isolation import isolate_environment, take_for_installed

# The same examples every time, however long each takes; `--hypothesis-profile=search` looks for others.
_STEADY = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("search", _STEADY)
settings.register_profile("steady", _STEADY, derandomize=True)
settings.load_profile("steady")


def pytest_configure(config: pytest.Config) -> None:
    """Before anything is imported that looks at the environment."""
    folder = Path(tempfile.mkdtemp(prefix="seedfold-tests-"))
    config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))
    isolate_environment(folder)
    take_for_installed()
    os.environ.setdefault(MAIN_PROCESS, str(os.getpid()))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes(specs: list[Any]) -> None:
    """Fork the processes that run tests from one that has imported what nearly all of them import."""
    for spec in specs:
        spec.python = str(testing_python())


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Imports leave no garbage worth a search: without one, each process collects tests in two thirds of the time."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """In one process tests stay as they are, because those of a module share its fixtures."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        sort_tests(items)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> SharedFixtureScheduling | None:
    """Hand out tests to the workers of pytest-xdist, unless somebody asked for another way than its usual one."""
    return SharedFixtureScheduling(config, log) if config.option.dist == "load" else None


@pytest.fixture(autouse=True)
def restored_patience() -> Iterator[None]:
    """Leave the next test the whole minute that a process waits for storage that fails."""
    yield
    if "seedfold.results.store.passing_errors" in sys.modules:
        sys.modules["seedfold.results.store.passing_errors"].restore_patience()


@pytest.fixture
def copied_seedfold(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have launches of this process copy Seedfold's own code for their jobs, as an editable installation does."""
    from seedfold.orchestrator.code import digests

    source = Path(__file__).parent.parent / "src"
    installed = tuple(folder for folder in digests._installation_folders() if folder != f"{source}/")
    monkeypatch.setattr(digests, "_installation_folders", lambda: installed)
    monkeypatch.syspath_prepend(str(source))


@pytest.fixture(scope="session")
def slurm() -> Cluster:
    """The cluster that is up, for tests that leave its daemons and its nodes alone: other workers use it as well.

    Such tests call their jobs by `slurm_name`, ask for no whole node, and look at no jobs but their own.
    """
    cluster = find_cluster()
    if cluster is None:
        pytest.skip("no SLURM is up: `make cluster` brings one up")
    return cluster


@pytest.fixture(scope="session")
def slurm_alone() -> Iterator[Cluster]:
    """A cluster that this worker has for itself, for tests that kill daemons, fail nodes or preempt jobs.

    It has two nodes of two processors. Who takes something away brings it back.
    """
    if missing_packages():
        pytest.skip("SLURM is not installed: `make cluster` installs it")
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    folder = Path(tempfile.mkdtemp(prefix="slurm-"))  # pytest's folders are too long for a socket's path
    with running(folder, Settings(nodes=2, cpus=2, gpus=2, port=20_000 + 4 * PORTS * worker)) as cluster:
        yield cluster
    shutil.rmtree(folder)


@pytest.fixture
def slurm_name(slurm: Cluster) -> Iterator[str]:
    """A name for jobs on the cluster `slurm` that nobody else uses; what still has it after the test is cancelled."""
    name = f"test-{uuid.uuid4().hex[:12]}"
    yield name
    slurm.cancel(name)


@pytest.fixture
def on_slurm(slurm: Cluster, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    """The cluster `slurm`, and the code under test in this process talks to it."""
    monkeypatch.setenv("SLURM_CONF", str(slurm.conf))
    return slurm


@pytest.fixture
def where(monkeypatch: pytest.MonkeyPatch) -> tuple[str, ...]:
    """What sends a whole study to SLURM, a few tasks a stage; nothing where no cluster is up: it is done here then.

    The tasks are forks of a process that has imported PyTorch.
    """
    cluster = find_cluster()
    if cluster is None:
        return ()
    monkeypatch.setenv("SLURM_CONF", str(cluster.conf))
    python = f"cluster.python={training_python()}"
    return ("cluster=slurm", python, "cluster.jobs_per_task=20", "cluster.slots=2", "cluster.throttle=2")


@pytest.fixture(params=["lsf10", "classic"])
def lsf_dialect(request: pytest.FixtureRequest) -> Dialect:
    """What the cluster `lsf` speaks: each in turn, unless a test is parametrised with one of them."""
    dialect: Dialect = request.param
    return dialect


@pytest.fixture
def lsf(lsf_dialect: Dialect, tmp_path: Path) -> Iterator[Lsf]:
    """A fake LSF of this test's own, whose minutes last three seconds; `Lsf.configure` changes what it is like."""
    folder = tmp_path / "lsf"
    folder.mkdir()
    with running_lsf(folder, LsfSettings(dialect=lsf_dialect, time_scale=0.05)) as cluster:
        yield cluster


@pytest.fixture
def on_lsf(lsf: Lsf, monkeypatch: pytest.MonkeyPatch) -> Lsf:
    """The cluster `lsf`, and the code under test in this process talks to it."""
    for name in [name for name in os.environ if name.startswith(("LSF_", "LSB_", "LS_", "BSUB_"))]:
        monkeypatch.delenv(name)
    for name, value in {**lsf.variables, "PATH": lsf.environment["PATH"]}.items():
        monkeypatch.setenv(name, value)
    return lsf
