"""What people look at all day: the list of studies, what runs, the logs of many jobs; and tab completion."""

from __future__ import annotations

import getpass
import os
import subprocess
import sys
from pathlib import Path

import pytest
from toyproject import SEEDFOLD, Toy, make_toy, wait_until

LIGHT = ("--config-dir", "conf")


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Toy:
    """A root with a study that is done but for one failure, and one that cannot be read."""
    toy = make_toy(tmp_path_factory.mktemp("daily"))
    toy.launch("fail_seeds=[1]", "fold=0", experiment="light")
    toy.wait_for_workers()
    damaged = toy.root / "damaged" / "plans"
    damaged.mkdir(parents=True)
    (damaged / "1-a.jsonl").write_text("no plan\n")
    return toy


def test_ls_lists_studies_and_names_one_that_cannot_be_read(toy: Toy) -> None:
    damaged, light = toy.json_of("ls")
    assert (light["study"], light["jobs"], light["problem"], light["report"]) == ("light", 2, None, None)
    assert {state: count for state, count in light["states"].items() if count} == {"done": 1, "failed": 1}
    assert light["owner"] == getpass.getuser()
    assert light["bytes"] > 1000
    newest = max(file.stat().st_mtime for file in (toy.root / "light" / "events").iterdir())
    assert light["last_activity"] == newest
    assert (damaged["study"], damaged["jobs"], damaged["states"]) == ("damaged", None, None)
    assert "damaged" in damaged["problem"]


def test_status_and_watch_without_a_study_show_the_list(toy: Toy) -> None:
    assert toy.json_of("status") == toy.json_of("ls")
    listed = toy.output_of("ls")
    assert toy.output_of("status").splitlines()[0] == listed.splitlines()[0]
    assert "light       2  1 done, 1 failed" in listed
    assert toy.output_of("watch") == "light: 1 done, 1 failed\n"


def test_the_list_is_in_words_where_a_table_is_too_wide(toy: Toy) -> None:
    narrow = toy.run_in_process("ls", COLUMNS="40").stdout
    assert "light: 2 jobs, 1 done, 1 failed; " in narrow


@pytest.mark.parametrize(
    ("words", "option"),
    [
        (("status", "--by", "seed"), "--by"),
        (("status", "--where", "seed=1"), "--where"),
        (("watch", "--stage", "train"), "--stage"),
        (("logs", "seed=1", "--failed"), "--failed"),
        (("logs", "light", "--raw"), "--raw"),
    ],
)
def test_an_option_about_one_study_needs_it(toy: Toy, words: tuple[str, ...], option: str) -> None:
    ended = toy.run_in_process(*words)
    assert ended.returncode == 2
    assert option in ended.stderr


def test_an_empty_root_says_so(tmp_path: Path) -> None:
    toy = make_toy(tmp_path)
    assert "no study under" in toy.output_of("ls")
    assert toy.json_of("ls") == []


def test_logs_of_a_study_are_the_ends_of_its_failures(toy: Toy) -> None:
    lines = toy.output_of("logs", "light", "--failed").splitlines()
    assert lines[0].endswith("train seed=1 | seed 1, attempt 1")
    assert lines[-1].endswith("train seed=1 | ValueError: seed 1 is an unlucky one")
    nothing = toy.run_in_process("logs", "light")
    assert (nothing.stdout, nothing.stderr) == ("", "seedfold: no running job has printed anything\n")


@pytest.mark.slow
def test_what_runs_is_shown_and_all_logs_are_followed_to_the_end(tmp_path: Path) -> None:
    toy = make_toy(tmp_path)
    toy.hold_jobs()
    toy.launch("--detach", "sleep_s=0.1", "fold=0", experiment="light")
    wait_until(lambda: any(job["epoch"] == 10 for job in toy.json_of("status", "light")["running"]))
    shown = toy.output_of("status", "light")
    assert "10 of 10" in shown
    assert "expected to end in about" in shown
    some = toy.output_of("status", "light", "--where", "seed=0")
    assert "10 of 10" in some
    assert "expected to end" not in some, "the other job takes a slot as well"
    follower = toy.start("logs", "light", "-f")
    assert follower.stdout is not None
    first = follower.stdout.readline()
    toy.release_jobs()
    rest = follower.stdout.read()
    assert follower.wait() == 0
    assert {line.partition(" train ")[2].strip() for line in (first, *rest.splitlines())} == {
        "seed=0 | seed 0, attempt 1",
        "seed=1 | seed 1, attempt 1",
    }
    status = toy.json_of("status", "light")
    assert (status["eta_s"], status["running"]) == (None, [])


def complete(toy: Toy, *words: str) -> set[str]:
    """What zsh offers for the last of the words."""
    answered = toy.run_in_process(
        _SEEDFOLD_COMPLETE="zsh_complete", COMP_WORDS=" ".join(("seedfold", *words)), COMP_CWORD=str(len(words))
    )
    return set(answered.stdout.splitlines()[1::3])


def test_completion_offers_commands_studies_axes_and_values(toy: Toy) -> None:
    assert complete(toy, "st") == {"status"}
    assert {"--where", "--json"} <= complete(toy, "status", "light", "--")
    assert complete(toy, "status", "l") == {"light"}
    assert complete(toy, "status", "light", "--by", "") == {"seed", "fold"}
    assert complete(toy, "status", "light", "--where", "s") == {"seed="}
    assert complete(toy, "status", "light", "--where", "seed=") == {"seed=0", "seed=1"}
    assert complete(toy, "status", "light", "--stage", "t") == {"train"}
    assert complete(toy, "show", "--study", "light", "fo") == {"fold="}
    assert complete(toy, "logs", "li") == {"light"}
    assert complete(toy, "launch", "-cd", "conf", "experiment=l") == {"experiment=light"}
    assert complete(toy, "status", "damaged", "--stage", "t") == set()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (("status", "li"), ["light"]),
        (("status", "light", "--where", "seed", "=", ""), ["0", "1"]),
        (("status", "light", "--where", "se"), ["seed="]),
    ],
)
def test_bash_completes(toy: Toy, words: tuple[str, ...], offered: list[str]) -> None:
    # Bash divides what is typed at each `=`, as COMP_WORDBREAKS says.
    typed = " ".join(f"'{word}'" for word in ("seedfold", *words))
    script = (
        f'source <("{SEEDFOLD}" completion bash); COMP_WORDS=({typed}); COMP_CWORD={len(words)}\n'
        f'_seedfold_completion "{SEEDFOLD}"; printf "%s\\n" "${{COMPREPLY[@]}}"'
    )
    answered = subprocess.run(
        ["bash", "-c", script], cwd=toy.folder, env=toy.environment, capture_output=True, text=True, check=True
    )
    assert answered.stdout.splitlines() == offered


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script(toy: Toy, shell: str) -> None:
    assert "_SEEDFOLD_COMPLETE" in toy.output_of("completion", shell)


def test_the_package_is_the_command(toy: Toy) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "seedfold", "--version"], env={**os.environ}, capture_output=True, text=True, check=True
    )
    assert ended.stdout.startswith("seedfold ")
