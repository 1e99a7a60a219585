"""What is wrong in a study is one line that names the place and, for a misspelt name, the nearest."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from seedfold.jobs.errors import UsageError, count_noun
from seedfold.jobs.study import load_study

STAGES = {"stages": {"one": {"matrix": {"seed": [0, 1]}}, "two": {"matrix": {"fold": [0]}, "after": "one"}}}
WEIGHTS = {"scheme": "odd", "ratio": 1, "classes": 2}
MATRIX = {"matrix": {"seed": [0, 1], "fold": [0, 1]}}


def stage(**keys: Any) -> dict[str, Any]:
    return {"stages": {"one": {"matrix": {"seed": [0, 1]}}, "two": keys}}


def fails(tree: Any, content: dict[str, Any], *overrides: str, **options: Any) -> str:
    with pytest.raises(UsageError) as caught:
        tree.jobs(content, *overrides, **options)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 500
    return message


def test_what_is_counted_is_one_or_several() -> None:
    assert [count_noun(count, "job") for count in (0, 1, 2)] == ["0 jobs", "1 job", "2 jobs"]
    assert [count_noun(count, "job waits", "jobs wait") for count in (1, 12)] == ["1 job waits", "12 jobs wait"]


@pytest.mark.parametrize(
    ("content", "pattern"),
    [
        ({"matrix": {"sead": [1]}}, r"stage train: sead: no such key .*'seed'.*\+sead"),
        ({"matrix": {"optimizer.rate": [1]}}, r"optimizer.rate: no such key"),
        ({"matrix": {"+seed": [1, 2]}}, r"seed"),
        ({"matrix": {"seed": []}}, r"matrix.seed: the axis has no values"),
        ({"matrix": {"seed": "range(3,0)"}}, r"matrix.seed: the axis has no values"),
        ({"matrix": {"seed": "interval(0,1)"}}, r"matrix.seed.*cannot be listed"),
        ({"matrix": {"seed": "[1,"}}, r"matrix.seed=\[1,"),
        ({"matrix": {"optimizer": {"lr": [1]}}}, r"matrix.optimizer: an axis cannot be a mapping.*optimizer.NAME"),
        ({"matrix": {"seed": [1, 1]}}, r"matrix.seed: the point seed=1 occurs twice"),
        ({"matrix": {"seed": [1]}, "zip": {"seed": [2]}}, r"the axis seed is given in two places"),
        ({"zip": {"seed": [1, 2], "fold": [1]}}, r"zip: .*seed has 2, fold has 1"),
        ({"zip": {"seed": [1, 1], "fold": [2, 2]}}, r"zip: the point seed=1, fold=2 occurs twice"),
        ({"matrix": {"model": ["smal"]}}, r"model=smal: no such model.*'small'.*known: large, small"),
        ({"matrix": {"experiment": ["a"]}}, r"experiment"),
        ({"matrix": {"size": ["tiny"]}}, r"matrix.size"),
        ({"matrix": {"resources.cpus": [1, 2]}}, r"matrix.resources.cpus"),
        ({"matrix": {"split": [1]}}, r"matrix.split: result tables already have a column split"),
        ({"matrix": {"+logit_3": [1]}}, r"matrix.\+logit_3"),
        ({"matrix": {"paths.data": ["a", "b"]}}, r"paths.data.*identity.volatile"),
        ({"matrix": [1]}, r"matrix: \[1\] is not a mapping"),
        ({**MATRIX, "exclude": {"sead": 1}}, r"exclude: no axis sead.*'seed'"),
        ({**MATRIX, "exclude": "sead=1"}, r"exclude: no axis sead.*'seed'"),
        ({**MATRIX, "only": "seed"}, r"only: 'seed': expected a condition"),
        ({**MATRIX, "only": [3]}, r"only: 3 is not a condition"),
        ({**MATRIX, "only": {"seed": 9}}, r"remove every point"),
        ({**MATRIX, "exclude": {"seed": [0, 1]}}, r"remove every point"),
        ({**MATRIX, **STAGES}, r"matrix: a study has either stages or matrix"),
        ({"stages": [1]}, r"stages"),
        (stage(matrx={"seed": [1]}), r"stages.two.matrx: unknown key.*'matrix'"),
        ({"stages": {"two": 5}}, r"stages.two: not a mapping"),
        (stage(after="ome"), r"stage two: after: no stage ome.*'one'.*stages: one, two"),
        (stage(after={"one": {"sead": 1}}), r"after.one: no axis sead.*'seed'"),
        (stage(after={"one": {"seed": 7}}), r"stage two: its only point: no parent in stage one"),
        (stage(matrix={"seed": [1, 5]}, after="one"), r"stage two: seed=5: no parent in stage one"),
        ({"stages": {"a": {"after": "b"}, "b": {"after": "c"}, "c": {"after": "a"}}}, r"after .* after .*circle"),
        ({"stages": {"a": {"after": "a"}}}, r"circle"),
        (
            {"matrix": {"fold": "range(0,4)"}, "task": {"folds": {"k": 3}}},
            r"stage train: fold=3: fold: 3 is not one of the folds of task.folds.k=3, which are 0 to 2; choose",
        ),
        ({"fold": -1, "task": {"folds": {"k": 1}}}, r"its only point: fold: -1 is not one of .*k=1, which are 0;"),
        ({"run": None}, r"stage train: run is missing"),
        ({"resources": {"memory": "4"}}, r"stage train: resources.memory: '4' is not an amount"),
        ({"resources": {"cpu": 4}}, r"resources.cpu: unknown key.*'cpus'"),
        ({"table": "none.csv"}, r"table none.csv: no such file"),
        ({"table": {"rows": [1]}}, r"table: does not name a file"),
        ({"table": {"file": "t.csv", "row": 1}}, r"table.row: unknown key.*'rows'"),
        ({"table": {"file": "t.csv", "columns": {"sed": "seed"}}}, r"t.csv: no column sed.*'seed'"),
        ({"table": {"file": "t.csv", "rows": [2]}}, r"t.csv: no row 2.*0 to 1"),
        ({"table": {"file": "t.csv", "rows": [-3]}}, r"t.csv: no row -3"),
        ({"table": {"file": "t.csv", "rows": [0, 0]}}, r"t.csv: the point seed=1.* occurs twice"),
        ({"table": "ragged.csv"}, r"ragged.csv, line 3: 1 cells, the header has 2"),
        ({"table": "empty.csv"}, r"empty.csv: the table has no rows"),
        ({"table": "several.csv"}, r"several.csv, line 2, seed: '1,2' is more than one value"),
        ({"table": "binary.csv"}, r"binary.csv: is not a readable CSV"),
        ({"derive": {"loss.w": {"_target_": "nowhere.f"}}}, r"loss.w: cannot import nowhere.f \(no module nowhere\)"),
        ({"derive": {"loss.w": {"x": 1}}}, r"derive.loss.w: does not name a function"),
        (
            {"derive": {"loss.w": {"_target_": "marked_functions.root"}}, **MATRIX},
            r"w at seed=0, fold=0: marked_functions.root raised TypeError: ",
        ),
        (
            {"derive": {"loss.w": {"_target_": "seedfold.jobs.imbalance.class_weights", **WEIGHTS}}},
            r"w at its only point: seedfold.jobs.imbalance.class_weights: loss.weighting: 'odd' is not a way",
        ),
        (
            {"derive": {"loss.w": {"_target_": "marked_functions.rot"}}},
            r"marked_functions has no rot \(did you mean 'root'\?\)\)",
        ),
        ({"derive": {"loss.w": {"_target_": "marked_functions..root"}}}, r"cannot import marked_functions..root \("),
        (
            {"derive": {"loss.w": {"_target_": "marked_functions.__doc__"}}},
            r"derive.loss.w: marked_functions.__doc__ is not a function; give the name of one",
        ),
        ({"derive": {"loss.w": {"_target_": "marked_functions.thing"}}}, r"derive.loss.w.*object is not a JSON value"),
        ({"derive": {"loss.w": {"_target_": "marked_functions.json_text", "obj": "${nope}"}}}, r"derive.loss.w.*nope"),
        (
            {"derive": {"loss.w": {"_target_": "marked_functions.json_text", "obj": "${result:a,b}"}}},
            r"obj is not known before the job starts",
        ),
        (
            {"derive": {"seed": {"_target_": "marked_functions.json_text", "obj": 1}}, **MATRIX},
            r"derive.seed: seed is set as well",
        ),
        (
            {"derive": {"matrix.a": {"_target_": "marked_functions.json_text", "obj": 1}}},
            r"derive.matrix.a: matrix describes the study",
        ),
        (
            {
                "derive": {
                    "a": {"_target_": "marked_functions.json_text", "obj": "${b}"},
                    "b": {"_target_": "marked_functions.json_text", "obj": "${a}"},
                }
            },
            r"derive: a, b depend on each other",
        ),
        ({"need": "???"}, r"need: stage train needs a value that is missing; give need=VALUE"),
        ({"need": "???", "use": "x${need}"}, r"need"),
        ({"lost": "${nowhere}"}, r"lost: .*nowhere"),
        ({"lost": "${seed}${nowhere}", **MATRIX}, r"lost: .*nowhere"),
        ({"bad": "${oops"}, r"bad|oops"),
        ({"ints": {1: 2}}, r"ints: the key 1 is not a string"),
        ({"identity": {"volatil": []}}, r"identity.volatil: unknown key"),
        ({"hydra": {"sweeper": {"params": {"seed": "1,2"}}}, **MATRIX}, r"the axis seed is given in two places"),
    ],
)
def test_a_wrong_study(tree: Any, content: dict[str, Any], pattern: str) -> None:
    for name, text in TABLES.items():
        tree.write(name, text)
    (tree.folder / "binary.csv").write_bytes(b"seed\n\xff\xfe\n")
    assert re.search(pattern, fails(tree, content)), fails(tree, content)


TABLES = {
    "t.csv": "seed,fold\n1,2\n3,4\n",
    "ragged.csv": "seed,fold\n1,2\n3\n",
    "empty.csv": "seed,fold\n",
    "several.csv": 'seed\n"1,2"\n',
}


@pytest.mark.parametrize(
    ("overrides", "pattern"),
    [
        (["optimizer.rl=1"], r"optimizer.rl: no such key .*'optimizer.lr'"),
        (["optimizer.rl=1,2"], r"optimizer.rl: no such key .*'optimizer.lr'"),
        (["modl=large"], r"modl: no such key .*'model'"),
        (["model=larg"], r"model=larg: no such model.*'large'.*known: large, small"),
        (["model=null"], r"model=null: null is not an option"),
        (["model=larg,small"], r"model=larg: no such model.*'large'"),
        (["experiment=exq"], r"experiment=exq: no such experiment.*'exp'.*known: exp"),
        (["experiment=exp,exp2"], r"experiment has one value per study"),
        (["run=a,b"], r"run has one value per study"),
        (["study=a,b"], r"study has one value per study"),
        (["seed=[1"], r"seed=\[1"),
        (["+seed=3", "+optimizer.lr=3"], r"optimizer.lr"),
        (["~nothing"], r"nothing"),
        (["~matrix.nothing"], r"stage train has no axis nothing"),
        (["stages.trian.matrix.seed=1"], r"no stage trian.*'train'"),
        (["seed=choice()"], r"seed=choice\(\)"),
        (["matrix.sead=1,2"], r"sead: no such key .*'seed'"),
        (["seed=1,1"], r"seed=1,1: the point seed=1 occurs twice"),
        (["split=1,2"], r"split: result tables already have a column split"),
    ],
)
def test_a_wrong_override(tree: Any, overrides: list[str], pattern: str) -> None:
    message = fails(tree, MATRIX, *overrides)
    assert re.search(pattern, message), message


def test_a_sweep_needs_a_stage(tree: Any) -> None:
    assert "stages.STAGE.matrix.optimizer.lr" in fails(tree, STAGES, "optimizer.lr=1,2")
    assert "stages.STAGE.matrix.seed" in fails(tree, STAGES, "matrix.seed=1,2")


def test_a_zip_keeps_its_length(tree: Any) -> None:
    content = {"zip": {"seed": [1, 2], "fold": [1, 2]}}
    assert "seed has 3, fold has 2" in fails(tree, content, "seed=7,8,9")


def test_a_study_needs_a_name(tree: Any) -> None:
    with pytest.raises(UsageError, match="the study has no name"):
        load_study(["seed=1"], primary=f"file://{tree.folder}")


def test_broken_yaml_names_file_and_line(tree: Any) -> None:
    tree.write("experiment/exp.yaml", "a: 1\nb: [1\n")
    with pytest.raises(UsageError, match=r"experiment/exp.yaml, line \d+: .*; correct the YAML") as error:
        tree.load()
    assert "\n" not in str(error.value)


def test_shadowing_files_are_named(tree: Any, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    (mine / "model").mkdir(parents=True)
    (mine / "model/small.yaml").write_text("width: 1\n")
    message = fails(tree, MATRIX, config_dirs=[mine])
    assert str(mine / "model/small.yaml") in message
    assert str(tree.folder / "model/small.yaml") in message


def test_a_folder_that_is_not_there(tree: Any, tmp_path: Path) -> None:
    assert "nowhere: no such configuration folder" in fails(tree, MATRIX, config_dirs=[tmp_path / "nowhere"])


def test_a_missing_value_may_come_from_an_axis_or_a_derivation(tree: Any) -> None:
    content = {
        "need": "???",
        "other": "???",
        "use": "${need}-${other}",
        "matrix": {"need": [1]},
        "derive": {"other": {"_target_": "marked_functions.json_text", "obj": "${need}"}},
    }
    assert tree.jobs(content)[0].config["use"] == "1-1"


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("fold=[0", r"""^fold=\[0: Hydra cannot read this; close .* or put a text in quotes: "fold='\[0'"$"""),
        ("fold=(0", r"""^fold=\(0: Hydra cannot read this; close .* or put a text in quotes: "fold='\(0'"$"""),
        ("run=a#", r"""^run=a#: Hydra cannot read this; .*: "run='a#'"$"""),
        ("run='a", r"^run='a: Hydra cannot read this; close what is open in it$"),
        ("~run=(", r"^~run=\(: Hydra cannot read this; close what is open in it$"),
        ("stages.train.matrix.fold=[0", r"^stages\.train\.matrix\.fold=\[0: Hydra cannot read this"),
        ("fold=range(a,b)", r"^fold=range\(a,b\): 'range\(a,b\)': mismatch"),
        ("fold=rang(1)", r"^fold=rang\(1\): 'rang\(1\)': Unknown function 'rang'; Available: .*range"),
        ("+new='${a'", r"new: this interpolation cannot be read; close its braces and quotes$"),
    ],
)
def test_what_no_parser_can_read_is_told_without_its_tokens(tree: Any, override: str, said: str) -> None:
    assert re.search(said, fails(tree, MATRIX, override))


@pytest.mark.parametrize("text", ["${nope}", "${.new}", "${fold}-${new}"])
def test_an_error_that_is_its_own_cause_is_one_line(tree: Any, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("OC_CAUSE", "1")
    assert re.search(r"^new: .*(not found|Recursive interpolation)", fails(tree, MATRIX, f"+new='{text}'"))
