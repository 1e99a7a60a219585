"""Jobs on the fake LSF are killed, limited, requeued, preempted and lost as on a real one."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import pytest
from clusters.lsf.cluster import Lsf
from toyproject import wait_until

pytestmark = pytest.mark.slow

only_classic = pytest.mark.parametrize("lsf_dialect", ["classic"], indirect=True)
only_lsf10 = pytest.mark.parametrize("lsf_dialect", ["lsf10"], indirect=True)
SLEEP = "#!/bin/sh\nexec sleep 100\n"
LISTENER = """#!/bin/bash
for signal in INT TERM USR1 USR2; do trap "echo $signal >> {heard}" $signal; done
echo ready >> {heard}
while :; do sleep 0.05; done
"""


def listen(lsf: Lsf, folder: Path, *options: str) -> Path:
    """Submit a job that notes the signals that it hears, and goes on; the file in which it does."""
    heard = folder / "heard"
    lsf.submit(LISTENER.format(heard=heard), *options)
    wait_until(lambda: heard.exists() and heard.read_text().startswith("ready\n"))
    return heard


def end_of(lsf: Lsf, job: str) -> str:
    """The last word of bhist on a job, its reason where it is told."""
    text = re.sub(r"\n {21}", " ", lsf.run("bhist", "-l", job))
    return re.findall(r": ((?:Exited|Done|Pending).*)\.? The CPU|: (Exited|Done)\b", text)[-1][0]


@only_lsf10
def test_bkill_sends_int_term_kill(lsf: Lsf, tmp_path: Path) -> None:
    lsf.configure(terminate_interval=60.0)
    heard = listen(lsf, tmp_path)
    assert lsf.run("bkill", "101") == "Job <101> is being terminated\n"
    assert lsf.job_states() == {"101": "RUN"}
    lsf.wait_for("101")
    assert heard.read_text().split() == ["ready", "INT", "TERM"]
    told = lsf.run("bjobs", "-l", "101")
    assert "Exited by signal 9." in told
    assert "TERM_OWNER: job killed by owner" in told


@only_classic
def test_bkill_of_one_signal_sends_it_only(lsf: Lsf, tmp_path: Path) -> None:
    heard = listen(lsf, tmp_path)
    assert lsf.run("bkill", "-s", "USR2", "101") == "Job <101> is being signaled\n"
    wait_until(lambda: heard.read_text().split() == ["ready", "USR2"])
    assert lsf.job_states() == {"101": "RUN"}
    lsf.submit(SLEEP, "-H")
    assert lsf.ask("bkill", "-s", "USR2", "102").stderr == "Job <102>: Job has not started yet\n"
    assert "Illegal signal" in lsf.ask("bkill", "-s", "WHAT", "101").stderr


@only_classic
def test_bkill_reaches_what_a_job_started(lsf: Lsf, tmp_path: Path) -> None:
    lsf.submit(f"setsid -w sh -c 'echo $$ > {tmp_path}/pid; sleep 100'")
    wait_until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text() != "")
    lsf.run("bkill", "101")
    lsf.wait_for("101")
    assert end_of(lsf, "101") == "Exited with exit code 130."
    wait_until(lambda: not Path(f"/proc/{(tmp_path / 'pid').read_text().strip()}").exists())


def test_bkill_complains(lsf: Lsf) -> None:
    lsf.submit("true")
    lsf.submit(SLEEP, FAKE_LSF_USER="other")
    lsf.wait_for("101")
    ended = lsf.ask("bkill", "101", "102", "999")
    assert (ended.returncode, ended.stdout) == (255, "")
    assert ended.stderr.splitlines() == [
        "Job <101>: Job has already finished",
        "Job <102>: User permission denied",
        "Job <999>: No matching job found",
    ]
    assert lsf.ask("bkill", "0").returncode == 255


@only_classic
def test_bkill_of_several(lsf: Lsf) -> None:
    lsf.submit(SLEEP, "-J", "arr[1-3]%1")
    for name in ("other", "last"):
        lsf.submit(SLEEP, "-J", name)
    lsf.run("bkill", "101[2-3]")
    assert lsf.job_states("101") == {"101[1]": "RUN", "101[2]": "EXIT", "101[3]": "EXIT"}
    assert lsf.run("bkill", "-J", "other") == "Job <102> is being terminated\n"
    lsf.wait_for("102")
    lsf.run("bkill", "0")
    assert set(lsf.wait_for("").values()) == {"EXIT"}


@only_lsf10
def test_run_limit_ends_who_does_not_listen(lsf: Lsf) -> None:
    lsf.submit(SLEEP, "-W", "0:01", "-J", "limited")
    lsf.submit("true", "-W", "1")
    lsf.wait_for("101", {"EXIT"})
    assert lsf.job_states("102") == {"102": "DONE"}
    told = json.loads(lsf.run("bjobs", "-a", "-o", "stat exit_code exit_reason", "-json", "101"))["RECORDS"][0]
    reason = "TERM_RUNLIMIT: job killed after reaching LSF run time limit"
    assert told == {"STAT": "EXIT", "EXIT_CODE": "140", "EXIT_REASON": reason}


@only_classic
def test_run_limit_leaves_a_grace(lsf: Lsf, tmp_path: Path) -> None:
    # Two signals that wait for a listener at once would come in the order of their numbers.
    lsf.configure(time_scale=0.02, grace=100.0, terminate_interval=100.0)
    heard = listen(lsf, tmp_path, "-W", "1")
    lsf.wait_for("101")
    assert heard.read_text().split() == ["ready", "USR2", "INT", "TERM"]
    assert end_of(lsf, "101") == "Exited by signal 9."
    assert "TERM_RUNLIMIT" not in lsf.run("bjobs", "-l", "101")


@only_lsf10
def test_warning_comes_before_the_limit(lsf: Lsf, tmp_path: Path) -> None:
    lsf.configure(time_scale=0.02)
    heard = listen(lsf, tmp_path, "-W", "2", "-wa", "USR1", "-wt", "1")
    wait_until(lambda: heard.read_text().split()[:3] == ["ready", "USR1", "USR2"])


@only_lsf10
def test_memory_limit(lsf: Lsf) -> None:
    hungry = "exec python3 -IS -c \"x = b'x' * 10**8; import time; time.sleep(100)\""
    lsf.submit(hungry, "-M", "50MB")
    lsf.submit(hungry, "-M", "1GB")
    lsf.wait_for("101")
    assert "TERM_MEMLIMIT" in lsf.run("bjobs", "-l", "101")
    lsf.run("bkill", "102", FAKE_LSF_USER="lsfadmin")
    lsf.wait_for("102")
    assert "TERM_ADMIN" in lsf.run("bhist", "-l", "102")
    assert end_of(lsf, "101") == "Exited by signal 9."
    with lsf.odd(memory_unenforced=True):
        lsf.submit(hungry, "-M", "50000")
        time.sleep(1.5)
        assert lsf.job_states("103") == {"103": "RUN"}


@only_classic
def test_requeue_keeps_the_id_and_passes_through_exit(lsf: Lsf, tmp_path: Path) -> None:
    lsf.configure(requeue_pause=5.0)
    lsf.submit(
        f"echo run $LSB_RESTART >> {tmp_path}/runs; [ $LSB_RESTART ] || brequeue $LSB_JOBID[$LSB_JOBINDEX]; sleep 100",
        *("-J", "a[1-2]"),
    )
    lsf.wait_for("101", {"EXIT"})
    assert set(lsf.run("bjobs", "-a", "-noheader", "101").split()) >= {"EXIT"}
    assert "already been requeued" in lsf.ask("brequeue", "101").stderr
    lsf.wait_for("101", {"PEND", "RUN"})
    wait_until(lambda: sorted((tmp_path / "runs").read_text().splitlines()) == ["run", "run", "run Y", "run Y"])
    assert "Pending: Job has been requeued" in lsf.run("bhist", "-l", "101[2]")


@only_classic
def test_requeue_of_what_has_ended(lsf: Lsf, tmp_path: Path) -> None:
    lsf.submit(f"echo x >> {tmp_path}/runs")
    lsf.wait_for("101")
    assert lsf.ask("brequeue", "101").stderr == "Job <101>: Job has already finished\n"
    assert lsf.run("brequeue", "-d", "101") == "Job <101> is being requeued\n"
    wait_until(lambda: (tmp_path / "runs").read_text() == "x\nx\n")


@only_classic
def test_queue_requeues_by_exit_code(lsf: Lsf, tmp_path: Path) -> None:
    lsf.submit(f"echo x >> {tmp_path}/runs; [ $(wc -l < {tmp_path}/runs) = 3 ] || exit 99", "-q", "low")
    lsf.wait_for("101", {"DONE"})
    assert (tmp_path / "runs").read_text() == "x\nx\nx\n"


@only_classic
def test_high_suspends_low(lsf: Lsf, tmp_path: Path) -> None:
    lsf.submit(SLEEP, "-q", "low", "-n", "8")
    lsf.submit(f"until [ -e {tmp_path}/go ]; do sleep 0.05; done", "-q", "normal")
    assert lsf.job_states() == {"101": "SSUSP", "102": "RUN"}
    assert lsf.run("bjobs", "-w", "-noheader", "101").split()[2] == "SSUSP"
    (tmp_path / "go").touch()
    lsf.wait_for("102", {"DONE"})
    assert lsf.wait_for("101", {"RUN"}) == {"101": "RUN"}


@only_lsf10
def test_high_ends_low(lsf: Lsf) -> None:
    lsf.configure(preemption="terminate")
    lsf.submit(SLEEP, "-q", "low", "-n", "8")
    lsf.submit(SLEEP, "-q", "normal")
    lsf.wait_for("101", {"EXIT"})
    assert "TERM_PREEMPT: job killed after preemption" in lsf.run("bjobs", "-UF", "101")
    lsf.wait_for("102", {"RUN"})
    lsf.configure(preemption="requeue")
    lsf.submit(SLEEP, "-q", "low", "-n", "7")
    lsf.submit(SLEEP, "-q", "gpu", "-n", "7")
    lsf.wait_for("103", {"PEND"})
    lsf.wait_for("104", {"RUN"})


@only_classic
def test_stopped_by_the_user(lsf: Lsf) -> None:
    lsf.submit(SLEEP)
    assert lsf.run("bstop", "101") == "Job <101> is being stopped\n"
    assert lsf.job_states() == {"101": "USUSP"}
    lsf.run("bresume", "101")
    assert lsf.job_states() == {"101": "RUN"}


def test_end_unseen_is_told_as_exit(lsf: Lsf, tmp_path: Path) -> None:
    wait = f"until [ -e {tmp_path}/go ]; do sleep 0.05; done; touch {tmp_path}/well"
    lsf.submit(wait, "-m", "n1")
    lsf.submit(SLEEP, "-m", "n1")
    lsf.wait_for("101", {"RUN"})
    lsf.host_down("n1")
    assert lsf.job_states() == {"101": "UNKWN", "102": "UNKWN"}
    assert lsf.run("bhosts", "n1").split()[-8] == "unreach"
    (tmp_path / "go").touch()
    wait_until(lambda: (tmp_path / "well").exists())
    time.sleep(0.3)
    assert lsf.job_states("101") == {"101": "UNKWN"}
    lsf.node_up("n1")
    assert lsf.job_states() == {"101": "EXIT", "102": "RUN"}
    assert "Exited. The CPU time used is unknown." in lsf.run("bjobs", "-l", "101")
    assert "The CPU time used is unknown" in lsf.run("bhist", "-l", "101")


@only_classic
def test_crashed_node_takes_its_jobs(lsf: Lsf, tmp_path: Path) -> None:
    lsf.submit(f"echo $$ > {tmp_path}/pid; sleep 100", "-m", "n1")
    lsf.submit(f"echo x >> {tmp_path}/runs; sleep 100", "-r")
    wait_until(lambda: (tmp_path / "pid").exists() and (tmp_path / "runs").exists())
    lsf.node_down("n1")
    lsf.node_down("n2")
    wait_until(lambda: not Path(f"/proc/{(tmp_path / 'pid').read_text().strip()}").exists())
    lsf.wait_for("102", {"PEND"})
    assert "Unable to reach slave batch server: 2 hosts;" in lsf.run("bjobs", "-p", "102")
    lsf.node_up("n2")
    lsf.wait_for("102", {"RUN"})
    assert lsf.job_states("101") == {"101": "UNKWN"}
    lsf.node_up("n1")
    assert lsf.job_states("101") == {"101": "EXIT"}


def test_killing_what_cannot_be_reached(lsf: Lsf) -> None:
    lsf.submit(SLEEP, "-m", "n1", "-J", "x[1-2]")
    lsf.wait_for("101", {"RUN"})
    lsf.host_down("n1")
    lsf.run("bkill", "101[1]")
    spelling = "ZOMBI" if lsf.settings.classic else "ZOMBIE"
    assert lsf.run("bjobs", "-w", "-noheader", "101[1]").split()[2][:5] == spelling[:5]
    assert "ZOMBI" in lsf.run("bjobs", "-l", "101[1]")
    lsf.run("bkill", "-r", "101[2]")
    assert lsf.job_states() == {"101[1]": "ZOMBI", "101[2]": "EXIT"}
    lsf.node_up("n1")
    lsf.wait_for("101", {"EXIT"})


@only_classic
def test_nothing_outlives_it(lsf: Lsf, tmp_path: Path) -> None:
    background = f"setsid sh -c 'echo $$ > {tmp_path}/pid; sleep 100' > /dev/null 2>&1 &"
    lsf.submit(f"{background} until [ -s {tmp_path}/pid ]; do sleep 0.05; done")
    lsf.wait_for("101", {"DONE"})
    pid = int((tmp_path / "pid").read_text())
    assert Path(f"/proc/{pid}").exists()
    lsf.stop()
    wait_until(lambda: not Path(f"/proc/{pid}").exists())
    assert not lsf.is_up
