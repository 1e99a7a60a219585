"""Commands that run on a login host as if they ran here, through a real sshd."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import tempfile
from pathlib import Path

import pytest
import torch
from clusters.ssh.conftest import Laptop
from toyproject import SEEDFOLD, WAIT_S, read_files, wait_until

ARGUMENTS = """#!/usr/bin/env python3
import json, os, sys
assert os.environ["WORD"] == "a b"
print(json.dumps([os.getcwd(), sys.argv[1:]]))
"""
SETUP = ["echo noise", "cat", "export WORD='a b'"]
HOSTILE = [
    "'; touch broken; '",
    "$(touch broken)",
    "`touch broken`",
    "a\nb",
    'q"q',
    "\\",
    "ü €",
    "!x",
    "*",
    "a  b",
    "-x",
]


def echoing(laptop: Laptop) -> None:
    """Have a program there, in place of seedfold, that tells what it was called with."""
    program = laptop.server.home / "tell me"
    program.write_text(ARGUMENTS)
    program.chmod(0o755)
    login = {"host": "cluster", "command": "'./tell me'", "root": "~/my runs", "setup": SETUP}
    laptop.write_site_file(json.dumps({"cluster": {"login": login}}))


def check_export(laptop: Laptop) -> None:
    """The weights and the file beside them arrive here, and replace nothing."""
    shown = json.loads(laptop.output_of("show", "seed=1", "fold=2", "--json"))
    checkpoints = laptop.study("toy").job_folder(shown["id"]) / "run" / "checkpoints"
    checkpoints.mkdir(parents=True)
    torch.save({"weight": torch.ones(1)}, checkpoints / "last.pt")
    assert laptop.output_of("export", "seed=1", "fold=2", "it's.pt") == "last: it's.pt, it's.yaml\n"
    assert torch.load(laptop.toy.folder / "it's.pt", weights_only=True)["weight"] == 1
    assert "checkpoint: last" in (laptop.toy.folder / "it's.yaml").read_text()
    refused = laptop.run("export", "seed=1", "fold=2", "it's.pt")
    assert (refused.returncode, refused.stderr) == (2, "seedfold: it's.pt: exists already; name a new file\n")


@pytest.mark.slow
def test_a_study_is_launched_and_seen_there(laptop: Laptop) -> None:
    said = laptop.launch("seed=0,1", experiment="toy")
    assert "toy: 6 done" in said
    assert "a word of" not in said
    assert not laptop.toy.root.exists()
    status = laptop.run("status", "toy", "--json")
    assert json.loads(status.stdout)["states"]["done"] == 6
    assert status.stderr == ""
    assert laptop.output_of("logs", "seed=1", "fold=2") == "seed 1, attempt 1\n"
    assert laptop.output_of("results", "toy", "runs", "--out", "it's here.csv") == "wrote 6 rows to it's here.csv\n"
    assert len((laptop.toy.folder / "it's here.csv").read_text().splitlines()) == 7
    check_export(laptop)
    projects = laptop.remote.root / ".projects"
    before = read_files(projects)
    assert "nothing to start" in laptop.launch("seed=0,1", experiment="toy")
    assert read_files(projects) == before
    assert laptop.run("launch", *laptop.arguments("seed=0,1", "signal=3", experiment="toy")).returncode == 2
    assert laptop.output_of("status", "--login", "here", "toy", "--root", str(laptop.remote.root)).startswith(
        "toy: 6 jobs"
    )


def test_arguments_arrive_as_they_were_given(laptop: Laptop) -> None:
    echoing(laptop)
    wheres = [word for value in HOSTILE for word in ("--where", value)]
    home, words = json.loads(laptop.output_of("cancel", *wheres, "--pending", "--debug", "--", "--study"))
    assert home == str(laptop.server.home)
    assert words[0] == "cancel"
    assert words[-2:] == ["--", "--study"]
    assert sorted(words[1:-2]) == sorted([*wheres, "--pending", "--debug", "--root", "~/my runs"])
    _, words = json.loads(laptop.output_of("logs", *HOSTILE[:-1], "--root", "/a b/$c"))
    assert words == ["logs", "--root", "/a b/$c", "--", *HOSTILE[:-1]]
    assert not list(laptop.server.home.rglob("broken*"))


@pytest.mark.slow
def test_what_goes_wrong_is_one_line(laptop: Laptop) -> None:
    cases = [
        ("nowhere.invalid", 3, "nowhere.invalid: "),
        ("{host: cluster, command: sedfold}", 2, "sedfold: command not found on the host"),
        ("{host: cluster, command: env SEEDFOLD_CALLER=0.0.1 seedfold}", 2, "0.0.1 on your machine"),
        ("{host: cluster, rot: /x}", 2, "did you mean 'root'"),
        ("'-oProxyCommand=touch broken'", 2, "is not the name of a host"),
        ("cluster", 2, "no study 'light'"),
    ]
    for login, code, says in cases:
        laptop.write_site_file(f"cluster: {{login: {login}}}\n")
        ended = laptop.run("status", "light")
        assert (ended.returncode, len(ended.stderr.splitlines())) == (code, 1), ended.stderr
        assert says in ended.stderr
        assert ended.stdout == ""
    config = laptop.server.folder / "config"
    config.write_text(config.read_text().replace("    Port", "    IdentityAgent none\n    Port 1\n    #"))
    ended = laptop.run("launch", *laptop.arguments())
    assert ended.returncode == 3
    assert ended.stderr.startswith("seedfold: cluster: ")
    assert "Connection refused" in ended.stderr
    assert not laptop.remote.root.exists()


@pytest.mark.slow
def test_what_a_study_needs_goes_along_and_only_what_is_new(laptop: Laptop) -> None:
    """Tables, folders of configuration from elsewhere, modules; an edited file is one new content."""
    folder = laptop.toy.folder
    (folder / "tables").mkdir()
    (folder / "tables" / "points.csv").write_text("seed,fold\n3,0\n4,1\n")
    outside = folder.parent / "lab's conf"
    (outside / "cluster").mkdir(parents=True)
    text = "executor: local\nslots: 2\nlogin: {host: cluster, root: ~/lab}\n"
    (outside / "cluster" / "lab.yaml").write_text(text)
    experiment = (folder / "conf/experiment/light.yaml").read_text().partition("matrix:")[0]
    laptop.toy.write_experiment("tabled", experiment.replace("light\n", "tabled\n") + "table: tables/points.csv\n")
    laptop.write_site_file("")
    commit = committed(folder)
    args = ["-cd", str(outside), *laptop.arguments("cluster=lab", experiment="tabled")]
    refused = laptop.run("launch", *args, "paths.data=data")
    assert refused.returncode == 2
    assert "paths.data: data is in the project's folder" in refused.stderr
    assert "tabled: 2 done" in laptop.output_of("launch", *args)
    contents = laptop.server.home / "lab" / ".projects" / "files"
    before = read_files(contents)
    assert len(before) == 10
    there = ["--login", "cluster", "--root", str(contents.parents[1])]
    *_, told = json.loads(laptop.output_of("show", *there, "seed=3", "--json"))["code"]["git"]
    assert (told["repository"], told["commit"], told["changed"]) == (str(folder), commit, False)
    light = folder / "toy" / "light.py"
    light.write_text(light.read_text().replace("attempt {work.attempt}", "again {work.attempt}"))
    assert "tabled: 2 done" in laptop.output_of("launch", *args, "--rerun", "fold=0")
    # The file, what git knows of it, and how it differs.
    assert len(read_files(contents)) == len(before) + 3
    assert laptop.output_of("logs", *there, "seed=3") == "seed 3, again 2\n"
    *_, told = json.loads(laptop.output_of("show", *there, "seed=3", "--json"))["code"]["git"]
    assert "+    print(f\"seed {config['seed']}, again" in Path(told["diff"]).read_text()


def committed(folder: Path) -> str:
    """Put a project under git; return the commit."""
    git = ["git", "-C", str(folder), "-c", "user.name=me", "-c", "user.email=me@here"]
    for words in (["init", "-q"], ["add", "toy", "conf"], ["commit", "-qm", "All of it"]):
        subprocess.run([*git, *words], check=True)
    return subprocess.check_output([*git, "rev-parse", "HEAD"], text=True).strip()


@pytest.mark.slow
def test_resume_takes_the_code_of_today(laptop: Laptop) -> None:
    laptop.run("launch", *laptop.arguments("seed=0", "fold=0", "fail_seeds=[0]"))
    light = laptop.toy.folder / "toy" / "light.py"
    light.write_text(light.read_text().replace('raise ValueError(f"seed {seed} is an unlucky one")', "return"))
    assert "light: 1 done" in laptop.output_of("resume", "light")
    (laptop.remote.data / "broken-1").touch()
    failed = laptop.run("launch", *laptop.arguments("seed=1", "fold=0", "study=broken"))
    assert failed.returncode == 1


@pytest.mark.slow
def test_ctrl_c_is_heard_there(laptop: Laptop) -> None:
    process = laptop.toy.start("launch", *laptop.arguments("sleep_s=600", "seed=0", "fold=0"))
    wait_until(lambda: list(laptop.study().path.glob("jobs/*/*/slept.txt")))
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=WAIT_S)
    assert process.returncode == 130, out + err
    assert "running jobs write a checkpoint" in err
    assert "1 waiting" in out


@pytest.mark.slow
def test_a_terminal_there_is_the_terminal_here(laptop: Laptop) -> None:
    asked = laptop.arguments("seed=0", "fold=0", "sleep_s=600")
    laptop.output_of("launch", *asked, "--detach")
    wait_until(lambda: list(laptop.study().path.glob("jobs/*/*/slept.txt")))
    watching = Screen(laptop, "watch", "light")
    watching.wait_for(b"1 running")
    watching.press(b"q")
    assert watching.end() == 0
    assert b"\x1b[" in watching.seen
    assert laptop.states() == {"running": 1}
    waiting = Screen(laptop, "launch", *asked)
    waiting.wait_for(b"1 running")
    waiting.press(b"\x03")
    assert waiting.end() == 130
    assert b"stopping: running jobs write a checkpoint" in waiting.seen
    assert laptop.states() == {"waiting": 1}


class Screen:
    """A command on a terminal."""

    def __init__(self, laptop: Laptop, *words: str) -> None:
        self._master, slave = pty.openpty()
        environment = {**laptop.toy.environment, "TERM": "xterm"}
        self._process = subprocess.Popen(
            [SEEDFOLD, *words],
            cwd=laptop.toy.folder,
            env=environment,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
        )
        os.close(slave)
        self.seen = b""

    def _read(self) -> bool:
        if not select.select([self._master], [], [], 0.1)[0]:
            return True
        try:
            data = os.read(self._master, 4096)
        except OSError:
            return False
        self.seen += data
        return bool(data)

    def wait_for(self, text: bytes) -> None:
        wait_until(lambda: not self._read() or text in self.seen, describe=lambda: self.seen.decode())
        assert text in self.seen, self.seen

    def press(self, key: bytes) -> None:
        os.write(self._master, key)

    def end(self) -> int:
        wait_until(lambda: not self._read())
        os.close(self._master)
        return self._process.wait(timeout=WAIT_S)


@pytest.mark.slow
def test_a_launch_whose_connection_breaks_is_done_once(laptop: Laptop) -> None:
    """At the first sign of it there, every sshd of the connection is killed; the same command goes on."""
    words = laptop.arguments("sleep_s=0.5")
    process = laptop.toy.start("launch", *words)
    wait_until(lambda: list(laptop.study().path.glob("plans/*")))
    assert laptop.server.break_connections()
    out, err = process.communicate(timeout=WAIT_S)
    assert process.returncode == 3, out + err
    assert "the connection ended before the command;" in err
    assert "light: 6 done" in laptop.output_of("launch", *words)
    laptop.remote.wait_for_workers()
    assert sorted(laptop.remote.executions().values()) == [1] * 6


@pytest.mark.slow
def test_connections_are_shared(laptop: Laptop) -> None:
    """Where the user has not said otherwise, and a socket's name is short enough."""
    short = Path(tempfile.mkdtemp(dir="/tmp"))
    for _ in range(3):
        assert laptop.toy.run("status", "light", TMPDIR=str(short)).returncode == 2
    log = (laptop.server.folder / "sshd.log").read_text()
    assert log.count("Accepted publickey") == 1


@pytest.mark.slow
def test_a_fetch_over_ssh_moves_what_is_new(laptop: Laptop) -> None:
    laptop.launch("seed=0", experiment="toy")
    assert " files fetched" in laptop.output_of("fetch", "cluster:runs", "toy", "--root", "copy")
    assert "toy: nothing new" in laptop.output_of("fetch", "cluster:", "toy", "--root", "copy")
    here = ["--login", "here", "--root", "copy"]
    assert f"a copy of cluster:{laptop.remote.root}" in laptop.output_of("status", *here, "toy")
    assert laptop.output_of("results", *here, "toy") == laptop.output_of("results", "toy")
    wrong = laptop.run("fetch", "cluster:", "tyo", "--root", "copy")
    assert (wrong.returncode, len(wrong.stderr.splitlines())) == (2, 1)
    assert "did you mean 'toy'" in wrong.stderr


@pytest.mark.slow
@pytest.mark.slurm
def test_a_launch_onto_slurm_behind_the_login_host(laptop_of_slurm: Laptop) -> None:
    laptop = laptop_of_slurm
    laptop.write_site_file("cluster: {name: slurm, login: cluster, partition: debug}\n")
    said = laptop.launch()
    assert "submitted 6" in said
    wait_until(lambda: laptop.states() == {"done": 6})
    assert sorted(laptop.remote.executions().values()) == [1] * 6


@pytest.mark.slow
@pytest.mark.slurm
def test_a_launch_onto_slurm_whose_connection_breaks_is_done_once(laptop_of_slurm: Laptop) -> None:
    laptop = laptop_of_slurm
    laptop.write_site_file("cluster: {name: slurm, login: cluster, settle_s: 5}\n")
    process = laptop.toy.start("launch", *laptop.arguments())
    wait_until(lambda: list(laptop.study().path.glob("submissions/*/sending.1")))
    laptop.server.break_connections()
    process.communicate(timeout=WAIT_S)
    laptop.launch()
    wait_until(lambda: laptop.states() == {"done": 6})
    assert sorted(laptop.remote.executions().values()) == [1] * 6
