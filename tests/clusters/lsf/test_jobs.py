"""Jobs on the fake LSF run, end and are told of as LSF does it, in both dialects."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import pytest
from clusters.lsf.cluster import Lsf, LsfError
from clusters.lsf.settings import Host, Queue
from toyproject import wait_until

only_classic = pytest.mark.parametrize("lsf_dialect", ["classic"], indirect=True)
only_lsf10 = pytest.mark.parametrize("lsf_dialect", ["lsf10"], indirect=True)
SLEEP = "#!/bin/sh\nexec sleep 100\n"


def exit_codes(lsf: Lsf, job: str) -> list[str]:
    """What bhist says of the end of a job or of each element of an array."""
    return re.findall(
        r"(Exited with exit code \d+|Exited by signal \d+|Done successfully)", lsf.run("bhist", "-l", job)
    )


@only_classic
def test_script_on_standard_input_runs(lsf: Lsf, tmp_path: Path) -> None:
    script = f'#!/bin/bash\n#BSUB -J "of the script"\n#BSUB -q short\necho ${{BASH_VERSION:+bash}} > {tmp_path}/out\n'
    assert lsf.run("bsub", "-J", "mine", script=script) == "Job <101> is submitted to queue <short>.\n"
    assert lsf.wait_for("101") == {"101": "DONE"}
    assert (tmp_path / "out").read_text() == "bash\n"
    row = lsf.run("bjobs", "-a", "-w", "-noheader", "101").split()
    assert row[:7] == ["101", row[1], "DONE", "short", row[4], row[5], "mine"]
    assert lsf.run("bsub", "true") == "Job <102> is submitted to default queue <normal>.\n"


@only_classic
def test_script_named_on_the_command_line_is_not_read(lsf: Lsf, tmp_path: Path) -> None:
    (tmp_path / "script").write_text("#BSUB -J unread\ntrue\n")
    lsf.run("bsub", "sh", tmp_path / "script")
    assert "unread" not in lsf.run("bjobs", "-a", "-w")


@only_classic
def test_arguments_are_read_by_a_shell_again(lsf: Lsf, tmp_path: Path) -> None:
    lsf.run("bsub", "echo", f"one > {tmp_path}/one; echo two > {tmp_path}/two")
    lsf.wait_for("101")
    assert (tmp_path / "two").read_text() == "two\n"


def test_output_appears_at_the_end_and_is_appended(lsf: Lsf, tmp_path: Path) -> None:
    script = f"echo a line; echo wrong >&2; until [ -e {tmp_path}/go ]; do sleep 0.05; done"
    options = ("-o", tmp_path / "%J.%I.out", "-e", tmp_path / "%J.%I.err")
    lsf.submit(script, *options)
    lsf.wait_for("101", {"RUN"})
    wait_until(lambda: "a line" in lsf.ask("bpeek", "101").stdout)
    output = tmp_path / "101.0.out"
    assert not output.exists()
    (tmp_path / "go").touch()
    output.write_text("before\n")
    lsf.wait_for("101")
    assert output.read_text().startswith("before\n")
    assert "\nSuccessfully completed.\n" in output.read_text()
    assert output.read_text().endswith("\na line\n\n")
    assert (tmp_path / "101.0.err").read_text() == "wrong\n"


@only_classic
def test_output_may_go_straight_to_its_file(lsf: Lsf, tmp_path: Path) -> None:
    lsf.submit("echo now; sleep 100", "-o", tmp_path / "out", LSB_STDOUT_DIRECT="y")
    wait_until(lambda: (tmp_path / "out").exists() and (tmp_path / "out").read_text() == "now\n")


def test_array_has_one_id(lsf: Lsf, tmp_path: Path) -> None:
    says = "$LSB_JOBID $LSB_JOBINDEX $LSB_JOBINDEX_END $LSB_JOBNAME $LSB_QUEUE"
    lsf.submit(f"echo {says} > {tmp_path}/out-$LSB_JOBINDEX; exit $LSB_JOBINDEX", "-J", "arr[1-3,7]")
    lsf.wait_for("101")
    assert sorted(file.read_text() for file in tmp_path.glob("out-*")) == [
        f"101 {index} 7 arr[{index}] normal\n" for index in (1, 2, 3, 7)
    ]
    rows = lsf.run("bjobs", "-a", "-w", "-noheader", "101[2-3,7]").splitlines()
    assert [(row.split()[0], row.split()[6]) for row in rows] == [("101", f"arr[{index}]") for index in (2, 3, 7)]
    assert exit_codes(lsf, "101") == [f"Exited with exit code {index}" for index in (1, 2, 3, 7)]


@only_classic
def test_job_that_is_no_array_has_index_0(lsf: Lsf, tmp_path: Path) -> None:
    lsf.submit(f'env > {tmp_path}/env; touch "{tmp_path}/done-%I"', "-n", "3", "-o", tmp_path / "%I.out", HELLO="there")
    lsf.wait_for("101")
    told = dict(line.split("=", 1) for line in (tmp_path / "env").read_text().splitlines() if "=" in line)
    assert (told["LSB_JOBINDEX"], told["HELLO"], told["LSB_SUBCWD"]) == ("0", "there", str(lsf.folder))
    assert told["LSB_HOSTS"] == "n1 n1 n1"
    assert told["LSB_MCPU_HOSTS"] == "n1 3"
    assert "CUDA_VISIBLE_DEVICES" not in told
    assert (tmp_path / "0.out").exists()


@only_classic
def test_array_is_throttled(lsf: Lsf) -> None:
    lsf.submit(SLEEP, "-J", "slow[1-5]%2")
    assert sorted(lsf.job_states("101").values()) == ["PEND"] * 3 + ["RUN"] * 2
    assert "Job array has reached its running element limit" in lsf.run("bjobs", "-p", "101")


REFUSED = [
    (["-q", "nowhere"], "No such queue"),
    (["-n", "20"], "Too many processors requested"),
    (["-J", "a[0-3]"], "Job array index error"),
    (["-J", "a[1-1001]"], "Job array index too large"),
    (["-J", "a[b]"], "Bad job name"),
    (["-w", "done(77)"], "No matching job found"),
    (["-w", "done(77"], "Dependency condition syntax error"),
    (["-W", "0:"], "Bad RUNLIMIT specification"),
    (["-q", "short", "-W", "11"], "Cannot exceed queue's hard limit"),
    (["-M", "much"], "Bad MEMLIMIT specification"),
    (["-R", "rusage[mem=much]"], "Bad resource requirement syntax"),
    (["-R", "nonsense[x]"], "Bad resource requirement syntax"),
    (["-R", "select[colour=='red']"], "Bad resource requirement syntax"),
    (["-m", "n9"], "Bad host name"),
    (["-b", "25:61"], "Bad time specification"),
]


@only_classic
def test_what_cannot_be_is_refused(lsf: Lsf) -> None:
    for options, why in REFUSED:
        ended = lsf.ask("bsub", *options, script="true\n")
        assert (ended.returncode, ended.stdout) == (255, "")
        assert re.fullmatch(rf".*{re.escape(why)}.*\. Job not submitted\.\n", ended.stderr)


@only_classic
def test_closed_queue(lsf: Lsf) -> None:
    assert lsf.ask("bsub", script="").stderr.endswith(". Job not submitted.\n")
    lsf.configure(queues={**lsf.settings.queues, "normal": Queue(is_open=False)})
    assert "Queue has been closed" in lsf.ask("bsub", script="true").stderr
    assert lsf.job_states() == {}


@only_classic
def test_impossible_memory_stays_pending(lsf: Lsf) -> None:
    lsf.submit(SLEEP, "-R", "rusage[mem=1000000000]")
    lsf.submit(SLEEP, "-R", "select[hname!='n1' && hname!=n2]")
    lsf.submit(SLEEP, "-R", "select[hname!='n1'] rusage[mem=1000] span[hosts=1]")
    lsf.wait_for("103", {"RUN"})
    assert lsf.job_states() == {"101": "PEND", "102": "PEND", "103": "RUN"}
    assert "n2" in lsf.run("bjobs", "-w", "103")
    assert "resource reservation not satisfied (Resource: mem): 2 hosts;" in lsf.run("bjobs", "-p", "101")


@only_classic
def test_units_are_the_sites(lsf: Lsf) -> None:
    lsf.configure(unit_for_limits="GB")
    assert "LSF_UNIT_FOR_LIMITS=GB" in (Path(lsf.variables["LSF_ENVDIR"]) / "lsf.conf").read_text()
    lsf.submit(SLEEP, "-R", "rusage[mem=60]")
    lsf.submit(SLEEP, "-R", "rusage[mem=65]")
    assert lsf.wait_for("101", {"RUN"})
    assert lsf.job_states("102") == {"102": "PEND"}
    assert "Bad resource requirement" in lsf.ask("bsub", "-R", "rusage[mem=8GB]", "true").stderr


@only_lsf10
def test_gpus_are_counted_and_told(lsf: Lsf, tmp_path: Path) -> None:
    say = f"echo $CUDA_VISIBLE_DEVICES >> {tmp_path}/gpus; exec sleep 100"
    for _ in range(5):
        lsf.submit(say, "-gpu", "num=1:j_exclusive=yes:gmem=11G", "-R", "rusage[mem=8GB]", "-q", "gpu")
    wait_until(lambda: (tmp_path / "gpus").exists() and len((tmp_path / "gpus").read_text().split()) == 4)
    assert sorted((tmp_path / "gpus").read_text().split()) == ["0", "0", "1", "1"]
    assert list(lsf.job_states().values()) == ["RUN"] * 4 + ["PEND"]


@only_classic
def test_old_server_reads_letters(lsf: Lsf, tmp_path: Path) -> None:
    lsf.run("bsub", "-oo", "echo", "x", cwd=tmp_path)
    assert "Command <echo x>" in lsf.run("bjobs", "-UF", "101")
    assert f"Output File <{tmp_path}/o>" in lsf.run("bjobs", "-UF", "101")
    assert lsf.ask("bsub", "-wa", "USR2", script="true").stderr == "a: No matching job found. Job not submitted.\n"
    lsf.run("bsub", "-gpu", "num=1", script="#!/bin/sh\necho real job\n")
    assert "Command <num=1>" in lsf.run("bjobs", "-UF", "102")
    for options in (["-o", "jobid stat"], ["-json", "101"]):
        ended = lsf.ask("bjobs", *options)
        assert ended.returncode == 255
        assert "usage: bjobs" in ended.stderr


@only_lsf10
def test_new_server_answers_in_json(lsf: Lsf) -> None:
    lsf.submit("exit 3", "-J", "a[1-2]")
    lsf.wait_for("101")
    ended = lsf.ask("bjobs", "-a", "-o", "jobid jobindex stat exit_code exit_reason job_name", "-json", "101", "999")
    told = json.loads(ended.stdout)
    assert (ended.returncode, told["COMMAND"], told["JOBS"]) == (255, "bjobs", 3)
    assert told["RECORDS"][0] == {
        "JOBID": "101",
        "JOBINDEX": "1",
        "STAT": "EXIT",
        "EXIT_CODE": "3",
        "EXIT_REASON": "",
        "JOB_NAME": "a[1]",
    }
    assert told["RECORDS"][2] == {"JOBID": "999", "ERROR": "Job <999> is not found"}
    assert lsf.run("bjobs", "-a", "-noheader", "-o", "jobid stat delimiter=','", "101") == "101,EXIT\n101,EXIT\n"
    assert "not a valid field" in lsf.ask("bjobs", "-o", "colour", "101").stderr


@only_classic
def test_quiet(lsf: Lsf) -> None:
    assert lsf.run("bsub", "true", BSUB_QUIET="1") == ""
    assert list(lsf.job_states()) == ["101"]


@only_classic
def test_names_keep_their_blanks_and_lose_their_beginning(lsf: Lsf) -> None:
    lsf.submit(SLEEP, "-J", "a long name[1]")
    assert lsf.run("bjobs", "-noheader", "101").split("n1")[-1].split()[:2] == ["*g", "name[1]"]
    assert "a long name[1]" in lsf.run("bjobs", "-w", "101")


@only_classic
def test_pending_job_has_no_host(lsf: Lsf) -> None:
    lsf.submit(SLEEP, "-H")
    assert lsf.run("bjobs", "-w", "-noheader", "101").split()[2:6:3] == ["PSUSP", "-"]
    lsf.run("bresume", "101")
    lsf.wait_for("101", {"RUN"})


def test_known_and_unknown_ids(lsf: Lsf) -> None:
    lsf.submit("true")
    lsf.wait_for("101")
    ended = lsf.ask("bjobs", "-a", "-w", "-noheader", "999", "101", "101[3]")
    assert (ended.returncode, len(ended.stdout.splitlines())) == (255, 1)
    assert ended.stderr == "Job <999> is not found\nJob <101[3]> is not found\n"
    assert lsf.ask("bjobs").stderr == "No unfinished job found\n"
    assert lsf.ask("bhist", "-l", "999").returncode == 255


def test_forgotten_jobs_are_history(lsf: Lsf) -> None:
    lsf.configure(clean_period=0.0)
    lsf.submit("exit 4", "-J", "old")
    lsf.wait_for("101")
    wait_until(lambda: lsf.ask("bjobs", "-a", "101").stderr == "Job <101> is not found\n")
    assert exit_codes(lsf, "101") == ["Exited with exit code 4"]
    assert "No matching job found" in lsf.ask("bsub", "-w", "ended(101)", "true").stderr
    assert "No matching job found" in lsf.ask("bkill", "101").stderr


def test_ends_are_told(lsf: Lsf) -> None:
    lsf.submit("case $LSB_JOBINDEX in 1) exit 0;; 2) exit 3;; 3) kill -9 $PPID;; esac", "-J", "ends[1-3]")
    lsf.wait_for("101")
    ends = ["Done successfully", "Exited with exit code 3", "Exited by signal 9"]
    assert exit_codes(lsf, "101") == ends
    assert all(end in lsf.run("bjobs", "-l", "101") for end in ends)


CONDITIONS = [
    ("done(101[1])", "RUN"),
    ("done(101)", "PEND"),
    ("ended(101)", "RUN"),
    ('ended("par*")', "RUN"),
    ("exit(101[2],3)", "RUN"),
    ("exit(101[2],>3)", "PEND"),
    ("started(102)", "RUN"),
    ("done(102)", "PEND"),
    ("numdone(101,>=1) && numexit(101, 1)", "RUN"),
    ("numdone(101,>=2)", "PEND"),
    ("(done(101) || ended(101)) && started(102)", "RUN"),
    ("! done(101)", "RUN"),
    ("101[1]", "RUN"),
]


@only_classic
def test_conditions(lsf: Lsf) -> None:
    lsf.configure(hosts={"n1": Host(slots=20)})
    parents(lsf)
    jobs = {condition: lsf.submit(SLEEP, "-w", condition) for condition, _ in CONDITIONS}
    assert [(condition, *lsf.job_states(job).values()) for condition, job in jobs.items()] == CONDITIONS


def parents(lsf: Lsf) -> None:
    """An array of which one element is done and one failed, and a job that runs."""
    lsf.submit("exit $((3 * (LSB_JOBINDEX - 1)))", "-J", "parents[1-2]")
    lsf.submit(SLEEP)
    lsf.wait_for("101")
    lsf.wait_for("102", {"RUN"})


@only_classic
def test_conditions_name_what_never_holds(lsf: Lsf) -> None:
    parents(lsf)
    lsf.submit(SLEEP, "-w", "done(101[*])", "-J", "children[1-2]")
    lsf.wait_for("103[1]", {"RUN"})
    assert lsf.job_states("103") == {"103[1]": "RUN", "103[2]": "PEND"}
    assert "invalid or never satisfied" in lsf.run("bjobs", "-p", "103[2]")
    assert "same size" in lsf.ask("bsub", "-w", "done(101[*])", "-J", "children[1-3]", "true").stderr


@only_classic
def test_start_time(lsf: Lsf) -> None:
    lsf.configure(time_scale=0.01)
    lsf.submit(SLEEP, "-b", clock(minutes=120))
    lsf.submit(SLEEP, "-b", clock(minutes=2))
    lsf.wait_for("102", {"RUN"})
    assert lsf.job_states("101") == {"101": "PEND"}
    assert "start time" in lsf.run("bjobs", "-p", "101")


def clock(minutes: int) -> str:
    return time.strftime("%H:%M", time.localtime(time.time() + 60 * minutes))


@only_classic
def test_groups_and_users(lsf: Lsf) -> None:
    lsf.submit(SLEEP, "-g", "/mine")
    lsf.submit(SLEEP, "-J", "other", FAKE_LSF_USER="other")
    assert lsf.run("bjobs", "-noheader", "-g", "/mine").split()[0] == "101"
    assert lsf.run("bjobs", "-noheader", "-u", "all", "-J", "other").split()[0] == "102"
    assert lsf.ask("bjobs", "-J", "other").stderr == "Job <other> is not found\n"
    assert lsf.ask("bkill", "102").stderr == "Job <102>: User permission denied\n"


@only_classic
def test_waiting_and_watching(lsf: Lsf) -> None:
    ended = lsf.ask("bsub", "-I", "echo seen; exit 5")
    assert (ended.returncode, ended.stdout.splitlines()[1:]) == (5, ["seen"])
    ended = lsf.ask("bsub", "-K", "exit 6")
    assert (ended.returncode, ended.stderr) == (6, "<<Waiting for dispatch ...>>\n<<Job is finished>>\n")


@only_classic
def test_limits_of_what_waits_and_runs(lsf: Lsf) -> None:
    lsf.configure(max_slots_per_user=1, max_pending=1)
    lsf.submit(SLEEP)
    lsf.submit(SLEEP)
    assert lsf.job_states() == {"101": "RUN", "102": "PEND"}
    ended = lsf.ask("bsub", "true", LSB_NTRIES="1")
    assert (ended.returncode, "Pending job threshold reached. Job not submitted." in ended.stderr) == (255, True)
    assert "job slot limit" in lsf.run("bjobs", "-p", "102")


def test_cluster_tells_of_itself(lsf: Lsf) -> None:
    assert "My cluster name is fake" in lsf.run("lsid")
    assert ("IBM Spectrum LSF Standard 10.1" in lsf.ask("bsub", "-V").stderr) is not lsf.settings.classic
    assert re.search(r"^normal +30 +Open:Active", lsf.run("bqueues"), re.MULTILINE)
    assert "REQUEUE_EXIT_VALUES:  99" in lsf.run("bqueues", "-l", "low")
    assert lsf.ask("bqueues", "nowhere").stderr == "nowhere: No such queue\n"
    assert "MAX_JOB_ARRAY_SIZE = 1000" in lsf.run("bparams", "-l")
    assert lsf.run("bhosts", "n1").splitlines()[1].split()[:4] == ["n1", "ok", "-", "4"]
    assert "n2" in lsf.run("lshosts")


@only_classic
def test_failing_command_says_so(lsf: Lsf) -> None:
    with pytest.raises(LsfError, match="No such queue"):
        lsf.submit("true", "-q", "nowhere")
