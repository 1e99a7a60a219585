"""Whatever a person types as an override, it makes a study, or an error of one line that can be printed.

``CORPUS`` keeps overrides that were once mistaken.
"""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from seedfold.jobs.axis_values import parse_simple_value
from seedfold.jobs.conditions import Where
from seedfold.jobs.errors import UsageError

CORPUS = [
    "",
    "=",
    "~",
    "+",
    "++",
    "=1",
    "~=",
    "seed",
    "seed=",
    "seed==",
    "seed=[",
    "seed=\0",
    "seed=${",
    "seed=${nothing}",
    "seed=${seed}",
    "seed=range(",
    "seed=range(0,1e9)",
    "seed=range(0,0)",
    "seed=range(0,5,0)",
    "seed=range(5,0,-1)",
    "seed=range(0,1e400)",
    "seed=interval(0,1)",
    "seed=glob(*)",
    "seed=choice()",
    "seed=sort(3,2,1)",
    "seed=shuffle(1,2)",
    "seed=tag(a,1,2)",
    "seed=int(x)",
    "seed=9" + "9" * 5000,
    "seed=1e999",
    "seed=nan,nan",
    "seed='" + "x" * 300 + "'",
    "+x=" + "[" * 300 + "]" * 300,
    "matrix.seed=[]",
    "matrix.=1",
    "matrix..seed=1",
    "stages.train.matrix.=1",
    "stages..matrix.seed=1",
    "~matrix.seed",
    "~matrix.nothing",
    "+matrix.x=[[1,2],[3]]",
    "+derive.x._target_=os.system",
    "+derive.x._target_=.",
    "+derive.x._target_=a..b",
    "+derive.x=5",
    "+zip={seed: 5}",
    "+table=5",
    "+exclude=5",
    "+only={}",
    "+after=nothing",
    "study=\u202e",
    "study=../x",
    "model=nothing",
    "model=null",
    "model=[small]",
    "model@x=small",
    "task=digits,cancer",
    "experiment=nothing",
    "hydra.run.dir=x",
    "==",
    "resources=5",
    "+resources.extra=5",
    "paths=5",
    "cluster=5",
    "+failures=5",
    "+report=5",
    "predict=5",
    "identity.neutral=5",
    "+identity.renames=[1]",
    "resources.cpus=-1",
    "identity=5",
    "identity.volatile=5",
    "loss.weights=${oc.env:HOME}",
    "++loss=5",
    "~loss",
    "loss.weighting={a: {b: [1, {c: d}]}}",
]
parts = st.one_of(
    st.sampled_from(
        [*"=+~,.[]{}()'\"\\$:@/ 019-", "seed", "fold", "matrix", "stages", "loss", "range(", "${", "}", "null"]
    ),
    st.sampled_from(CORPUS[:60]),
    st.text(max_size=4),
)
overrides = st.lists(parts, max_size=6).map("".join)


def check(tree: Any, *typed: str) -> None:
    tree.experiment({"matrix": {"seed": [0, 1], "fold": [0]}})
    try:
        names = [job.id for job in tree.load(*typed).jobs()]
        assert len(names) >= 1
    except UsageError as error:
        message = str(error)
        assert message.strip()
        assert len(message) < 20_000


@pytest.mark.parametrize("override", CORPUS, ids=lambda override: ascii(override)[:40])
def test_odd_overrides_of_before(tree: Any, override: str) -> None:
    check(tree, override)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.lists(overrides, min_size=1, max_size=2))
def test_odd_overrides(tree: Any, typed: list[str]) -> None:
    check(tree, *typed)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=5,
)
STUDY_KEYS = ("matrix", "zip", "table", "exclude", "only", "derive", "after", "stages", "study", "run", "resources")


@pytest.mark.slow
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from(STUDY_KEYS), json_values, max_size=2))
@example({"study": "9" * 200})
@example({"matrix": {"seed": {"a": 1}}})
@example({"stages": {"": {}}})
@example({"stages": {"a": None}})
@example({"derive": {"x": {"_target_": 5}}})
@example({"derive": {"": {"_target_": "a.b"}}})
@example({"zip": [[1]]})
@example({"exclude": [None]})
def test_odd_study_files(tree: Any, content: dict[str, Any]) -> None:
    text = yaml.safe_dump(content, sort_keys=False)
    tree.write("experiment/exp.yaml", f"# @package _global_\n{text}")
    try:
        assert len([job.id for job in tree.load().jobs()]) >= 1
    except UsageError as error:
        message = str(error)
        assert message.strip()


@given(st.text(max_size=30) | st.lists(parts, max_size=6).map("".join))
@example("seed=")
@example("seed=1,")
@example("seed<=>1")
@example("\0=1")
def test_odd_conditions(text: str) -> None:
    try:
        assert Where.parse(text).terms is not None
    except UsageError as error:
        message = str(error)
        assert message.strip()


@given(st.text(max_size=12))
@example("1" * 5000)
def test_odd_cells_of_tables(text: str) -> None:
    found = parse_simple_value(text)
    assert found is None or len(found) == 1
