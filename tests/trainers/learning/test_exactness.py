"""Whatever is learned and whenever it is killed, weights, predictions, metrics and history are those of a whole run."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any
from uuid import uuid4

import pytest
from command_server import training_python
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from seedfold.trainers.studies.sample_data import make

PROGRAM = Path(__file__).parents[1] / "resume_program.py"
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
SEARCHES = not settings().derandomize
"""Whether somebody looks for other examples, with `--hypothesis-profile=search`."""

IMAGES = (
    "experiment=digits", "model.channels=[4,8]", "trainer.batch_size=128", "optimizer.lr=1e-2",
)  # fmt: skip
TABLE = ("experiment=breast_cancer", "trainer.batch_size=64", "model.hidden=[8]")
VOLUMES = ("experiment=mgmt", "size=tiny", "model.blocks=[1,1,1]", "model.dropout=0.2", "trainer.accelerator=cpu")

schedules = st.sampled_from(
    ["schedule=constant", "schedule=cosine", "schedule=exponential", "schedule=plateau schedule.patience=0",
     "schedule=ramp_sustain_decay schedule.ramp=2"]
)  # fmt: skip
lengths = st.sampled_from(["trainer.max_epochs=2", "trainer.max_epochs=3", "trainer.max_epochs=5 trainer.max_steps=13"])
checkpoints = st.sampled_from(["checkpoint.every_seconds=0.0", "checkpoint.every_seconds=null", "checkpoint.keep=all"])
keys_of_all = (
    st.sampled_from(["optimizer=adam", "optimizer=adamw", "optimizer=sgd"]),
    st.sampled_from(["trainer.accumulate=1", "trainer.accumulate=2", "trainer.accumulate=3"]),
    st.sampled_from(["trainer.steps_per_execution=1", "trainer.steps_per_execution=4"]),
    st.sampled_from(["", "trainer.clip=0.5"]),
    st.sampled_from(["", "trainer.train_metrics=20"]),
    st.sampled_from(["", "trainer.micro_batch=16"]),
    st.sampled_from(["", "trainer.drop_last=true"]),
    schedules,
    lengths,
    checkpoints,
)
samplings = st.sampled_from(["", "sampling=balanced", "sampling.imbalance_ratio=3", "sampling=balanced seed=3"])
augmentations = st.sampled_from(
    ["", "augment=shift", "augment=shift predict.tta=2", "augment=random_transforms augment.always.saturation=null"]
)
stops = st.sampled_from(["", "trainer=early_stopping trainer.early_stopping.patience=1"])
heads = st.sampled_from(["", "trainer.head_monitor=loss", "trainer.head_monitor=null"])


def choices(base: tuple[str, ...], *keys: st.SearchStrategy[str]) -> st.SearchStrategy[list[str]]:
    """Overrides: those of ``base``, and one choice of each of ``keys``."""
    return st.tuples(*keys_of_all, *keys).map(lambda chosen: [*base, *" ".join(chosen).split()])


one_process = st.just(1)
# Networks of images normalise over the batches of all processes, which torch does on GPUs only.
processes = st.sampled_from([1, 1, 2]) if SEARCHES else one_process
# What learns volumes has several heads, and takes longer.
cases = st.one_of(
    st.tuples(choices(IMAGES, samplings, augmentations), one_process),
    st.tuples(choices(IMAGES, samplings, augmentations), one_process),
    st.tuples(choices(TABLE, samplings, stops), processes),
    st.tuples(choices(TABLE, samplings, stops), processes),
    st.tuples(choices(VOLUMES, heads), one_process),
)
kills = st.lists(st.tuples(st.integers(1, 25), st.booleans()), min_size=1, max_size=5)


@pytest.fixture(scope="module")
def program() -> Iterator[subprocess.Popen[str]]:
    """Runs cases, each in forked children: its imports take longer than a case."""
    environment = {**os.environ, **ONE_THREAD, "JE_ARROW_MALLOC_CONF": "background_thread:false"}
    pipe = subprocess.PIPE
    with subprocess.Popen([training_python(), PROGRAM], stdin=pipe, stdout=pipe, text=True, env=environment) as process:
        yield process


@pytest.fixture(scope="module")
def volumes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mgmt") / "data"
    make("mgmt", folder, "tiny")
    return folder


def ask(program: subprocess.Popen[str], case: dict[str, Any]) -> Any:
    stdin: IO[str] | None = program.stdin
    assert stdin is not None
    assert program.stdout is not None
    stdin.write(json.dumps(case) + "\n")
    stdin.flush()
    return json.loads(program.stdout.readline())


@pytest.mark.slow
@pytest.mark.timeout(7200)
@settings(
    max_examples=300 if SEARCHES else 10,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(case=cases, kills=kills)
def test_kills_at_any_step_change_no_bit(
    program: subprocess.Popen[str],
    volumes: Path,
    compose: Callable[..., dict[str, Any]],
    tmp_path: Path,
    case: tuple[list[str], int],
    kills: list[tuple[int, bool]],
) -> None:
    overrides, ranks = case
    data = [f"paths.data={volumes}"] if overrides[0] == "experiment=mgmt" else []
    event(overrides[0])
    folder = tmp_path / uuid4().hex
    question = {"folder": str(folder), "config": compose(*overrides, *data), "kills": kills, "ranks": ranks}
    assert ask(program, question) == [], f"see {folder}"
