"""The doctor on a cluster."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from toyproject import Toy, make_toy

pytestmark = pytest.mark.slurm


@pytest.fixture
def toy(tmp_path: Path, on_slurm: object) -> Toy:
    return make_toy(tmp_path)


@pytest.mark.slow
def test_the_doctor_says_what_the_cluster_offers_and_what_a_node_sees(toy: Toy) -> None:
    found = json.loads(toy.output_of("doctor", "--probe", "--set", "resources.gpus=1", "--json"))
    assert {one["level"] for one in found} <= {"ok", "warning"}
    texts = {one["topic"]: one["text"] for one in found}
    assert "MaxArraySize" in texts["limits"]
    assert "research" in texts["accounting"]
    assert "sees the root" in texts["node"]
    assert list(toy.root.glob(".probe-*")) == []


@pytest.mark.slow
def test_a_refused_probe_says_what_there_is_and_leaves_nothing(toy: Toy) -> None:
    ended = toy.run_in_process("doctor", "--probe", "--set", "cluster.partition=nowhere")
    assert ended.returncode == 2
    assert "partitions are debug" in ended.stderr
    assert list(toy.root.glob(".probe-*")) == []
