"""Commands as a study file has them, and as `seedfold sweep` makes them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from seedfold.jobs.command import Command
from seedfold.jobs.command_sweep import make_command_sweep
from seedfold.jobs.errors import UsageError


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("python train.py --name 'a b'", ("python", "train.py", "--name", "a b")),
        (["Rscript", "fit.R", 1, 0.5, True], ("Rscript", "fit.R", "1", "0.5", "True")),
        ("echo $HOME; rm x | y", ("echo", "$HOME;", "rm", "x", "|", "y")),
    ],
)
def test_words_of_a_command(written: Any, words: tuple[str, ...]) -> None:
    assert Command.from_config({"command": written}).words == words


@pytest.mark.parametrize(
    ("words", "script", "module"),
    [
        (["python", "train.py", "--data", "other.py"], "train.py", None),
        (["python", "-u", "-m", "lab.train", "--lr", "1"], None, "lab.train"),
        (["torchrun", "--nproc_per_node", "2", "scripts/train.py"], "scripts/train.py", None),
        (["./run", "--config", "a.yaml"], "./run", None),
        (["Rscript", "fit.R"], "fit.R", None),
        (["make", "all"], None, None),
    ],
)
def test_what_is_the_script(words: Sequence[str], script: str | None, module: str | None) -> None:
    command = Command.from_config({"command": words})
    assert (command.script, command.module) == (script, module)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({}, "command: is missing"),
        ({"command": ""}, "command: has no words"),
        ({"command": []}, "command: has no words"),
        ({"command": "echo 'open"}, "cannot be split"),
        ({"command": ["echo", None]}, "word 2 is None"),
        ({"command": ["echo", ["a"]]}, r"word 2 is \['a'\]"),
        ({"command": {"a": 1}}, "neither a list of words nor a text"),
        ({"command": "a", "code": 3}, "code: 3 is not a list of files"),
        ({"command": "a", "metrics": {"fil": "x"}}, "metrics.fil: unknown key.*file"),
        ({"command": "a", "metrics": {"file": "x.txt"}}, "read from .json and .csv"),
        ({"command": "a", "metrics": {"pattern": "acc=(.*)"}}, "names no metric"),
        ({"command": "a", "metrics": {"pattern": "acc=(?P<a"}}, "not a regular expression"),
        ({"command": "a", "metrics": {}}, "either file or pattern"),
    ],
)
def test_bad_commands_are_refused_in_one_line(config: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Command.from_config(config)


def sweep_file(assignments: Sequence[str], words: Sequence[str], reserved: Sequence[str] = ()) -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load(make_command_sweep("mine", assignments, words, reserved).text)
    return read


def test_placeholders_stand_for_values_and_settings_are_no_axes() -> None:
    sweep = make_command_sweep(
        "mine",
        ["lr=0.1,0.01", "model=a,b", "seed=range(0,3)", "width=8", "cluster=slurm", "resources.time=2h"],
        ["python", "train.py", "--lr={lr}", "{model}", "{width}", "{folder}/x", "{seed}", "{{lr}}", "{1,2}", "${HOME}"],
        ["model"],
    )
    assert yaml.safe_load(sweep.text) == {
        "study": "mine",
        "run": "command",
        "command": [
            *("python", "train.py", "--lr=${lr}", "${args.model}", "${width}", "$SEEDFOLD_FOLDER/x", "${seed}"),
            *("{lr}", "{1,2}", "\\${HOME}"),
        ],
        "lr": None,
        "args": {"model": None},
        "seed": None,
        "width": 8,
        "matrix": {"lr": "0.1,0.01", "args.model": "a,b", "seed": "range(0,3)"},
    }
    assert sweep.settings == ("cluster=slurm", "resources.time=2h")
    assert sweep.unused == ()


def test_a_key_that_no_word_has_is_told() -> None:
    assert make_command_sweep("mine", ["lr=1,2", "seed=1,2"], ["x"], ()).unused == ("lr",)


@pytest.mark.parametrize(
    ("assignments", "words", "message"),
    [
        (["lr=1,2"], [], "there is no command"),
        (["lr=1,2"], ["x", "{lrr}"], "lrr has no value.*lr"),
        (["train.py"], ["x"], "is not KEY=VALUES"),
        (["~lr"], ["x"], "is not KEY=VALUES"),
        (["lr=[1,2"], ["x"], "lr="),
    ],
)
def test_bad_sweeps_are_refused(assignments: Sequence[str], words: Sequence[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        make_command_sweep("mine", assignments, words, ())


WORDS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1) | st.text("\\${}ab", min_size=1)


@given(st.lists(WORDS, min_size=1))
def test_any_words_arrive_as_they_are(words: list[str]) -> None:
    doubled = [re.sub(r"[{}]", lambda brace: brace[0] * 2, word) for word in words]
    study = OmegaConf.create(sweep_file([], doubled))
    assert OmegaConf.to_container(study, resolve=True)["command"] == words  # type: ignore[index,call-overload]
