"""What `bsub` is told, in either dialect."""

from __future__ import annotations

import shlex
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

import seedfold.conf
from seedfold.jobs.errors import UsageError
from seedfold.jobs.resources import Resources
from seedfold.orchestrator.ledger.submissions import TaskArray
from seedfold.orchestrator.schedulers.lsf.directives import (
    JobRequest,
    directive,
    directive_lines,
    read_memory_unit,
    resource_requirement,
)
from seedfold.orchestrator.schedulers.lsf.task_request import array_request
from seedfold.orchestrator.settings.cluster import ClusterSettings, known_keys

GIVEN = {
    "executor": "lsf",
    "partition": "gpu",
    "account": "lab",
    "job_group": "/me/x",
    "constraint": "type==any",
    "exclude": ["n1", "gpu-02"],
    "rusage": "scratch=20",
    "gpu_memory": "10GB",
    "gpu_types": {"small": "11GB", "large": "40GB"},
    "gpu_resource": "ngpus_excl_p",
    "memory_unit": "MB",
    "throttle": 5,
    "mail": "me@lab.org",
    "options": {"app": "training", "x": True},
    "jobs_per_task": 4,
    "slots": 2,
}
ARRAY = TaskArray("train", Resources(cpus=2, gpus=1, memory_bytes=2 * 1024**3, time_s=600), 4, 2, exclude=("bad",))
COMMON = """\
#BSUB -J "name[1-7]%5"
#BSUB -o /runs/%J_%I.log
#BSUB -n 4
#BSUB -R "select[type==any && hname!=n1 && hname!='gpu-02' && hname!=bad] span[hosts=1] rusage[{rusage}]"
#BSUB -M {limit}
#BSUB -W 00:25
{own}#BSUB -r
#BSUB -w "ended(3) && ended(4)"
#BSUB -q gpu
#BSUB -P lab
#BSUB -g /me/x
#BSUB -u me@lab.org
#BSUB -N
#BSUB -app training
#BSUB -x
"""
OWN = '#BSUB -wa USR2\n#BSUB -wt 2\n#BSUB -gpu "num=2:j_exclusive=yes:gmodel=small:gmem=10G"\n'


def asked(**changed: Any) -> JobRequest:
    cluster = ClusterSettings.parse({**GIVEN, **changed})
    assert cluster.lsf is not None
    request = array_request(ARRAY, cluster, cluster.lsf.dialect)
    changes = {"name": "name", "array_size": 7, "dependencies": ("3", "4"), "output": "/runs/%J_%I.log"}
    return JobRequest(**{field: getattr(request, field) for field in JobRequest.__slots__} | changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("dialect", "expected"),
    [
        ("lsf10", COMMON.format(rusage="mem=5120MB,scratch=20", limit="5120MB", own=OWN)),
        ("classic", COMMON.format(rusage="mem=5120,scratch=20,ngpus_excl_p=2", limit="5120", own="")),
    ],
)
def test_directives(dialect: str, expected: str) -> None:
    assert "\n".join(directive_lines(asked(dialect=dialect))) + "\n" == expected


def test_a_job_of_its_own_can_begin_later() -> None:
    request = JobRequest(name="keeper", output="/x", dialect="classic", begin=datetime(2026, 3, 4, 5, 6))
    assert directive_lines(request) == [
        "#BSUB -J keeper",
        "#BSUB -o /x",
        "#BSUB -n 1",
        '#BSUB -R "span[hosts=1]"',
        "#BSUB -b 03:04:05:06",
    ]


@given(st.text(max_size=40))
def test_a_value_stays_one_word_of_a_shell_or_is_refused(text: str) -> None:
    try:
        line = directive("P", text)
    except UsageError:
        return
    assert shlex.split(line) == ["#BSUB", "-P", text]


@pytest.mark.parametrize(
    ("unit", "dialect", "reserved", "limit"),
    [
        (None, "classic", "1500", "1536000"),
        ("KB", "classic", "1536000", "1536000"),
        ("MB", "classic", "1500", "1500"),
        ("GB", "classic", "2", "2"),
        ("TB", "classic", "1", "1"),
        (None, "lsf10", "1500MB", "1500MB"),
        ("GB", "lsf10", "1500MB", "1500MB"),
    ],
)
def test_memory_is_written_in_the_units_of_the_site(unit: str | None, dialect: str, reserved: str, limit: str) -> None:
    request = JobRequest("x", "/x", dialect, memory_unit=unit, memory_mb=1500)
    assert f"rusage[mem={reserved}]" in resource_requirement(request)
    assert f"#BSUB -M {limit}" in directive_lines(request)


@pytest.mark.parametrize(
    ("conf", "unit"),
    [
        ("LSF_UNIT_FOR_LIMITS=MB\n", "MB"),
        ("# LSF_UNIT_FOR_LIMITS=MB\n", None),
        ("LSF_X=1\n  LSF_UNIT_FOR_LIMITS = G\n", "GB"),
        ("LSF_UNIT_FOR_LIMITS=TB\n", "TB"),
        (None, None),
    ],
)
def test_the_unit_of_the_site_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, conf: str | None, unit: str | None
) -> None:
    if conf is not None:
        (tmp_path / "lsf.conf").write_text(conf)
    monkeypatch.setenv("LSF_ENVDIR", str(tmp_path))
    assert read_memory_unit() == unit


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"dialect": "new"}, "cluster.dialect: 'new' is not one of auto, lsf10, classic"),
        ({"max_array": 0}, "cluster.max_array: 0"),
        ({"rerunnable": "x"}, "cluster.rerunnable: 'x'"),
        ({"job_grup": "x"}, "did you mean 'job_group'"),
        ({"gpu_resource": None, "dialect": "classic"}, "cluster.gpu_resource: this LSF has no option -gpu"),
        ({"qos": "x", "dialect": "classic"}, "cluster.qos: bsub has no such option"),
        ({"exclude": ["a b"], "dialect": "classic"}, "cluster.exclude: 'a b'"),
        ({"options": {"app": "$x"}, "dialect": "classic"}, "option app of bsub"),
    ],
)
def test_what_cannot_be_is_named(changed: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError) as error:
        directive_lines(asked(**changed))
    assert says in str(error.value)


def test_keys_of_lsf_are_no_keys_of_slurm() -> None:
    with pytest.raises(UsageError, match=r"cluster\.dialect: unknown key"):
        ClusterSettings.parse({"executor": "slurm", "dialect": "auto"})


def test_the_shipped_configuration_has_every_key_at_its_default() -> None:
    shipped = yaml.safe_load((Path(seedfold.conf.__path__[0]) / "cluster" / "lsf.yaml").read_text())
    assert ClusterSettings.parse(shipped) == ClusterSettings.parse({"executor": "lsf"})
    assert set(known_keys("lsf")) - set(shipped) == {"qos"}
