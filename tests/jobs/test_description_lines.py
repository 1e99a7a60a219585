from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seedfold.jobs.description import JobDescription
from seedfold.jobs.description_lines import decode_jobs, encode_jobs
from seedfold.jobs.errors import SeedfoldError
from seedfold.jobs.resources import Resources


def dicts(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.dictionaries(st.sampled_from(["a", "b", "c", "d.e"]), inner, max_size=3)


leaves = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=4)
values = st.recursive(leaves, lambda inner: st.lists(inner, max_size=2) | dicts(inner), max_leaves=6)
resources = st.builds(Resources, cpus=st.integers(1, 4), extra=st.dictionaries(st.text(max_size=3), leaves, max_size=1))


descriptions = st.builds(
    JobDescription,
    id=st.text("0123456789abcdef", min_size=4, max_size=4),
    study=st.sampled_from(["s", "t"]),
    stage=st.sampled_from(["train", "x"]),
    axes=st.dictionaries(st.sampled_from(["seed", "model.lr"]), values, max_size=2),
    config=dicts(values),
    parents=st.lists(st.text("0123456789abcdef", min_size=4, max_size=4), max_size=3).map(tuple),
    resources=resources,
    run=st.sampled_from(["p.f", "p.g"]),
    fit=st.text("0123456789abcdef", min_size=4, max_size=4),
    texts=st.dictionaries(st.sampled_from(["a", "b.c"]), st.just("${paths.x}"), max_size=2),
)


@settings(max_examples=40, deadline=None)
@given(st.lists(descriptions, max_size=8))
def test_what_is_written_comes_back(jobs: list[JobDescription]) -> None:
    lines = list(encode_jobs(iter(jobs)))
    assert all("\n" not in line for line in lines)
    back = list(decode_jobs(lines))
    assert [_sorted(job.to_dict()) for job in back] == [_sorted(job.to_dict()) for job in jobs]
    assert [_sorted(job.to_dict()) for job in decode_jobs(encode_jobs(back))] == [
        _sorted(job.to_dict()) for job in jobs
    ]


def _sorted(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def test_a_study_comes_back(tree: Any) -> None:
    content = {
        "shown": "${seed}-${sizes}",
        "sizes": [0],
        "stages": {
            "one": {"matrix": {"seed": "range(0,5)", "model": "small,large"}},
            "two": {"matrix": {"seed": "range(0,5)", "sizes": [[1, 2], [3]]}, "after": "one"},
        },
    }
    jobs = tree.jobs(content)
    back = list(decode_jobs(encode_jobs(jobs)))
    assert back == jobs
    assert [job.to_dict() for job in back] == [job.to_dict() for job in jobs]


def test_shared_parts_are_written_once(tree: Any) -> None:
    content = {
        "stages": {
            "one": {"matrix": {"seed": "range(0,200)"}},
            "two": {"matrix": {"fold": "range(0,200)"}, "after": "one"},
        }
    }
    lines = list(encode_jobs(tree.jobs(content)))
    kinds = [json.loads(line)[0] for line in lines]
    assert kinds.count("parents") == 2
    assert kinds.count("base") == 1
    assert max(len(line) for line, kind in zip(lines, kinds, strict=True) if kind == "job") < 300


def test_jobs_are_written_as_they_come(tree: Any) -> None:
    taken = 0

    def counted() -> Iterator[JobDescription]:
        nonlocal taken
        for job in tree.jobs({"matrix": {"seed": "range(0,10)"}}):
            taken += 1
            yield job

    lines = encode_jobs(counted())
    next(lines)
    assert taken == 1


@pytest.mark.parametrize("line", ["{", '["job",0]', '["what"]', "[]", '["layout",3,[],{}]', "3"])
def test_a_damaged_line_is_named(line: str) -> None:
    with pytest.raises(SeedfoldError, match="description 2: damaged"):
        list(decode_jobs(["", line]))


def test_a_damaged_line_is_named_among_many(tree: Any) -> None:
    lines = list(encode_jobs(tree.jobs({"matrix": {"seed": "range(0,3000)"}})))
    damaged = [*lines[:2500], lines[2500][:-1], *lines[2501:]]
    taken = []
    with pytest.raises(SeedfoldError, match="description 2501: damaged"):
        taken.extend(decode_jobs(damaged))
    with pytest.raises(SeedfoldError, match="description 2: damaged"):
        list(decode_jobs([lines[0], f"{lines[1]},{lines[2]}", *lines[3:]]))
