"""A point's configuration is what Hydra composes for it: checked against Hydra over random trees and overrides."""

from __future__ import annotations

import itertools
import json
import math
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from hydra import compose, initialize_config_dir
from hydra.errors import HydraException
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from seedfold.jobs.axis_values import _quote_texts
from seedfold.jobs.errors import UsageError
from seedfold.jobs.identity import compute_ids
from seedfold.jobs.study import load_study
from seedfold.jobs.study_keys import STUDY_CONVENTIONS

LEAVES = ("a", "b", "m.x", "m.y", "m.n.z", "m.n.w", "g.k", "g.deep.v", "l", "o.p")
NEW = ("extra", "m.added", "q.r.s", "g.more")

numbers = st.integers(-3, 3) | st.sampled_from([0.5, 1.0, 1e-3, -0.0, 2.5e10, 1e-7])
texts = st.sampled_from(
    ["", "plain", "1", "null", "two words", "a,b", "it's", 'say "x"', "c:d", "[1]", "true", "ä", "=x"]
)
scalars = numbers | texts | st.none() | st.booleans()
lists = st.lists(scalars, max_size=3)
mappings = st.dictionaries(st.sampled_from(["x", "y", "k", "v", "fresh"]), scalars, max_size=2)
references = st.sampled_from(
    [
        *(f"${{{key}}}" for key in LEAVES),
        "${.pick}", "${..a}", "${..m.x}", "${...b}", "${pick}", "${pick}-", "${m}", "${m.n}", "${g}",
        "${l}", "${l[0]}", "${o}", "pre-${a}", "${a}/${b}", "x ${m.x} y ${g.k}", "\\${a}", "${m[n].z}",
        "${m.${pick}}", "${oc.select:m.nope,7}",
        "${oc.select:m.x}", "${oc.decode:'3'}", "${oc.create:${m.n}}", "${oc.dict.keys:m}", "${twice:${m.x}}",
        "${root_a:}",
    ]
)  # fmt: skip
values = scalars | lists | references | st.lists(scalars | references, max_size=2)


OmegaConf.register_new_resolver("twice", lambda value: f"{value}{value}", replace=True)
OmegaConf.register_new_resolver("root_a", lambda *, _root_: _root_.get("a"), replace=True)


@dataclass
class Case:
    """A random study: a configuration, fixed overrides, and axes."""

    tree: dict[str, Any]
    fixed: list[str] = field(default_factory=list)
    axes: dict[str, list[Any]] = field(default_factory=dict)


def put(tree: dict[str, Any], key: str, value: Any) -> None:
    *parents, last = key.split(".")
    for parent in parents:
        if not isinstance(tree.get(parent), dict):
            tree[parent] = {}
        tree = tree[parent]
    tree[last] = value


def hydra_text(value: Any) -> str:
    from hydra.core.override_parser.types import Override

    return Override._get_value_element_as_str(_quote_texts(value))


@st.composite
def cases(draw: st.DrawFn) -> Case:
    tree: dict[str, Any] = {"pick": draw(st.sampled_from(["x", "y"]))}
    for key in LEAVES:
        put(tree, key, draw(values))
    fixed = draw(st.lists(changes(), max_size=2))
    if draw(st.integers(0, 3)) == 0:
        fixed.append(draw(deletions(tree)))
    # An override of an axis would replace the axis instead of being fixed.
    taken = {override.partition("=")[0].lstrip("+~") for override in fixed}
    free = axis_keys().filter(lambda key: key.lstrip("+") not in taken)
    keys = draw(st.lists(free, min_size=1, max_size=3, unique_by=lambda key: key.lstrip("+")))
    axes = {key: draw(axis_values(key)) for key in keys}
    return Case(tree, fixed, axes)


def changes() -> st.SearchStrategy[str]:
    keys = (
        st.sampled_from(LEAVES) | st.sampled_from([f"+{key}" for key in NEW]) | st.sampled_from([f"++{k}" for k in NEW])
    )
    return st.tuples(keys, scalars | lists | references | mappings).map(lambda pair: f"{pair[0]}={hydra_text(pair[1])}")


def deletions(tree: Mapping[str, Any]) -> st.SearchStrategy[str]:
    plain = st.sampled_from([f"~{key}" for key in LEAVES])
    valued = st.sampled_from([f"~{key}={hydra_text(tree[key])}" for key in ("a", "b", "l") if key in tree])
    return plain | valued


def axis_keys() -> st.SearchStrategy[str]:
    existing = st.sampled_from((*LEAVES, "m", "m.n", "g", "pick"))
    return st.sampled_from(["part", "part"]) | existing | existing | st.sampled_from([f"+{key}" for key in NEW])


def axis_values(key: str) -> st.SearchStrategy[list[Any]]:
    if key == "part":
        return st.lists(st.sampled_from(["one", "two", "three"]), min_size=1, max_size=3, unique=True)
    if key == "pick":
        return st.lists(st.sampled_from(["x", "y"]), min_size=1, max_size=2, unique=True)
    anything = scalars | lists | mappings | references.filter(lambda text: "\\" not in text)
    return st.lists(anything, min_size=1, max_size=3, unique_by=lambda value: json.dumps(value))


PARTS = {
    "one": {"k": 1, "deep": {"v": "${pick}", "only": "${..k}"}, "sub": {"q": 1}},
    "two": {"defaults": ["sub/small", "_self_"], "k": "two", "rel": "${.k}-${m.x}"},
    "three": {"defaults": ["sub/big@inner", {"/other@m.placed": "x"}, "_self_"], "k": None},
    "sub/small": {"size": 1, "half": "${.size}"},
    "sub/big": {"size": 9, "of": "${m.x}"},
}


def write(folder: Path, case: Case) -> None:
    primary = {"defaults": ["_self_", {"part": "one"}], **case.tree, "run": "builtins.print", "study": "s"}
    _write(folder / "config.yaml", {**primary, "resources": {}, "matrix": escaped(case.axes)})
    for name, content in PARTS.items():
        _write(folder / f"part/{name}.yaml", content)
    _write(folder / "other/x.yaml", {"here": "${.now}-${pick}", "now": 2})


def escaped(value: Any) -> Any:
    """Protect interpolations in axis values: a study's axes are resolved when it is read, these are for the point."""
    if isinstance(value, dict):
        return {key: escaped(item) for key, item in value.items()}
    if isinstance(value, list):
        return [escaped(item) for item in value]
    return value.replace("${", "\\${") if isinstance(value, str) else value


def _write(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(content, sort_keys=False, allow_unicode=True))


def composed(folder: Path, overrides: Sequence[str]) -> dict[str, Any]:
    """What Hydra composes, resolved, without the study's own keys."""
    config = compose("config", list(overrides))
    kept = [key for key in config if key not in STUDY_CONVENTIONS.study_keys]
    full = {}
    for key in kept:
        value = config[key]
        full[key] = OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
    return full


def axis_overrides(case: Case, axes: Mapping[str, Any]) -> list[str]:
    prefixes = {key.lstrip("+"): key for key in case.axes}
    return [f"{prefixes[key]}={hydra_text(value)}" for key, value in axes.items()]


@contextmanager
def expected_by(folder: Path) -> Iterator[None]:
    with initialize_config_dir(str(folder), version_base="1.3"):
        yield


def normal(value: Any) -> Any:
    """Make 1, 1.0 and true different, and NaN equal to itself."""
    if isinstance(value, Mapping):
        return {key: normal(item) for key, item in value.items()}
    if isinstance(value, list):
        return [normal(item) for item in value]
    return (type(value).__name__, "nan" if isinstance(value, float) and math.isnan(value) else repr(value))


def check(case: Case) -> bool:
    """Compare every point; return whether there was something to compare. Both sides must fail, or neither."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder, case)
        refused = None
        try:
            study = load_study(case.fixed, primary=f"file://{folder}", folder=folder)
            jobs = list(study.jobs())
        except UsageError as error:
            refused = str(error)
        with expected_by(folder):
            if refused is not None:
                assert "\n" not in refused
                other_type = _OTHER_TYPE.search(refused)
                if other_type:
                    # Every job would fail on it: Seedfold refuses what Hydra lets through (`jobs.value_types`).
                    assert has_number(case, other_type[1]), refused
                    return True
                assert some_point_fails(folder, case), f"refused what Hydra composes: {refused}"
                return False
            for job in jobs:
                wanted = composed(folder, [*case.fixed, *axis_overrides(case, job.axes)])
                assert normal(job.config) == normal(wanted)
                assert normal(json.loads(json.dumps(job.to_dict()))["config"]) == normal(wanted)
                assert compute_ids(job.run, wanted, job.parents, study.identity, job.texts) == (job.id, job.fit)
        return True


_OTHER_TYPE = re.compile(r"(?:^|: |\s)([\w.]+)=.*: is (?:a text|one list|a mapping), ", re.DOTALL)


def has_number(case: Case, key: str) -> bool:
    """Whether a number or a truth value is at ``key``, by the files alone or by the first of the fixed overrides."""
    for count in range(len(case.fixed) + 1):
        try:
            value = OmegaConf.select(compose("config", list(case.fixed[:count])), key)
        except (HydraException, OmegaConfBaseException, ValueError, TypeError, RecursionError):
            continue
        if isinstance(value, bool | int | float):
            return True
    return False


def some_point_fails(folder: Path, case: Case) -> bool:
    for combination in itertools.product(*case.axes.values()):
        axes = dict(zip((key.lstrip("+") for key in case.axes), combination, strict=True))
        try:
            composed(folder, [*case.fixed, *axis_overrides(case, axes)])
        except (HydraException, OmegaConfBaseException, ValueError, TypeError, RecursionError, AssertionError):
            return True
    return False


@pytest.mark.slow
@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
@example(Case({"pick": "x", "a": None, "m": {"x": 1}}, axes={"a": ["${oc.decode:'3'}", "it's ${pick}"]}))
@given(cases())
def test_points_are_what_hydra_composes(case: Case) -> None:
    assume(check(case))


@pytest.mark.slow
@pytest.mark.timeout(1800)
@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(cases())
def test_many_points_are_what_hydra_composes(case: Case) -> None:
    assume(check(case))
