"""Damaged ledgers: the file is named, other studies go on, and nothing ends in a traceback."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from toyproject import Toy, make_toy

from seedfold.orchestrator.ledger.claims import is_claim_live
from seedfold.orchestrator.ledger.copy_origin import read_copy_origin
from seedfold.orchestrator.ledger.damaged_files import DamagedFileError
from seedfold.orchestrator.ledger.events import EventReader, EventWriter
from seedfold.orchestrator.ledger.layout import StudyFolder
from seedfold.orchestrator.ledger.ledger import Ledger
from seedfold.orchestrator.ledger.plans import Plans
from seedfold.orchestrator.ledger.submissions import Submission

CONTENTS = {
    "empty": b"",
    "zero bytes": b"\0" * 300,
    "list": b"[]",
    "number": b"5",
    "object": b"{}",
    "not UTF-8": b"\xff\xfe",
    "deep": b"[" * 5000,
    "text": b'"text"',
}
OTHER = ("-cd", "conf", "experiment=other", "seed=0", "fold=0")


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Toy:
    """A study ``light`` of one job that is done; ``other`` asks for the same job."""
    toy = make_toy(tmp_path_factory.mktemp("written"))
    light = (toy.folder / "conf" / "experiment" / "light.yaml").read_text()
    toy.write_experiment("other", light.replace("study: light", "study: other"))
    assert toy.launch("seed=0", "fold=0", experiment="light").returncode == 0
    toy.wait_for_workers()
    return toy


@pytest.fixture
def toy(written: Toy, tmp_path: Path) -> Toy:
    shutil.copytree(written.root, tmp_path / "runs")
    environment = {**written.environment, "SEEDFOLD_ROOT": str(tmp_path / "runs")}
    return replace(written, root=tmp_path / "runs", environment=environment)


def only(folder: Path, pattern: str) -> Path:
    [file] = folder.glob(pattern)
    return file


@pytest.mark.parametrize("content", CONTENTS)
def test_a_plan_that_cannot_be_read_is_named_and_stops_no_other_study(content: str, toy: Toy) -> None:
    plan = only(toy.study("light").path, "plans/*.jsonl")
    plan.write_bytes(CONTENTS[content])
    for command in (("status", "light"), ("results", "light", "runs"), ("launch", *OTHER[:2], "experiment=light")):
        ended = toy.run_in_process(*command)
        assert (ended.returncode, ended.stdout, len(ended.stderr.splitlines())) == (3, "", 1), ended.stderr
        assert f"{plan}: is damaged" in ended.stderr
        assert "move it out of the folder and launch the study again" in ended.stderr
    planned = toy.run_in_process("plan", *OTHER)
    assert planned.returncode == 0
    assert f"study light is passed over: {plan}: is damaged" in planned.stdout


def test_a_study_goes_on_beside_a_damaged_one_and_after_its_plan_is_moved(toy: Toy) -> None:
    plan = only(toy.study("light").path, "plans/*.jsonl")
    content = plan.read_bytes()
    plan.write_bytes(content[: len(content) // 2])
    ended = toy.run_in_process("launch", *OTHER)
    assert ended.returncode == 0, ended.stderr
    assert "launch: study light is passed over" in ended.stdout
    assert toy.json_of("show", "seed=0", "fold=0")["study"] == "other"
    plan.rename(toy.folder / f"{toy.root.parent.name}.moved")
    launched = toy.output_of("launch", "-cd", "conf", "experiment=light", "seed=0", "fold=0")
    assert "light: 1 job, nothing to start" in launched
    toy.wait_for_workers()


@pytest.mark.parametrize("content", CONTENTS)
@pytest.mark.parametrize("pattern", ["submissions/*/intent.json", "submissions/*/tasks/0.0", "claims/*/*", "events/*"])
def test_another_damaged_file_of_a_done_study_is_no_obstacle(pattern: str, content: str, toy: Toy) -> None:
    for file in toy.study("light").path.glob(pattern):
        file.write_bytes(CONTENTS[content])
    for command in (("status", "light"), ("plan", *OTHER), ("show", "seed=0", "fold=0", "--study", "light")):
        ended = toy.run_in_process(*command)
        assert ended.returncode == 0, ended.stderr
        assert ended.stderr == ""


def test_a_damaged_intent_is_named(toy: Toy) -> None:
    intent = only(toy.study("light").path, "submissions/*/intent.json")
    intent.write_text("{")
    assert f"{intent}: is damaged" in toy.output_of("status", "light")


@pytest.mark.parametrize("content", [b"{}", b"[]", b"", b'{"source": 5}', b'{"source": "x", "fetched": "now"}'])
def test_a_mark_of_a_copy_that_says_nothing_is_named(content: bytes, toy: Toy) -> None:
    mark = toy.study("light").path / "home.json"
    mark.write_bytes(content)
    with pytest.raises(DamagedFileError, match=r"home.json: is damaged .*remove the file if the study is no copy"):
        read_copy_origin(toy.study("light"))
    ended = toy.run_in_process("status", "light")
    assert (ended.returncode, len(ended.stderr.splitlines())) == (3, 1)
    assert "home.json" in ended.stderr
    assert toy.run_in_process("plan", *OTHER).returncode == 0


def test_odd_files_beside_those_of_the_ledger_are_left_alone(toy: Toy) -> None:
    study = toy.study("light").path
    for folder in ("plans", "events", "submissions", "claims", "store"):
        (study / folder / ".DS_Store").write_bytes(b"\0\1")
        (study / folder / "notes.txt").write_text("mine")
        (study / folder / "copy of plan.jsonl").mkdir()
        (study / folder / "link.jsonl").symlink_to("nowhere")
    claim = only(study, "claims/*/*.1")
    for name in ("~", "x", ""):
        claim.with_name(f"{claim.name.split('.')[0]}.{name}").touch()
    (study / "submissions" / "empty").mkdir()
    (study / "submissions" / "folder").mkdir()
    (study / "submissions" / "folder" / "intent.json").mkdir()
    for command in (("status", "light"), ("plan", *OTHER), ("results", "light", "runs"), ("gc", "light")):
        ended = toy.run_in_process(*command)
        assert "Error" not in ended.stderr
        assert ended.returncode == 0, ended.stderr
    assert toy.states("light") == {"done": 1}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_plan_that_may_not_be_read_stops_no_other_study(toy: Toy) -> None:
    only(toy.study("light").path, "plans/*.jsonl").chmod(0)
    assert toy.run_in_process("status", "light").returncode == 3
    assert "study light is passed over" in toy.output_of("plan", *OTHER)


def test_doctor_names_the_damaged_file(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("seedfold.orchestrator.dispatch.doctor._TORCH_PROGRAM", "print('[\"2.9\", null, 0]')")
    monkeypatch.setattr("seedfold.orchestrator.cli.doctor._COMMANDS", {})
    plan = only(toy.study("light").path, "plans/*.jsonl")
    plan.write_text("[]")
    ended = toy.run_in_process("doctor")
    assert ended.returncode == 1
    assert f"problem  light: {plan}: is damaged" in ended.stdout


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner, max_size=2),
    max_leaves=4,
)
kinds = st.sampled_from(["started", "done", "failed", "interrupted", "blocked", "cancelled", "resumed", "odd", ""])
EVENT_KEYS = ("e", "t", "job", "n", "jobs", "process", "files", "reason", "parents", "seconds", "reads", "code")
events = st.fixed_dictionaries({}, optional=dict.fromkeys(EVENT_KEYS, json_values) | {"e": kinds | json_values})


@given(st.lists(json_values | events, max_size=4), st.binary(max_size=20))
@example([{"e": "done", "t": 1.0, "job": "a", "n": 1, "files": {}, "parents": {}}], b"")
@example([{"e": "started", "t": 1.0, "job": "a", "n": 1, "process": {}}], b"")
@example([{"e": "failed", "t": float("nan"), "job": "a", "n": 1, "reason": ""}], b"")
@example([{"e": "resumed", "t": 1, "jobs": {"a": None}}, 5, [], None], b'{"e": ')
def test_events_that_are_none_are_counted_and_passed_over(
    tmp_path_factory: pytest.TempPathFactory, lines: list[Any], rest: bytes
) -> None:
    study = StudyFolder(tmp_path_factory.mktemp("events"))
    writer = EventWriter(study.events_folder)
    writer.append("failed", job="b", n=1, reason="true")
    writer.close()
    texts = [json.dumps(line) for line in lines]
    (study.events_folder / "x.jsonl").write_bytes("".join(f"{text}\n" for text in texts).encode() + rest + b"\n")
    ledger = Ledger(study)
    assert ledger.record_of("b").latest_attempt >= 1
    for job in [job for job, _ in ledger.done_events()]:
        assert ledger.record_of(job).done_event is not None
    reader = EventReader(study.events_folder)
    read = reader.read_new()
    assert len(read) + reader.damaged_lines.total() >= 1 + len(lines)


plan_lines = st.lists(json_values.map(json.dumps).map(str.encode) | st.binary(max_size=15), max_size=4)


@given(st.data())
def test_a_plan_with_other_lines_is_read_or_named(
    written: Toy, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    lines = only(written.study("light").path, "plans/*.jsonl").read_bytes().splitlines()
    place = data.draw(st.integers(0, len(lines)))
    lines[place : place + data.draw(st.integers(0, 2))] = data.draw(plan_lines)
    study = StudyFolder(tmp_path_factory.mktemp("plans"))
    study.plans_folder.mkdir()
    file = study.plans_folder / "1-a.jsonl"
    file.write_bytes(b"\n".join(lines))
    try:
        assert Plans(study).header is not None
    except DamagedFileError as error:
        message = str(error)
        assert message.startswith(f"{file}: is damaged (")


def test_a_plan_that_was_cut_anywhere_lacks_no_job_without_being_named(written: Toy, tmp_path: Path) -> None:
    content = only(written.study("light").path, "plans/*.jsonl").read_bytes()
    study = StudyFolder(tmp_path)
    study.plans_folder.mkdir()
    file = study.plans_folder / "1-a.jsonl"
    line_ends = [place + 1 for place, byte in enumerate(content) if byte == ord("\n")]
    for length in sorted({*line_ends[:-1], *(end - 5 for end in line_ends[:-1]), 0, 1}):
        file.write_bytes(content[:length])
        with pytest.raises(DamagedFileError, match=file.name):
            Plans(study)
    file.write_bytes(content)
    assert Plans(study).jobs


@given(st.dictionaries(st.sampled_from(["process", "submission", "task", "x"]), json_values) | json_values)
def test_a_claim_that_says_something_else_may_be_held(tmp_path_factory: pytest.TempPathFactory, record: Any) -> None:
    claim = tmp_path_factory.mktemp("claims") / "claims" / "ab" / "abc.1"
    claim.parent.mkdir(parents=True)
    claim.write_text(json.dumps(record))
    assert is_claim_live(claim)
    os.utime(claim, (1, 1))
    assert not is_claim_live(claim)


@given(st.sampled_from(["jobs", "rerun", "settings", "code_folder", "launcher", "array", "created"]), json_values)
def test_an_intent_with_another_value_is_read_or_named(
    written: Toy, tmp_path_factory: pytest.TempPathFactory, key: str, value: Any
) -> None:
    intent = json.loads(only(written.study("light").path, "submissions/*/intent.json").read_text())
    folder = tmp_path_factory.mktemp("submissions") / "submissions" / "token"
    folder.mkdir(parents=True)
    (folder / "intent.json").write_text(json.dumps({**intent, key: value}))
    try:
        submission = Submission.read(folder)
    except DamagedFileError:
        return
    assert submission.open_jobs() is not None
    assert submission.task_count >= 0
