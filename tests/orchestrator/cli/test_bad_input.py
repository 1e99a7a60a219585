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
    command("missing argument", "cancel", says=("STUDY", "seedfold cancel --help")),
    command("one argument too many", "status", "toy", "more", says=("more",)),
    command("option without its value", "plan", "--root", says=("--root",)),
    command("option that takes an override for its value", "plan", "--jobs", "seed=1", says=("--jobs", "'seed=1'")),
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
    command("unknown axis to hold", "hold", "toy", "--where", "sed=1", says=("sed", "'seed'")),
    command("unknown axis to release", "release", "toy", "--where", "sed=1", says=("sed", "'seed'")),
    command("throttle that is no number", "throttle", "toy", "few", says=("'few'", "off")),
    command("pilot without a size", *PLAN, "--pilot-auto", says=("--pilot-auto", "--pilot N")),
    command("pilot of done jobs", "launch", *PLAN[1:], "--pilot", "1", "--rerun", "stale", says=("--pilot", "--rerun")),
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
    command("no job of such values", "show", "seed=7", "fold=0", says=("seed=7", "no job", "values: 0, 1")),
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
    command("plan of nothing", "plan", "-cd", "conf", says=("study", "experiment=NAME")),
    command("name of a study alone", "launch", "study=toy", says=("study=toy", "experiment=NAME", "resume toy")),
    command("name of a study, and settings", "plan", "-cd", "conf", "study=toy", "seed=1", says=("experiment=NAME",)),
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
    override("unknown axis in the order", "order=[sede]", says=("order: sede", "did you mean 'seed'")),
    override("order of numbers", "order=[1]", says=("order: [1]", "[fold, -lr, seed=1]")),
    override("unknown key", "sginal=1", says=("sginal", "signal")),
    override("unknown nested key", "trainer.max_stesp=1", says=("trainer.max_stesp", "trainer.max_steps")),
    override("override without value", "signal", says=("signal",)),
    override("text for the numbers of an axis", "seed=abc", says=("seed=abc", "is a text", "a number")),
    override("nothing for the numbers of an axis", "seed=", says=("seed=", "is a text")),
    override("list for the numbers of an axis", "seed=[0,1]", says=("seed=[0, 1]", "is one list", "seed=0,1")),
    override("mapping for the numbers of an axis", "seed={a: 1}", says=("seed={'a': 1}", "is a mapping")),
    override("one list after matrix", "matrix.seed=[[0,1]]", says=("seed=[0, 1]", "is one list")),
    override("a milliard of seeds", "seed=range(0,1e9)", says=("seed=range(0,1e9)", "1,000,000,000 points", "--yes")),
    override("small steps", "seed=range(0,1000000,0.1)", says=("10,000,000 points",)),
    override("endless range", "seed=range(0,1e400)", says=("seed=range(0,1e400)", "points")),
    override("range without a step", "seed=range(0,5,0)", says=("seed=range(0,5,0)", "must not be zero")),
    override("many axes", "seed=range(0,2000)", "fold=range(0,2000)", says=("light: these are 4,000,000 points",)),
    *(
        override(f"axis named as a column: {name}", f"+{name}=1,2", says=(f"matrix.{name}", "have a column"))
        for name in ("n", "mean", "sd", "expected", "seconds", "host", "stale", "ci_low", "samples", "over")
    ),
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
    override("number for the kinds of failures", "++failures.kinds=5", says=("failures.kinds: 5 is not a mapping",)),
    override("number for a kind of failure", "++failures.kinds.oom_gpu=5", says=("failures.kinds.oom_gpu: 5",)),
    override("text for a number of failures", "++failures.stop_after_identical=x", says=("stop_after_identical: 'x'",)),
    override("nothing but signs", "==", says=("==: Hydra cannot read this",)),
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
    study("axis of a milliard of values", "matrix: {seed: 'range(0,1e9)'}\n", "1,000,000,000 points"),
    study("axis of a list of lists", "matrix: {seed: [[0, 1]]}\n", "seed=[0, 1]", "is one list"),
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


@pytest.mark.parametrize(
    ("values", "jobs"), [("[0,1]", 6), ("[[0,1],[2,3]]", 6), ("[[0,1]]", 3), ("0,1", 6), ("[0,1],[2]", 6), ("[0]", 3)]
)
def test_a_list_after_matrix_is_as_in_a_study_file(values: str, jobs: int, finished: Toy) -> None:
    axis = "seed" if "[[" not in values and "],[" not in values else "+pair"
    without = () if axis == "seed" else ("~matrix.seed",)
    planned = finished.plan(f"{axis.replace('pair', 'matrix.pair').replace('seed', 'matrix.seed')}={values}", *without)
    assert planned["jobs"] == jobs


def test_more_than_a_million_points_can_be_meant(finished: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    many = ("plan", "-cd", "conf", "experiment=light", "seed=range(0,30)", "fold=range(0,40)")
    monkeypatch.setattr("seedfold.jobs.compose.Composer.max_points", 1000)
    assert "light: these are 1,200 points" in finished.run_in_process(*many).stderr
    assert finished.output_of(*many, "--yes").startswith("light: 1200 jobs")


SITE_FILES = {
    "not UTF-8": (b"root: \xff\xfe", "not valid YAML"),
    "zero byte": (b"root: a\x00b", "not valid YAML"),
    "no YAML": (b"root: b: c", "not valid YAML"),
    "impossible date": (b"root: 2020-13-41", "not valid YAML"),
    "deep": (b"[" * 1000, "not valid YAML"),
    "list as root": (b"root: [1, 2]", "root: expected the path of a folder"),
    "mapping as root": (b"root: {a: 1}", "root: expected the path of a folder"),
    "number as root": (b"root: 5", "root: expected the path of a folder"),
    "root of nobody": (b"root: ~no_such_user/x", "site.yaml: root ~no_such_user/x: cannot be a folder"),
    "root with a zero byte": (b'root: "a\\0b"', "cannot be a folder"),
    "list": (b"- a", "expected a mapping"),
    "number as paths": (b"paths: 3", "paths: expected a mapping"),
    "list as cluster": (b"cluster: [1]", "cluster: expected a name, or a mapping"),
}


@pytest.mark.parametrize("name", SITE_FILES)
def test_a_bad_site_file_is_one_line(name: str, finished: Toy, tmp_path: Path) -> None:
    content, reason = SITE_FILES[name]
    file = tmp_path / ".config" / "seedfold" / "site.yaml"
    file.parent.mkdir(parents=True)
    file.write_bytes(content)
    for arguments in (("status", "toy"), PLAN):
        ended = finished.run_in_process(*arguments, HOME=str(tmp_path), SEEDFOLD_ROOT="")
        assert (ended.returncode, ended.stdout, len(ended.stderr.splitlines())) == (2, "", 1), ended.stderr
        assert reason in ended.stderr
        assert "site.yaml" in ended.stderr


def test_a_site_file_that_is_a_folder_is_one_line(finished: Toy, tmp_path: Path) -> None:
    (tmp_path / ".config" / "seedfold" / "site.yaml").mkdir(parents=True)
    ended = finished.run_in_process("status", "toy", HOME=str(tmp_path))
    assert (ended.returncode, len(ended.stderr.splitlines())) == (2, 1)
    assert "site.yaml: cannot be read" in ended.stderr


ROOTS = {
    "file": "is a file; name a folder",
    "file/below": "file is a file; name a folder",
    "file/below/deep": "file is a file; name a folder",
    "gone": "is a link to nothing",
    "gone/below": "is a link to nothing",
    "loop/below": "cannot be a folder",
    "x" * 300: "cannot be a folder",
    "~no_such_user/x": "cannot be a folder",
}


@pytest.mark.parametrize("root", ROOTS)
def test_a_root_that_can_be_no_folder_is_one_line(root: str, finished: Toy, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "gone").symlink_to("nowhere")
    (tmp_path / "loop").symlink_to("loop")
    path = root if root.startswith("~") else str(tmp_path / root)
    for arguments in (("status", "toy"), ("launch", *PLAN[1:]), ("doctor",)):
        ended = finished.run_in_process(*arguments, SEEDFOLD_ROOT=path)
        assert (ended.returncode, ended.stdout, len(ended.stderr.splitlines())) == (2, "", 1), ended.stderr
        assert ended.stderr.startswith("seedfold: SEEDFOLD_ROOT ")
        assert ROOTS[root] in ended.stderr
