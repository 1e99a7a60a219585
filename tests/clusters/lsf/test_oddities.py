"""The fake LSF misbehaves when it is told to."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest
from clusters.lsf.cluster import Lsf
from clusters.lsf.oddities import NAMES, Oddities
from clusters.lsf.settings import Dialect
from toyproject import WAIT_S, wait_for_output, wait_until

pytestmark = pytest.mark.slow

SLEEP = "#!/bin/sh\nexec sleep 100\n"


@pytest.fixture
def lsf_dialect() -> Dialect:
    return "classic"


def test_noise_around_the_answer(lsf: Lsf) -> None:
    lsf.oddities(noise=True)
    lines = lsf.run("bsub", "true").splitlines()
    assert lines[1:-1] == ["Job <101> is submitted to default queue <normal>."]
    assert len(lines) == 3


def test_lost_reply(lsf: Lsf) -> None:
    lsf.oddities(lost_reply={"times": 1})
    ended = lsf.ask("bsub", "-J", "lost", script="true")
    assert (ended.returncode, ended.stdout) == (255, "")
    assert ended.stderr.endswith("Job not submitted.\n")
    assert list(lsf.job_states()) == ["101"]
    assert lsf.submit("true") == "102"


def test_reply_that_never_comes(lsf: Lsf) -> None:
    lsf.oddities(hung_reply=True)
    waiting = subprocess.Popen(["bsub", "true"], env=lsf.environment, stdout=subprocess.PIPE)
    wait_until(lambda: list(lsf.job_states()) == ["101"])
    with pytest.raises(subprocess.TimeoutExpired):
        waiting.communicate(timeout=1)
    waiting.kill()
    waiting.communicate()


def test_refused_job_takes_an_id(lsf: Lsf) -> None:
    lsf.oddities(refused_ids=True)
    lsf.ask("bsub", "-q", "nowhere", "true")
    assert lsf.submit("true") == "102"


def test_ids_begin_anew(lsf: Lsf) -> None:
    lsf.oddities(reused_ids=103)
    lsf.submit(SLEEP, "-J", "kept")
    names = [lsf.submit("true", "-J", name) for name in ("first", "second")]
    lsf.wait_for("102")
    lsf.wait_for("103")
    assert names == ["102", "103"]
    assert lsf.submit(SLEEP, "-J", "again") == "102"
    assert "again" in lsf.run("bjobs", "-w", "102")
    told = lsf.run("bhist", "-l", "102")
    assert told.index("Job Name <first>") < told.index("Job Name <again>")


def test_submission_in_an_outage_goes_through_later(lsf: Lsf) -> None:
    with lsf.odd(away=True, late_submissions=True):
        ended = lsf.ask("bsub", "-J", "late", script="true", LSB_NTRIES="1")
        assert ended.returncode == 255
        assert "batch system daemon not responding ... still trying" in ended.stderr
        assert ended.stderr.endswith("Job not submitted.\n")
        waiting = subprocess.Popen(
            ["bsub", "-J", "waits", "true"],
            env=lsf.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        wait_for_output(waiting, "still trying", "stderr")
        assert lsf.job_states() == {}
    out, _ = waiting.communicate(timeout=WAIT_S)
    assert out == "Job <102> is submitted to default queue <normal>.\n"
    assert "late" in lsf.run("bjobs", "-a", "-w", "101")
    assert len(lsf.ids()) == 2


def test_outage_forgets_submissions_or_the_client_waits(lsf: Lsf) -> None:
    with lsf.odd(away={"times": 1}):
        assert lsf.ask("bsub", "true", LSB_NTRIES="1").returncode == 255
        assert lsf.submit("true") == "101"
        assert lsf.ids() == [101]


def test_no_server_at_all(lsf: Lsf) -> None:
    lsf.stop()
    ended = lsf.ask("bjobs", LSB_NTRIES="1")
    assert (ended.returncode, ended.stdout) == (255, "")
    with pytest.raises(subprocess.TimeoutExpired):
        lsf.ask("bjobs", timeout=0.5)


def test_slow_and_hanging_commands(lsf: Lsf) -> None:
    lsf.oddities(slow={"bjobs": 0.3}, hang=["bhist"])
    started = time.monotonic()
    lsf.ask("bjobs")
    assert time.monotonic() - started > 0.3
    with pytest.raises(subprocess.TimeoutExpired):
        lsf.ask("bhist", timeout=0.5)


def test_nonsense_and_errors(lsf: Lsf) -> None:
    lsf.oddities(nonsense=["bjobs"], no_history=True)
    ended = lsf.ask("bjobs")
    assert (ended.returncode, "Bad Gateway" in ended.stdout) == (0, True)
    assert lsf.ask("bhist").returncode == 255
    lsf.oddities(unread={"times": 1}, no_noheader=True)
    assert "Communication time out" in lsf.ask("bjobs").stderr
    assert "usage: bjobs" in lsf.ask("bjobs", "-noheader").stderr


def test_rows_in_any_order(lsf: Lsf) -> None:
    lsf.oddities(random_order=True)
    lsf.submit(SLEEP, "-J", "many[1-8]")
    orders = {lsf.run("bjobs", "-w", "-noheader", "101") for _ in range(4)}
    assert len(orders) > 1
    assert all(len(order.splitlines()) == 8 for order in orders)


def test_bjobs_is_behind(lsf: Lsf) -> None:
    lsf.oddities(stale=1000.0)
    lsf.submit("true")
    assert lsf.ask("bjobs", "-a", "101").stderr == "Job <101> is not found\n"
    lsf.wait_for("101")
    lsf.oddities(stale=0.5)
    wait_until(lambda: "DONE" in lsf.ask("bjobs", "-a", "101").stdout)


def test_operation_in_progress(lsf: Lsf) -> None:
    lsf.oddities(in_progress=True)
    lsf.submit(SLEEP, "-J", "arr[1-3]%1")
    ended = lsf.ask("bkill", "101")
    assert (ended.returncode, ended.stderr) == (255, "Job <101>: Operation is in progress\n")
    lsf.wait_for("101", {"EXIT"})


def test_any_state_can_be_told(lsf: Lsf) -> None:
    lsf.submit(SLEEP)
    for state in ("WAIT", "PROV", "UNKWN", "ZOMBI"):
        lsf.show("101", state)
        assert lsf.run("bjobs", "-w", "-noheader", "101").split()[2] == state
    lsf.show("101")
    assert lsf.run("bjobs", "-w", "-noheader", "101").split()[2] == "RUN"


def test_oddities_come_together(lsf: Lsf) -> None:
    always = {"noise": True, "refused_ids": True, "random_order": True, "in_progress": True, "memory_unenforced": True}
    lsf.oddities(**always, slow=0.1, away={"times": 2}, lost_reply={"times": 1}, reused_ids=102)
    assert lsf.ask("bsub", "-q", "nowhere", "true").returncode == 255
    assert lsf.ask("bsub", "-J", "x[1-3]%1", script=SLEEP).returncode == 255
    assert set(lsf.job_states()) == {"102[1]", "102[2]", "102[3]"}
    ended = lsf.ask("bkill", "102")
    assert ended.stderr.splitlines()[-1] == "Job <102>: Operation is in progress"
    lsf.wait_for("102", {"EXIT"})
    assert len(lsf.run("bjobs", "-a", "-w", "-noheader", "102").splitlines()) == 3


def test_oddities_come_with_their_probability_or_number() -> None:
    odd = Oddities({"noise": 0.5, "lost_reply": {"times": 2}})
    assert {odd.strikes("noise") for _ in range(200)} == {True, False}
    assert [odd.strikes("lost_reply") for _ in range(3)] == [True, True, False]
    assert not odd.strikes("away")
    some = Oddities({"hang": ["bjobs"], "nonsense": {"bsub": {"times": 1}, "bjobs": 0.5}})
    assert [some.concerns("hang", command) for command in ("bjobs", "bjobs", "bsub")] == [True, True, False]
    assert [some.concerns("nonsense", "bsub") for _ in range(2)] == [True, False]
    assert {some.concerns("nonsense", "bjobs") for _ in range(200)} == {True, False}
    with pytest.raises(ValueError, match="no such oddity: typo"):
        Oddities({"typo": True})
    assert {"noise", "hang", "late_submissions"} <= NAMES


def test_ends_with_its_owner(lsf: Lsf, tmp_path: Path) -> None:
    folder = tmp_path / "owned"
    folder.mkdir()
    owner = subprocess.Popen(["sleep", "100"])
    owned = Lsf(folder)
    owned.start(owner=owner.pid)
    owner.kill()
    owner.wait()
    wait_until(lambda: not owned.is_up)
    assert os.access(owned.bin / "bsub", os.X_OK)
