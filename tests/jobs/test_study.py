"""What a study expands to."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from seedfold.jobs.axis_values import parse_cell, parse_simple_value
from seedfold.jobs.compose import Composer
from seedfold.jobs.errors import UsageError
from seedfold.jobs.study import load_study

Content = dict[str, Any]


def test_axes_are_crossed_in_the_order_written(tree: Any, axes_of: Any) -> None:
    jobs = tree.jobs({"matrix": {"seed": [3, 1], "optimizer.lr": "0.1,0.01", "model": "small"}})
    assert axes_of(jobs) == [
        {"seed": seed, "optimizer.lr": lr, "model": "small"} for seed in (3, 1) for lr in (0.1, 0.01)
    ]
    assert [(job.config["seed"], job.config["optimizer"]["lr"]) for job in jobs] == [
        (3, 0.1),
        (3, 0.01),
        (1, 0.1),
        (1, 0.01),
    ]
    assert len({job.id for job in jobs}) == 4
    assert {job.study for job in jobs} == {"exp"}
    assert {job.stage for job in jobs} == {"train"}


@pytest.mark.parametrize(
    ("given_values", "expected"),
    [
        ([1, 2], [1, 2]),
        (5, [5]),
        ([None], [None]),
        ("range(0,3)", [0, 1, 2]),
        ("choice(a,b)", ["a", "b"]),
        ("1,2.0,x,'y z',null,true", [1, 2.0, "x", "y z", None, True]),
        ("plain", ["plain"]),
        (["range(0,3)"], ["range(0,3)"]),
        ("[1,2],[3]", [[1, 2], [3]]),
        ([{"a": 1}], [{"a": 1}]),
        ("${loss.smoothing}", [0.1]),
    ],
)
def test_values_of_an_axis(tree: Any, given_values: Any, expected: list[Any]) -> None:
    jobs = tree.jobs({"matrix": {"loss.weighting": given_values}})
    assert [job.axes["loss.weighting"] for job in jobs] == expected
    assert [job.config["loss"]["weighting"] for job in jobs] == expected


def test_a_group_axis_chooses_options(tree: Any) -> None:
    jobs = tree.jobs({"matrix": {"model": "glob(*)", "task": ["digits", "cancer"]}})
    assert [job.axes["model"] for job in jobs] == ["large", "large", "small", "small"]
    assert [job.config["task"]["classes"] for job in jobs] == [10, 2, 10, 2]
    assert "extra" in jobs[0].config["model"]
    assert "extra" not in jobs[2].config["model"]


def test_an_axis_may_live_in_one_option_of_a_group_only(tree: Any) -> None:
    jobs = tree.jobs({"matrix": {"model": ["large"], "model.extra": [True, False]}})
    assert [job.config["model"]["extra"] for job in jobs] == [True, False]


def test_a_group_that_must_be_chosen_may_be_an_axis(tree: Any) -> None:
    base = (tree.folder / "config.yaml").read_text()
    (tree.folder / "config.yaml").write_text(base.replace("- task: null", "- task: ???"))
    jobs = tree.jobs({"matrix": {"task": "digits,cancer", "task.classes": [3, 4]}})
    assert [job.config["task"]["classes"] for job in jobs] == [3, 4, 3, 4]


def test_new_keys_and_parts_of_one_tree(tree: Any) -> None:
    jobs = tree.jobs({"matrix": {"+a.b": [1, 2], "+a.c": [3], "optimizer": [{"lr": 9}], "optimizer.name": ["adam"]}})
    assert [job.config["a"] for job in jobs] == [{"b": 1, "c": 3}, {"b": 2, "c": 3}]
    assert jobs[0].config["optimizer"] == {"lr": 9, "name": "adam"}
    assert jobs[0].axes == {"a.b": 1, "a.c": 3, "optimizer": {"lr": 9}, "optimizer.name": "adam"}


def test_an_axis_without_a_value_is_dropped(tree: Any) -> None:
    """A study file takes out an axis that it inherits, in a matrix and in a zip; ~KEY does so on the command line."""
    content: dict[str, Any] = {"matrix": {"seed": [0, 1], "fold": None}}
    assert [dict(job.axes) for job in tree.jobs(content)] == [{"seed": 0}, {"seed": 1}]
    content = {"zip": [{"fold": None, "optimizer.lr": [0.1, 0.2]}]}
    assert [dict(job.axes) for job in tree.jobs(content)] == [{"optimizer.lr": 0.1}, {"optimizer.lr": 0.2}]
    content = {"matrix": {"seed": [0, 1], "fold": [0, 1, 2]}}
    assert [dict(job.axes) for job in tree.jobs(content, "~matrix.fold")] == [{"seed": 0}, {"seed": 1}]


def test_zips_advance_together_and_cross_with_the_matrix(tree: Any, axes_of: Any) -> None:
    zips = [{"fold": "range(0,2)", "optimizer.lr": [0.1, 0.2]}, {"model.width": [1, 2], "model.depth": [1, 2]}]
    jobs = tree.jobs({"matrix": {"seed": [0]}, "zip": zips})
    assert [tuple(axes.values()) for axes in axes_of(jobs)] == [
        (0, fold, lr, width, width) for fold, lr in ((0, 0.1), (1, 0.2)) for width in (1, 2)
    ]


def test_rows_of_a_table_are_points(tree: Any) -> None:
    tree.write("rows.csv", "lr,fold,note\n0.1,1,a\n1e-3,2,\"'a, b'\"\n\n5,3,\n")
    table = {"file": "rows.csv", "rows": [-1, 1, 0], "columns": {"lr": "optimizer.lr", "note": "+note"}}
    jobs = tree.jobs({"table": table})
    assert [(job.config["optimizer"]["lr"], job.config["note"]) for job in jobs] == [
        (5, ""),
        (0.001, "a, b"),
        (0.1, "a"),
    ]
    everything = tree.jobs({"table": {"file": "rows.csv", "columns": {"lr": "optimizer.lr", "fold": "fold"}}})
    assert [job.config["fold"] for job in everything] == [1, 2, 3]


def test_a_table_is_found_beside_the_study(tree: Any, tmp_path: Path) -> None:
    tree.write("experiment/rows.csv", "seed\n4\n")
    assert [job.config["seed"] for job in tree.jobs({"table": "rows.csv"}, folder=tmp_path)] == [4]
    (tmp_path / "rows.csv").write_text("seed\n5\n")
    assert [job.config["seed"] for job in tree.jobs({"table": "rows.csv"}, folder=tmp_path)] == [5]


@pytest.mark.parametrize(
    ("predicates", "kept"),
    [
        ({"exclude": {"seed": 1}}, [(0, 0), (0, 1), (2, 0), (2, 1)]),
        ({"exclude": {"seed": [0, 1], "fold": 0}}, [(0, 1), (1, 1), (2, 0), (2, 1)]),
        ({"exclude": [{"seed": 0}, "seed=1 fold=0"]}, [(1, 1), (2, 0), (2, 1)]),
        ({"only": {"seed": ">=1", "fold": 1}}, [(1, 1), (2, 1)]),
        ({"only": ["seed=0", "fold=1"], "exclude": "seed=2"}, [(0, 0), (0, 1), (1, 1)]),
        ({"exclude": {"seed": 77}}, [(seed, fold) for seed in range(3) for fold in range(2)]),
    ],
)
def test_exclude_and_only(tree: Any, predicates: Content, kept: list[tuple[int, int]]) -> None:
    study = tree.study({"matrix": {"seed": "range(0,3)", "fold": "range(0,2)"}, **predicates})
    assert [(job.axes["seed"], job.axes["fold"]) for job in study.jobs()] == kept
    assert study.stages[0].count == study.count == len(kept)


def test_derived_values_feed_interpolations_and_each_other(tree: Any) -> None:
    content = {
        "shown": "w=${loss.weights}",
        "matrix": {"loss.weighting": ["none", "ratio"], "task": ["digits", "cancer"], "seed": [0, 1]},
        "derive": {
            "loss.count": {"_target_": "marked_functions.text", "object": "${loss.weights}"},
            "loss.weights": {"_target_": "marked_functions.json_text", "obj": ["${loss.weighting}", "${task.classes}"]},
        },
    }
    jobs = tree.jobs(content)
    assert jobs[0].config["loss"]["weights"] == '["none", 10]'
    assert jobs[-1].config["shown"] == 'w=["ratio", 2]'
    assert jobs[-1].config["loss"]["count"] == '["ratio", 2]'
    assert len({job.id for job in jobs}) == 8


def test_a_derived_value_is_in_the_id_and_its_recipe_is_not(tree: Any) -> None:
    matrix = {"seed": [1]}
    by_hand = tree.jobs({"matrix": matrix, "loss": {"smoothing": "[1, 2]"}})
    derived = tree.jobs(
        {"matrix": matrix, "derive": {"loss.smoothing": {"_target_": "marked_functions.json_text", "obj": [1, 2]}}}
    )
    assert derived[0].id == by_hand[0].id


def test_numpy_results_become_python_values(tree: Any) -> None:
    derive = {"loss.weights": {"_target_": "marked_functions.spread", "start": 0, "stop": 1, "num": 3}}
    (job,) = tree.jobs({"derive": derive})
    assert job.config["loss"]["weights"] == [0.0, 0.5, 1.0]
    assert json.loads(json.dumps(job.to_dict()))["config"]["loss"]["weights"] == [0.0, 0.5, 1.0]


def test_a_study_without_axes_is_one_job(tree: Any) -> None:
    (job,) = tree.jobs({})
    assert job.axes == {}
    assert set(job.config) == {"seed", "fold", "loss", "optimizer", "paths", "loader", "predict", "cluster", "model"}


def test_resources_are_per_job(tree: Any) -> None:
    content = {
        "matrix": {"model": "small,large", "seed": [0, 1]},
        "resources": {"cpus": "${model.depth}", "memory": "${model.width}GB"},
        "threads": "${resources.cpus}",
    }
    jobs = tree.jobs(content)
    assert [(job.resources.cpus, job.resources.memory_bytes >> 30) for job in jobs] == [
        (2, 8),
        (2, 8),
        (4, 64),
        (4, 64),
    ]
    assert [job.config["threads"] for job in jobs] == [2, 2, 4, 4]
    assert "resources" not in jobs[0].config


def test_volatile_settings_change_no_id(tree: Any) -> None:
    content = {"file": "${paths.data}/f", "threads": "${resources.cpus}", "when": "${now:%Y}", "home": "${oc.env:HOME}"}
    study = {**content, "matrix": {"seed": [0, 1]}}
    before = tree.jobs(study)
    after = tree.jobs(
        study, "paths.data=/elsewhere", "resources.memory=9GB", "cluster.executor=x", "loader.num_workers=7"
    )
    assert [job.id for job in after] == [job.id for job in before]
    assert after[0].config["file"] == "/elsewhere/f"
    assert before[0].config["file"] == str(tree.folder / "data/f")
    assert before[0].texts["file"] == "${paths.data}/f"
    assert [job.id for job in tree.jobs(study, "study=other")] == [job.id for job in before]
    assert tree.jobs(study, "optimizer.lr=0.2")[0].id != before[0].id


def test_a_value_that_is_new_at_every_call_is_refused(tree: Any) -> None:
    OmegaConf.register_new_resolver("draw", random.random)
    try:
        with pytest.raises(UsageError, match=r"^name: \$\{draw:…\} gives another value at every call"):
            tree.jobs({"name": "run-${draw:}", "matrix": {"seed": [0, 1]}})
        assert len(tree.jobs({"resources": {"extra": {"comment": "${draw:}"}}, "matrix": {"seed": [0, 1]}})) == 2
    finally:
        OmegaConf.clear_resolver("draw")


def test_prediction_settings_keep_the_fit(tree: Any) -> None:
    once, often = tree.jobs({"matrix": {"predict.tta": [1, 5]}})
    assert once.id != often.id
    assert once.fit == often.fit


def test_paths_become_absolute(tree: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCANS", "scans")
    content = {"paths": {"more": {"scans": "${oc.env:SCANS}", "per_seed": "out/${seed}", "home": "~/x", "none": None}}}
    (job,) = tree.jobs(content, folder=tmp_path)
    paths = job.config["paths"]
    assert paths["data"] == str(tmp_path / "data")
    assert paths["images"] == str(tmp_path / "data/images")
    assert paths["shipped"] == "pkg://sklearn.datasets/data"
    assert paths["more"]["scans"] == str(tmp_path / "scans")
    assert paths["more"]["per_seed"] == str(tmp_path / "out/0")
    assert paths["more"]["home"] == str(Path.home() / "x")
    assert paths["more"]["none"] is None
    assert tree.load(folder=tmp_path).settings["paths"]["data"] == str(tmp_path / "data")


def test_settings_hold_for_the_whole_study(tree: Any) -> None:
    study = tree.study({"matrix": {"seed": [0]}}, "cluster.executor=slurm")
    assert study.settings["cluster"] == {"executor": "slurm"}
    assert study.settings["identity"]["predict"] == ["predict.**"]
    assert json.loads(json.dumps(dict(study.settings))) == study.settings


def test_late_references_stay_text(tree: Any) -> None:
    content = {"matrix": {"seed": [0, 1]}, "w": "${result:estimate,weights.${seed}}", "copy": "a ${w}"}
    jobs = tree.jobs(content)
    assert [job.config["w"] for job in jobs] == ["${result:estimate,weights.0}", "${result:estimate,weights.1}"]
    assert jobs[1].config["copy"] == "a ${result:estimate,weights.1}"
    axis = tree.jobs({"matrix": {"loss.smoothing": ["${result:estimate,w}"]}})[0]
    assert axis.config["loss"]["smoothing"] == axis.axes["loss.smoothing"] == "${result:estimate,w}"


def test_stages_follow_the_axes_they_share(tree: Any) -> None:
    content = {
        "stages": {
            "analyse": {"run": "a.b", "after": ["train", "split"]},
            "train": {"matrix": {"seed": "range(0,3)", "fold": "range(0,2)"}, "after": "split"},
            "split": {"run": "c.d", "matrix": {"fold": "range(0,2)"}, "resources": {"cpus": 3}},
            "again": {"matrix": {"fold": [0, 1], "seed": [9]}, "after": {"train": {"seed": [1, 2]}}},
            "late": {"matrix": {"seed": [0]}, "after": {"train": "fold=1", "split": None}},
        }
    }
    study = tree.study(content)
    assert study.stages[0].name == "split"
    jobs: dict[str, list[Any]] = {}
    for job in study.jobs():
        assert all(any(parent == known.id for group in jobs.values() for known in group) for parent in job.parents)
        jobs.setdefault(job.stage, []).append(job)
    split = {job.axes["fold"]: job.id for job in jobs["split"]}
    train = {(job.axes["seed"], job.axes["fold"]): job for job in jobs["train"]}
    assert all(job.parents == (split[fold],) for (_, fold), job in train.items())
    assert jobs["analyse"][0].parents == (*(job.id for job in jobs["train"]), *split.values())
    assert [set(job.parents) for job in jobs["again"]] == [{train[1, fold].id, train[2, fold].id} for fold in (0, 1)]
    assert jobs["late"][0].parents == (train[0, 1].id, *split.values())
    assert [job.run for group in ("split", "train", "analyse") for job in jobs[group][:1]] == [
        "c.d",
        "package.module.run",
        "a.b",
    ]
    assert jobs["split"][0].resources.cpus == 3
    assert jobs["train"][0].resources.cpus == 1


def test_children_share_their_parents_tuple_and_depend_on_it(tree: Any) -> None:
    content = {"stages": {"one": {"matrix": {"seed": [0, 1]}}, "two": {"matrix": {"fold": [0, 1, 2]}, "after": "one"}}}
    jobs = [job for job in tree.jobs(content) if job.stage == "two"]
    assert len({id(job.parents) for job in jobs}) == 1
    changed = [job for job in tree.jobs(content, "stages.one.matrix.seed=0,2") if job.stage == "two"]
    assert {job.id for job in jobs}.isdisjoint(job.id for job in changed)


def test_equal_points_of_two_stages_are_one_job(tree: Any) -> None:
    content = {"stages": {"one": {"matrix": {"seed": [0, 1]}}, "two": {"matrix": {"seed": [1, 2]}}}}
    first, second = [[job.id for job in tree.jobs(content) if job.stage == stage] for stage in ("one", "two")]
    assert first[1] == second[0]


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["seed=5"], [(5, 0), (5, 1)]),
        (["seed=5,6"], [(seed, fold) for seed in (5, 6) for fold in (0, 1)]),
        (["matrix.seed=7"], [(7, 0), (7, 1)]),
        (["stages.train.matrix.seed=7", "fold=range(3,5)"], [(7, 3), (7, 4)]),
        (["~matrix.seed"], [(0, 0), (0, 1)]),
        (["~matrix.seed", "seed=4"], [(4, 0), (4, 1)]),
        (["loss.smoothing=0.5"], [(0, 0), (0, 1), (1, 0), (1, 1)]),
        (["matrix={seed:[8]}", "~matrix.fold"], [(0, 0), (1, 0), (8, 0)][2:]),
    ],
)
def test_overrides_of_axes(tree: Any, overrides: list[str], expected: list[tuple[int, int]]) -> None:
    jobs = tree.jobs({"matrix": {"seed": [0, 1], "fold": [0, 1]}}, *overrides)
    if overrides[0].startswith("matrix={"):
        assert {job.config["seed"] for job in jobs} == {8}
        return
    assert [(job.config["seed"], job.config["fold"]) for job in jobs] == expected


def test_a_sweep_on_the_command_line_adds_an_axis(tree: Any) -> None:
    content = {"matrix": {"seed": [0, 1]}}
    jobs = tree.jobs(content, "model=small,large", "optimizer.lr=0.1,0.2", "+new.key=a,b")
    assert len(jobs) == 16
    assert set(jobs[0].axes) == {"seed", "model", "optimizer.lr", "new.key"}
    assert [job.config["model"]["width"] for job in tree.jobs(content, "model=large")] == [64, 64]
    assert len(tree.jobs({}, "seed=range(0,4)")) == 4
    added = tree.jobs(content, "+matrix.optimizer.lr=0.5,0.6")
    assert [job.config["optimizer"]["lr"] for job in added] == [0.5, 0.6, 0.5, 0.6]


def test_a_group_axis_is_replaced_by_one_option(tree: Any) -> None:
    jobs = tree.jobs({"matrix": {"model": ["small", "large"], "seed": [0]}}, "model=large")
    assert [(job.axes["model"], job.config["model"]["width"]) for job in jobs] == [("large", 64)]


def test_values_on_the_command_line_choose_rows_of_a_zip(tree: Any) -> None:
    content = {"zip": {"fold": [0, 1, 2], "optimizer.lr": [0.1, 0.2, 0.3]}}
    assert [job.config["optimizer"]["lr"] for job in tree.jobs(content, "fold=2,0")] == [0.3, 0.1]
    assert [job.config["optimizer"]["lr"] for job in tree.jobs(content, "optimizer.lr=7,8,9")] == [7, 8, 9]


def test_an_override_goes_to_every_stage_with_the_axis(tree: Any) -> None:
    content = {
        "stages": {"a": {"matrix": {"seed": [0, 1]}}, "b": {"matrix": {"seed": [2]}}, "c": {"matrix": {"fold": [0]}}}
    }
    counts = {stage.name: stage.count for stage in tree.study(content, "seed=5,6,7").stages}
    assert counts == {"a": 3, "b": 3, "c": 1}
    only_a = {stage.name: stage.count for stage in tree.study(content, "stages.a.matrix.seed=5,6,7").stages}
    assert only_a == {"a": 3, "b": 1, "c": 1}


def test_axes_where_hydra_users_put_them(tree: Any) -> None:
    jobs = tree.jobs({"hydra": {"sweeper": {"params": {"seed": "1,2", "model": "small,large"}}}})
    assert [(job.axes["seed"], job.axes["model"]) for job in jobs] == [
        (1, "small"),
        (1, "large"),
        (2, "small"),
        (2, "large"),
    ]


def test_folders_of_the_user_lie_beside_ours(tree: Any, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    (mine / "experiment").mkdir(parents=True)
    (mine / "model").mkdir()
    (mine / "model/huge.yaml").write_text("width: 1000\n")
    (mine / "experiment/own.yaml").write_text("# @package _global_\nmatrix: {model: 'small,huge'}\n")
    jobs = list(tree.load("experiment=own", config_dirs=[mine]).jobs())
    assert [job.config["model"]["width"] for job in jobs] == [8, 1000]
    assert jobs[0].study == "own"


def test_the_shipped_tree_composes() -> None:
    study = load_study(["experiment=digits"])
    jobs = list(study.jobs())
    assert study.name == "digits"
    assert len(jobs) == study.count == len({job.id for job in jobs})


@given(
    st.from_regex(
        r"[+-]?[0-9]{1,4}(\.[0-9]{1,3})?(e[+-]?[0-9])?|[A-Za-z_][A-Za-z0-9_]{0,5}|[a-z0-9.+-]{1,4}", fullmatch=True
    )
)
def test_the_shortcut_for_cells_is_hydras_grammar(text: str) -> None:
    simple = parse_simple_value(text)
    if simple is not None:
        parsed = _COMPOSER.parse_overrides([f"key={text}"])[0].value()
        assert (type(parsed), parsed) == (type(simple[0]), simple[0])
        assert parse_cell(_COMPOSER, "cell", text) == parsed


_COMPOSER = Composer()


def test_stage_is_what_it_uses(tree: Any) -> None:
    """A key that a stage does not use is in none of its jobs, and changes none of their ids."""
    stage = {"matrix": {"seed": [0, 1]}, "run": "a.b"}
    content = {"stages": {"cut": {**stage, "uses": ["loss"]}, "whole": stage}, "extra": 1}
    before, after = (tree.jobs({**content, "extra": value}) for value in (1, 2))
    assert [sorted(job.config) for job in before if job.stage == "cut"] == [["cluster", "loss", "paths", "seed"]] * 2
    same = {job.stage for job, other in zip(before, after, strict=True) if job.id == other.id}
    assert same == {"cut"}
    with pytest.raises(UsageError, match=r"stages.cut.uses: los: no such top-level key .did you mean 'loss'"):
        tree.jobs({"stages": {"cut": {**stage, "uses": ["los"]}}})


def test_stage_may_use_a_part_of_a_top_level_key(tree: Any) -> None:
    stage = {"matrix": {"seed": [0]}, "run": "a.b", "uses": ["parts.one"]}
    jobs = [tree.jobs({"stages": {"cut": stage}, "parts": {"one": 1, "two": two}})[0] for two in (2, 3)]
    assert jobs[0].config["parts"] == {"one": 1}
    assert jobs[0].id == jobs[1].id
    with pytest.raises(UsageError, match=r"stages.cut.uses: parts.on: no such key in parts .did you mean 'one'"):
        tree.jobs({"stages": {"cut": {**stage, "uses": ["parts.on"]}}, "parts": {"one": 1}})


def test_a_search_may_stand_inside_the_matrix(tree: Any) -> None:
    search = {"space": {"optimizer.lr": [0.1, 0.01]}, "trials": 2}
    inside = tree.study({"matrix": {"seed": [0, 1], "search": search}})
    beside = tree.study({"matrix": {"seed": [0, 1]}, "search": search})
    assert inside.settings == beside.settings
    assert [job.id for job in inside.jobs()] == [job.id for job in beside.jobs()]
    with pytest.raises(UsageError, match=r"matrix\.search: the study has search at its top as well"):
        tree.study({"matrix": {"search": search}, "search": search})


def test_a_search_inside_a_matrix_is_changed_where_it_stands(tree: Any) -> None:
    search = {"space": {"optimizer.lr": [0.1, 0.01]}, "trials": 2}
    changed = tree.study({"matrix": {"seed": [0], "search": search}}, "search.trials=40", "+search.seed=3")
    assert changed.settings["search"] == {**search, "trials": 40, "seed": 3}
    stages = {"prepare": {"run": "toy.run"}, "fit": {"after": "prepare", "matrix": {"search": search}}}
    changed = tree.study({"stages": stages}, "search.trials=40")
    assert changed.settings["search"] == {**search, "trials": 40, "axes_from": "fit"}
    assert changed.stages_with_key("optimizer.lr", "fit") == ("fit",)


def test_searched_keys_are_axes_of_the_stages_that_read_them_and_of_those_after_them(tree: Any) -> None:
    stages = {
        "survey": {"run": "toy.run", "uses": ["loss"]},
        "prepare": {"run": "toy.run", "uses": ["optimizer.lr"]},
        "fit": {"after": ["survey", "prepare"]},
        "judge": {"run": "toy.run", "after": "fit", "uses": ["loss"]},
    }
    study = tree.study({"stages": stages})
    assert study.stages_with_key("optimizer.lr") == ("prepare", "fit", "judge")
    assert study.stages_with_key("optimizer") == ("prepare", "fit", "judge")
    assert study.stages_with_key("loss.smoothing") == ("survey", "fit", "judge")
    assert study.stages_with_key("loss.smoothing", "fit") == ("fit", "judge")
    with pytest.raises(UsageError, match=r"search\.space\.model: no stage reads this key"):
        tree.study({"stages": {"survey": stages["survey"]}}).stages_with_key("model")
    with pytest.raises(UsageError, match=r"search\.axes_from: no stage fits \(did you mean 'fit'\?\)"):
        study.stages_with_key("optimizer.lr", "fits")
