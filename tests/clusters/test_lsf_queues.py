"""What an LSF of either dialect offers, refuses and shows of itself; and queues that preempt."""

from __future__ import annotations

import json

import pytest
from clusters.conftest import LsfProject, begun, put_fake_in_front
from clusters.lsf.settings import Host, Queue, default_queues
from toyproject import read_files, wait_until

pytestmark = pytest.mark.slow

CLASSIC = pytest.mark.parametrize("lsf_dialect", ["classic"], indirect=True)
NEW = pytest.mark.parametrize("lsf_dialect", ["lsf10"], indirect=True)


@CLASSIC
@pytest.mark.parametrize(
    ("override", "why"),
    [
        ("cluster.partition=nowhere", "queues are gpu, short, normal, low, theirs"),
        ("cluster.partition=short", "allows no job to run for 65 min"),
        ("cluster.partition=theirs", "is not for you, but for somebody"),
        ("cluster.dialect=lsf10", "bjobs has no option -json"),
        ("resources.cpus=5", "the largest has 4"),
        ("resources.memory=70GB", "the largest has 64.0 GB"),
        ("resources.gpus=1", "cluster.gpu_resource"),
        ("cluster.qos=best", "cluster.qos"),
        ("cluster.constraint='a\"b'", "quotes"),
    ],
)
def test_what_lsf_would_refuse_is_told_and_nothing_is_written(on: LsfProject, override: str, why: str) -> None:
    on.lsf.configure(queues={**default_queues(), "theirs": Queue(users=("somebody",))})
    refused = on.toy.run_in_process("launch", *on.arguments("light", "resources.time=1h", override))
    assert refused.returncode == 2
    assert refused.stdout == ""
    assert refused.stderr.count("\n") == 1
    assert why in refused.stderr
    assert not on.toy.root.exists() or not read_files(on.toy.root)


@NEW
def test_status_says_why_jobs_wait_and_logs_follow(on: LsfProject) -> None:
    on.toy.hold_jobs()
    on.launch("cluster.throttle=1", "seed=1")
    begun(on, 1)
    shown = on.toy.output_of("status", "light")
    assert "waits because of cluster.throttle" in shown
    assert "starts in" not in shown, "this LSF does not simulate it"
    on.lsf.configure(starts_in=7300)
    assert (
        "waits because of cluster.throttle or seedfold throttle; the first starts in about 2 h ("
        in on.toy.output_of("status", "light")
    )
    on.toy.release_jobs()
    assert on.toy.output_of("logs", "-f", "seed=1", "fold=0").startswith("seed 1, attempt 1")
    on.wait(done=3)


def test_jobs_see_their_gpu_and_nothing_of_lsf(on: LsfProject) -> None:
    (on.toy.folder / "toy" / "look.py").write_text(
        "import json, os\ndef run(work):\n    (work.staging / 'answer.txt').write_text(json.dumps(dict(os.environ)))\n"
    )
    # A classic LSF reserves a GPU, and does not say which.
    toy = put_fake_in_front(on.toy, "nvidia-smi", 'echo "1, GPU-a, 16000"; echo "0, GPU-b, 16000"')
    gpu = ("cluster.gpu_resource=ngpus_excl_p", "resources.gpus=1")
    on.with_toy(toy).launch("run=toy.look.run", "seed=1", "fold=0", *gpu)
    on.wait(done=1)
    [file] = on.toy.study("light").path.glob("store/*/*/answer.txt")
    environment = json.loads(file.read_text())
    assert [name for name in environment if name.startswith("LSB_")] == []
    assert environment["CUDA_VISIBLE_DEVICES"] in {"0", "1"}


@CLASSIC
def test_the_doctor_says_what_the_cluster_offers_and_what_a_node_sees(on: LsfProject) -> None:
    on.lsf.configure(time_scale=1.0)
    found = json.loads(on.toy.output_of("doctor", "--probe", "--set", "cluster=lsf", "--json"))
    texts = {one["topic"]: one["text"] for one in found}
    assert "arrays of up to 1000" in texts["limits"]
    assert "2 of 2 up" in texts["hosts"]
    assert "sees the root" in texts["node"]
    assert list(on.toy.root.glob(".probe-*")) == []


@pytest.fixture
def preempting(on: LsfProject) -> LsfProject:
    on.lsf.configure(
        hosts={"n1": Host(slots=2)},
        preemption="requeue",
        queues={"normal": Queue(), "low": Queue(priority=20, preempted=True)},
    )
    return on


@CLASSIC
def test_preempted_jobs_go_on(preempting: LsfProject) -> None:
    preempting.toy.hold_jobs()
    preempting.launch("cluster.partition=low", "seed=1", "fold=0,1")
    begun(preempting, 2)
    preempting.lsf.submit("sleep 1", "-J", "urgent[1-2]")
    wait_until(lambda: 2 in preempting.toy.executions().values())
    preempting.toy.release_jobs()
    preempting.wait_with_status(done=2)
    assert 2 in preempting.toy.executions().values()
