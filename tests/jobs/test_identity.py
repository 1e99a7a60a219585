from __future__ import annotations

import copy
import hashlib
import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seedfold.jobs.canonical import canonical_flat, canonical_json
from seedfold.jobs.errors import UsageError
from seedfold.jobs.identity import SCHEMA, Identity, compute_ids

names = st.sampled_from(["a", "b", "lr", "model", "num_workers", "_target_", "paths", "predict"])
leaves = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5)
)
trees = st.recursive(leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=4))
configs = st.dictionaries(names, trees, max_size=5)

SETTINGS = Identity(volatile=("paths.**", "**.num_workers", "size"), predict=("predict.**",))


def job_id(config: dict[str, Any], identity: Identity = SETTINGS, **options: Any) -> str:
    return compute_ids(options.get("run", "run"), config, options.get("parents", ()), identity, options.get("texts"))[0]


def test_the_id_is_the_digest_of_canonical_json() -> None:
    text = '{"config":{"a":1,"b":{"c":0.001}},"parents":["p1","p2"],"run":"run","schema":' + f"{SCHEMA}}}"
    found = job_id({"b": {"c": 1e-3}, "a": 1}, parents=("p2", "p1"))
    assert found == hashlib.sha256(text.encode()).hexdigest()


def test_ids_never_change() -> None:
    config = {"seed": 3, "optimizer": {"lr": 1e-3, "_target_": "torch.optim.Adam"}, "names": ["ä", None, True, -0.0]}
    found = compute_ids("package.run", config, ["ff00"], SETTINGS)
    assert found[0] == "2cee9756ac0d02da0d86fdac530e0d2505059c1703327bf5d04adeee846389d3"


@settings(max_examples=40, deadline=None)
@given(trees)
def test_canonical_json_reads_back(value: Any) -> None:
    back = json.loads(canonical_json(value))
    assert canonical_json(back) == canonical_json(value)
    assert back == value


@given(
    st.dictionaries(
        names | st.text(max_size=2) | st.just("%s"), leaves | st.floats() | st.sampled_from([0, 0.0, -0.0, False, [1]])
    )
)
def test_flat_mappings_have_the_same_text(values: dict[str, Any]) -> None:
    assert canonical_flat(values) == canonical_json(values)


@settings(max_examples=40, deadline=None)
@given(configs)
def test_key_order_makes_no_difference(config: dict[str, Any]) -> None:
    assert job_id(_reversed(config)) == job_id(config)


def _reversed(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _reversed(item) for key, item in reversed(value.items())}
    return [_reversed(item) for item in value] if isinstance(value, list) else value


@settings(max_examples=40, deadline=None)
@given(configs, trees, st.integers(0, 64))
def test_volatile_keys_make_no_difference(config: dict[str, Any], place: Any, workers: int) -> None:
    changed = {**config, "paths": place, "size": "tiny"}
    changed["loader"] = {"num_workers": workers}
    assert job_id(changed) == job_id(config)


@settings(max_examples=40, deadline=None)
@given(configs, st.lists(names, min_size=1, max_size=3), leaves)
def test_any_other_change_makes_another_id(config: dict[str, Any], path: list[str], value: Any) -> None:
    changed = copy.deepcopy(config)
    node = changed
    for part in path[:-1]:
        if not isinstance(node.get(part), dict):
            node[part] = {}
        node = node[part]
    node[path[-1]] = value
    counted = [SETTINGS.document(one, SETTINGS.volatile_patterns) for one in (config, changed)]
    assert (job_id(changed) == job_id(config)) == (repr(_sorted(counted[0])) == repr(_sorted(counted[1])))
    if path[0] != "paths" and "num_workers" not in path and "size" not in path:
        existed = _get(config, path)
        same = existed is not None and type(existed[0]) is type(value) and existed[0] == value
        assert (job_id(changed) == job_id(config)) == same


def _sorted(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value)}
    return [_sorted(item) for item in value] if isinstance(value, list) else value


def _get(config: Any, path: list[str]) -> tuple[Any] | None:
    for part in path:
        if not isinstance(config, dict) or part not in config:
            return None
        config = config[part]
    return (config,)


@pytest.mark.parametrize(
    ("left", "right", "equal"),
    [
        (1e-3, 0.001, True),
        (-0.0, 0.0, True),
        (1, 1.0, False),
        (1, True, False),
        ("1", 1, False),
        (None, "null", False),
        ([1, 2], [2, 1], False),
        ({}, None, False),
        (math.inf, "inf", True),
        (math.nan, math.nan, True),
        (1e22, 10**22, False),
    ],
)
def test_which_values_are_the_same(left: Any, right: Any, equal: bool) -> None:
    assert (job_id({"x": left}) == job_id({"x": right})) is equal


def test_numbers_that_are_not_finite_are_text() -> None:
    assert canonical_json([math.inf, -math.inf, math.nan]) == '["inf","-inf","nan"]'


@pytest.mark.parametrize("value", [{1: 2}, {"a": {None: 1}}, [{True: 1}], {"a": {1, 2}}, {"a": b"x"}, {"a": object()}])
def test_what_json_does_not_have_is_refused(value: Any) -> None:
    with pytest.raises(UsageError):
        canonical_json(value)
    with pytest.raises(UsageError):
        job_id({"top": value})


def test_run_and_parents_count() -> None:
    base = job_id({"a": 1})
    assert job_id({"a": 1}, run="other") != base
    assert job_id({"a": 1}, parents=("p",)) != base
    assert job_id({"a": 1}, parents=("p", "q")) == job_id({"a": 1}, parents=("q", "p"))


def test_fit_leaves_out_what_only_influences_predictions() -> None:
    once, often = (compute_ids("run", {"a": 1, "predict": {"tta": tta}}, (), SETTINGS) for tta in (1, 5))
    assert once[0] != often[0]
    assert once[1] == often[1]
    other = compute_ids("run", {"a": 2, "predict": {"tta": 1}}, (), SETTINGS)
    assert other[1] != once[1]
    assert len(set(compute_ids("run", {"a": 1}, (), SETTINGS))) == 1


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(configs)
def test_a_key_added_later_at_its_neutral_value_keeps_the_id(config: dict[str, Any]) -> None:
    later = Identity(SETTINGS.volatile, SETTINGS.predict, neutral={"ema.decay": None, "mix": {"alpha": 0.0}})
    grown = {**config, "ema": {"decay": None}, "mix": {"alpha": 0.0}}
    assert job_id(grown, later) == job_id(config)
    assert job_id({**grown, "ema": {"decay": 0.9}}, later) != job_id(config)
    assert job_id({**grown, "mix": {"alpha": 0}}, later) != job_id(config)


def test_renamed_keys_and_targets_keep_the_id() -> None:
    old = {"optim": {"lr": 0.1, "_target_": "package.old.Adam"}, "net": {"width": 3}, "keep": 1}
    new = {"optimizer": {"rate": 0.1, "_target_": "package.new.Adam"}, "model": {"net": {"width": 3}}, "keep": 1}
    renames = {"optim": "optimizer", "optimizer.lr": "optimizer.rate", "net": "model.net", "package.old": "package.new"}
    assert job_id(new, Identity(renames=renames)) == job_id(old, Identity())
    assert job_id(old, Identity(renames=renames)) == job_id(old, Identity())
    assert job_id(new, Identity(renames=renames), run="package.new.run") == job_id(
        old, Identity(), run="package.old.run"
    )
    changed = {**new, "optimizer": {**new["optimizer"], "rate": 0.2}}
    assert job_id(changed, Identity(renames=renames)) != job_id(old, Identity())


def test_renames_reach_into_hashed_texts() -> None:
    old = job_id({"file": "/x/f", "n": 1}, Identity(("paths.**",)), texts={"file": "${paths.data}/f"})
    renamed = Identity(("paths.**",), renames={"paths.data": "paths.root"})
    assert job_id({"file": "/y/f", "n": 1}, renamed, texts={"file": "${paths.root}/f"}) == old


def test_texts_are_hashed_instead_of_values() -> None:
    here = job_id(
        {"file": "/here/f", "list": [{"p": "/here"}]}, texts={"file": "${paths.d}/f", "list.0.p": "${paths.d}"}
    )
    there = job_id({"file": "/t/f", "list": [{"p": "/t"}]}, texts={"file": "${paths.d}/f", "list.0.p": "${paths.d}"})
    assert here == there
    assert job_id({"file": "/here/f", "list": [{"p": "/here"}]}) != here


def test_unknown_settings_are_refused() -> None:
    with pytest.raises(UsageError, match=r"identity.volatil: unknown key.*volatile"):
        Identity.from_config({"volatil": []})


def test_patterns_match_components() -> None:
    patterns = Identity(volatile=("paths.**", "**.num_workers", "log*", "a.*.c")).volatile_patterns
    for path in ("paths", "paths.data.x", "num_workers", "data.0.num_workers", "logger", "a.b.c"):
        assert patterns.matches(tuple(path.split("."))), path
    for path in ("path", "xpaths", "num_workers.x", "mynum_workers", "logger.name", "a.b.b.c", "a.c"):
        assert not patterns.matches(tuple(path.split("."))), path
    assert patterns.covers(("logger", "name"))
