"""Bad input of more than fifty kinds: one clear line, exit code 2, and nothing written."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from toyproject import DEFAULT_CONFIG, Toy, read_files

PLAN = ("plan", "-cd", "conf", "experiment=light")
STUDY = "# @package _global_\n" + DEFAULT_CONFIG + "study: bad\n"


@dataclass(frozen=True)
class Bad:
    """What is asked, the words that the answer has to have, and what is prepared in the project before."""

    name: str
    arguments: tuple[str, ...]
    says: tuple[str, ...]
    prepare: Callable[[Toy], object] = lambda toy: None


def command(name: str, *arguments: str, says: tuple[str, ...]) -> Bad:
    return Bad(name, arguments, says)


def override(name: str, *overrides: str, says: tuple[str, ...]) -> Bad:
    return Bad(name, (*PLAN, *overrides), says)


def study(name: str, text: str, *says: str, header: str = STUDY) -> Bad:
    """A study file that ends in ``text``."""
    return Bad(
        name, ("plan", "-cd", "conf", "experiment=bad"), says, lambda toy: toy.write_experiment("bad", header + text)
    )


def shadow(toy: Toy) -> None:
    """Put a file where Seedfold has one of the same name."""
    (toy.folder / "conf" / "size").mkdir()
    (toy.folder / "conf" / "size" / "full.yaml").write_text("")


COMMANDS = [
    command("misspelt command", "statsu", says=("statsu", "did you mean 'status'")),
    command("misspelt option", "status", "toy", "--jsn", says=("--jsn", "did you mean '--json'")),
    command("misspelt option of the group", "--debgu", "status", says=("--debgu", "'--debug'")),
    command("missing argument", "status", says=("STUDY", "seedfold status --help")),
    command("one argument too many", "status", "toy", "more", says=("more",)),
    command("option without its value", "plan", "--root", says=("--root",)),
    command("limit that is no number", "status", "toy", "--limit", "many", says=("--limit", "many")),
    command("limit of nothing", "status", "toy", "--limit", "0", says=("--limit", "0")),
    command("unknown study", "status", "tyo", says=("tyo", "did you mean 'toy'")),
    command("study that cannot name a folder", "status", "../toy", says=("'../toy'", "letters")),
    command("unknown stage", "status", "toy", "--stage", "trian", says=("--stage trian", "did you mean 'train'")),
    command("unknown axis", "status", "toy", "--where", "sed=1", says=("sed", "did you mean 'seed'")),
    command("condition without operator", "status", "toy", "--where", "seed", says=("'seed'", "seed=1,2")),
    command("condition without value", "cancel", "toy", "--where", "seed=", says=("seed=", "value")),
    command("order of several values", "status", "toy", "--where", "fold>1,2", says=("fold>", "one value")),
    command("unknown axis to count by", "status", "toy", "--by", "fodl", says=("--by fodl", "did you mean 'fold'")),
    command("unknown axis to cancel", "cancel", "toy", "--where", "sed=1", says=("sed", "'seed'")),
    command("unknown axis to resume", "resume", "toy", "--where", "sed=1", says=("sed", "'seed'")),
    command("unknown kind of failure", "resume", "toy", "--kind", "oom", says=("--kind oom", "oom_host")),
    command("resume with what identifies", "resume", "toy", "signal=1", says=("signal", "launch")),
    command("resume with a sweep", "resume", "toy", "resources.cpus=1,2", says=("resources.cpus=1,2", "KEY=VALUE")),
    command("memory without unit", "resume", "toy", "resources.memory=80", says=("resources.memory", "80", "4GB")),
    command("unknown resource", "resume", "toy", "resources.memroy=8GB", says=("memroy", "did you mean 'memory'")),
    command("unknown job", "show", "0123456789", says=("0123456789", "no job")),
    command("too short an id", "show", "ab", says=("ab",)),
    command("no job at all", "logs", says=("JOB",)),
    command("unknown axis of a job", "show", "sede=0", says=("sede", "did you mean 'seed'")),
    command("unknown stage of a job", "show", "trian", "seed=0", "fold=0", says=("trian", "did you mean 'train'")),
    command("no job of such values", "show", "seed=7", "fold=0", says=("seed=7 fold=0", "no job")),
    command("attempt that was not", "logs", "seed=0", "fold=0", "--attempt", "9", says=("attempt 9", "attempt is 1")),
    command("explain with one job", "explain", "seed=0 fold=0", says=("JOB",)),
    command("unknown table", "results", "toy", "metrix", says=("metrix", "metrics")),
    command("unknown format", "results", "toy", "--format", "xls", says=("xls", "csv")),
    command("ending without format", "results", "toy", "--out", "table.xls", says=("table.xls", "--format")),
    command("file that is a folder", "results", "toy", "--out", "conf", "--format", "csv", says=("conf", "folder")),
    command("misspelt table", "results", "toy", "metrcs", says=("metrcs", "did you mean 'metrics'", "predictions")),
    command("misspelt format", "results", "toy", "--format", "parqet", says=("did you mean 'parquet'",)),
    command("misspelt check", "plan", "experiment=toy", "--check", "cod", says=("--check", "did you mean 'code'")),
    command("means by unknown axis", "results", "toy", "--by", "sede", says=("sede", "did you mean 'seed'")),
    command("folds over unknown axis", "results", "toy", "oof", "--over", "fodl", says=("fodl", "'fold'")),
    command("means of predictions", "results", "toy", "predictions", "--by", "seed", says=("--by", "metrics")),
    command("by and over at once", "results", "toy", "--by", "seed", "--over", "fold", says=("--by", "--over")),
    command("unknown split", "results", "toy", "predictions", "--split", "vla", says=("vla",)),
    command("results of nothing", "results", "nothing", says=("nothing", "toy")),
    command("report into a folder", "report", "toy", "--out", "conf", says=("conf", "folder")),
    command("unknown study to clean", "gc", "tyo", says=("tyo", "did you mean 'toy'")),
    command("unknown study to examine", "doctor", "tyo", says=("tyo", "did you mean 'toy'")),
    command("steps that are none", "run", "seed=0", "fold=0", "--steps", "0", says=("--steps", "0")),
    command("descriptions that are not there", "run", "abcd", "--jobs", "none.jsonl", says=("none.jsonl",)),
    command("descriptions that are none", "run", "abcd", "--jobs", "conf/experiment/toy.yaml", says=("line 1",)),
    command("root that is a file", "status", "toy", "--root", "conf/experiment/toy.yaml", says=("--root", "file")),
    command("no study under the root", "show", "seed=0", "--root", "conf", says=("no study", "conf")),
    command("configuration that is not there", "plan", "-cd", "cnof", "experiment=toy", says=("cnof", "no such")),
    command("plan of nothing", "plan", "-cd", "conf", says=("study",)),
    command("unknown check", "plan", "--check", "dta", says=("--check", "dta")),
    command("descriptions into a folder", *PLAN, "--jobs", "conf", says=("--jobs conf", "folder")),
]

OVERRIDES = [
    override(
        "derive by Python itself on the command line",
        *("+derive.x._target_=os.system", "+derive.x.command='touch conf/ran'"),
        says=("derive.x", "os.system"),
    ),
    override("unknown experiment", "experiment=ligth", says=("ligth", "light")),
    override("unknown key", "sginal=1", says=("sginal", "signal")),
    override("unknown nested key", "trainer.max_stesp=1", says=("trainer.max_stesp", "trainer.max_steps")),
    override("override without value", "signal", says=("signal",)),
    override("override that is cut short", "signal=[1,2", says=("signal=[1,2",)),
    override("deleting what is not there", "~sginal", says=("sginal",)),
    override("adding what is there already", "+signal=2", says=("signal",)),
    override("sweep of experiments", "experiment=light,toy", says=("experiment",)),
    override("study with a slash", "study=a/b", says=("a/b",)),
    override("axis of an unknown stage", "stages.tarin.matrix.seed=1,2", says=("stages",)),
    override("empty axis", "seed=range(0,0)", says=("seed",)),
    override("the same point twice", "seed=1,1", says=("seed",)),
    override("resources without unit", "resources.memory=4", says=("resources.memory", "4GB")),
    override("resources that are unknown", "+resources.memroy=4GB", says=("memroy", "memory")),
    override("less than one CPU", "resources.cpus=0", says=("resources.cpus",)),
    override("unknown kind of failure", "+failures.kinds.oom.retries=1", says=("failures.kinds.oom",)),
    override("where on an unknown axis", "--where", "sed=1", says=("sed", "'seed'")),
    override("unknown stage", "--stage", "trian", says=("--stage trian", "'train'")),
]

DERIVED = "matrix: {{seed: [0]}}\nderive: {{signal: {{_target_: {}}}}}\n"
FILES = [
    study("file that is no YAML", "matrix: [", "bad"),
    study("matrix and stages", "matrix: {seed: [0]}\nstages: {a: {matrix: {seed: [0]}}}\n", "stages", "matrix"),
    study("unknown key of a stage", "stages: {a: {matirx: {seed: [0]}}}\n", "matirx", "matrix"),
    study("axis with an unknown key", "matrix: {sede: [0, 1]}\n", "sede", "seed"),
    study("axis without values", "matrix: {seed: []}\n", "seed"),
    study("axis named as a table's column", "matrix: {+split: [0, 1]}\n", "split"),
    study("zip of unequal lengths", "zip: {seed: [0, 1], fold: [0, 1, 2]}\n", "zip", "2", "3"),
    study("axis in two places", "matrix: {seed: [0]}\nzip: {seed: [0, 1], fold: [0, 1]}\n", "seed"),
    study("table that is not there", "table: none.csv\n", "none.csv"),
    study("exclude on an unknown axis", "matrix: {seed: [0]}\nexclude: {sede: 0}\n", "sede"),
    study("nothing left", "matrix: {seed: [0]}\nexclude: {seed: 0}\n", "seed"),
    study("derive of no function", "matrix: {seed: [0]}\nderive: {signal: {_target_: no.such.f}}\n", "no.such.f"),
    study(
        "derive that raises", DERIVED.format("seedfold.jobs.imbalance.long_tail_shares, ratio: 0, classes: 2"), "signal"
    ),
    study(
        "derive by Python itself",
        DERIVED.format("os.system, command: 'touch conf/ran'"),
        "os.system",
        "seedfold.derivation",
    ),
    study("derive by a builtin", DERIVED.format("builtins.exec, source: 'raise SystemExit'"), "builtins.exec"),
    study(
        "derive by what a module imports",
        DERIVED.format("toy.light.os.system, command: 'touch conf/ran'"),
        "not marked",
    ),
    study("derive by a class of a package", DERIVED.format("pandas.DataFrame"), "pandas.DataFrame", "not marked"),
    study(
        "derive by a part of a function", DERIVED.format("seedfold.jobs.imbalance.class_weights.__call__"), "not marked"
    ),
    study("after an unknown stage", "stages: {a: {matrix: {seed: [0]}}, b: {after: aa}}\n", "aa", "'a'"),
    study("stages in a circle", "stages: {a: {after: b}, b: {after: a}}\n", "a", "b"),
    study("missing value", "needed: ???\nmatrix: {seed: [0]}\n", "needed"),
    study("interpolation of nothing", "odd: ${nothing}\nmatrix: {seed: [0]}\n", "nothing"),
    study("module that is not there", "net: {_target_: tyo.light.run}\n", "net._target_: cannot", "'tyo'", "'toy'"),
    study("class that is not there", "net: {_target_: toy.light.rum}\n", "net._target_: cannot", "'run'"),
    study("module as a class", "net: {_target_: toy.light}\n", "toy.light is a module"),
    Bad("shadowing a file of ours", PLAN, ("size/full.yaml",), shadow),
]


@pytest.mark.parametrize("bad", [*COMMANDS, *OVERRIDES, *FILES], ids=lambda bad: bad.name)
def test_bad_input_is_one_line_and_writes_nothing(bad: Bad, finished: Toy, tmp_path: Path) -> None:
    toy = finished
    if bad in FILES:
        shutil.copytree(finished.folder / "conf", tmp_path / "conf")
        shutil.copytree(finished.folder / "toy", tmp_path / "toy")
        toy = Toy(tmp_path, finished.root, finished.environment)
    bad.prepare(toy)
    before = read_files(finished.folder)
    ended = toy.run_in_process(*bad.arguments)
    assert len(ended.stderr.splitlines()) == 1, ended.stderr
    assert ended.stderr.startswith("seedfold: ")
    assert ended.returncode == 2, ended.stderr
    missing = [words for words in bad.says if words not in ended.stderr]
    assert not missing, ended.stderr
    assert ended.stdout == ""
    assert read_files(finished.folder) == before


@pytest.mark.parametrize(("word", "count"), [("seed=0", 3), ("seed=0,1", 6)])
def test_of_many_jobs_that_are_meant_the_first_are_listed(finished: Toy, word: str, count: int) -> None:
    ended = finished.run_in_process("show", word)
    assert (ended.returncode, ended.stdout) == (2, "")
    first, *listed = ended.stderr.splitlines()
    assert first == f"seedfold: {word}: {count} jobs fit; write more of the id or address, or name a --study"
    jobs = [line.strip() for line in listed[:5]]
    assert [line.split()[:3] for line in jobs] == [["toy", line.split()[1], "train"] for line in jobs]
    assert len(set(jobs)) == min(count, 5)
    assert listed[5:] == ([f"  … and {count - 5} more"] if count > 5 else [])


def test_there_are_more_than_fifty_kinds() -> None:
    names = [bad.name for bad in [*COMMANDS, *OVERRIDES, *FILES]]
    assert len({(bad.arguments, bad.name) for bad in [*COMMANDS, *OVERRIDES, *FILES]}) == len(names) >= 50


def test_a_scheduler_or_store_that_does_not_answer_is_another_code(done: Toy) -> None:
    folder = Path(done.json_of("show", "seed=0", "fold=0")["result"]["folder"])
    (folder / "result.json").write_text("{")
    ended = done.run_in_process("show", "seed=0", "fold=0")
    assert (ended.returncode, len(ended.stderr.splitlines())) == (3, 1)
