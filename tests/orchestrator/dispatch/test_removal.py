"""Deleting a study, giving it another name, and collecting what may be deleted in all studies of a root."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from toyproject import Toy, read_files, wait_until

from seedfold.orchestrator.dispatch import removal
from seedfold.orchestrator.ledger import deleted_studies
from seedfold.orchestrator.ledger.layout import Root

ONE = ("seed=0", "fold=0,1")


def refusal(toy: Toy, *args: str) -> str:
    ended = toy.run_in_process(*args)
    assert (ended.returncode, ended.stdout) == (2, "")
    return ended.stderr.removeprefix("seedfold: ").rstrip("\n")


def studies(toy: Toy) -> list[str]:
    return [study["study"] for study in toy.json_of("ls")]


def test_a_study_is_deleted_when_a_person_has_seen_what_that_means(toy: Toy) -> None:
    toy.launch(*ONE, experiment="light")
    toy.launch(*ONE, "seed=0,1", "study=second", experiment="light")
    toy.wait_for_workers()
    before = read_files(toy.root)
    told = toy.output_of("delete", "light")
    assert told.startswith("light: 2 done; ")
    assert "study second uses 2 results of it: these jobs would have to run again" in told
    assert told.endswith("to delete it: seedfold delete light --yes --even-if-used\n")
    assert toy.json_of("delete", "light")["used_by"] == [{"study": "second", "results": 2, "fits": 0}]
    assert "study second uses 2 results of it" in refusal(toy, "delete", "light", "--yes")
    assert read_files(toy.root) == before

    assert toy.json_of("delete", "second")["used_by"] == []
    assert toy.output_of("delete", "light", "--yes", "--even-if-used").startswith("deleted study light, ")
    assert studies(toy) == ["second"]
    assert toy.states("second") == {"done": 2, "waiting": 2}
    assert [path.name for path in toy.root.iterdir()] == [".seedfold", "second"] or not (toy.root / "light").exists()
    assert "no study 'light'" in refusal(toy, "delete", "light", "--yes")


def test_a_killed_deletion_is_told_and_the_same_command_goes_on(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    toy.launch(*ONE, experiment="light")
    toy.wait_for_workers()

    def die_half_way(folder: Path) -> None:
        shutil.rmtree(folder / "plans")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(removal, "remove_rest", die_half_way)
        assert toy.run_in_process("delete", "light", "--yes").returncode == 130
    assert "study light is half deleted; to go on: seedfold delete light --yes" in toy.output_of("ls")
    assert studies(toy) == []
    assert toy.json_of("gc")["half_deleted"][0]["study"] == "light"
    # The name is free at once.
    toy.launch("seed=0", "fold=0", experiment="light")
    toy.wait_for_workers()
    assert toy.states("light") == {"done": 1}
    toy.output_of("delete", "light", "--yes")
    assert deleted_studies.find_rests(Root(toy.root)) == []
    assert studies(toy) == []


def test_a_study_at_work_is_neither_deleted_nor_renamed(toy: Toy) -> None:
    toy.hold_jobs()
    toy.launch("--detach", "seed=0", "fold=0", "sleep_s=1", experiment="light")
    wait_until(lambda: toy.states("light") == {"running": 1})
    # It shares nothing that runs, and a study whose jobs wait for those of another holds that one as well.
    toy.launch("--detach", "seed=0", "fold=0", "sleep_s=1", "study=second", experiment="light")
    told = refusal(toy, "delete", "light", "--yes")
    assert told.startswith("study light cannot be deleted while jobs of it run or are queued (1 running); wait")
    assert "cannot be renamed" in refusal(toy, "rename", "light", "other")
    toy.release_jobs()
    toy.wait_for_workers()
    assert toy.states("light") == {"done": 1}


def test_a_launch_that_was_faster_gets_its_study_back(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    toy.launch("seed=0", "fold=0", experiment="light")
    toy.wait_for_workers()
    plan = removal.plan_deletion(Root(toy.root), "light")
    toy.hold_jobs()
    toy.launch("--detach", "seed=1", "fold=0", "sleep_s=1", experiment="light")
    with pytest.raises(Exception, match="study light has just been launched; nothing was changed"):
        removal.delete_study(plan)
    toy.release_jobs()
    toy.wait_for_workers()
    assert deleted_studies.find_rests(Root(toy.root)) == []


def test_a_renamed_study_is_the_same_study(toy: Toy) -> None:
    toy.launch(*ONE, experiment="light")
    toy.launch("seed=0,1", "fold=0", "study=second", experiment="light")
    toy.wait_for_workers()
    toy.output_of("report", "light")
    assert "there is" in refusal(toy, "rename", "light", "second")
    assert "cannot be the name of a folder" in refusal(toy, "rename", "light", "../x")
    (toy.root / "link").symlink_to("light")
    assert "is a link to study light" in refusal(toy, "rename", "light", "first")
    (toy.root / "link").unlink()

    told = toy.output_of("rename", "light", "first")
    assert told == (
        "study light is now first; to launch it again, add study=first\n"
        "its report has the old name; to write it anew: seedfold report first\n"
    )
    assert (toy.states("first"), toy.states("second")) == ({"done": 2}, {"done": 2})
    assert toy.json_of("show", "seed=0", "fold=1", "--study", "first")["study"] == "first"
    toy.output_of("report", "first")
    # Nothing runs again, and a point that the study no longer has is removed as before.
    planned = toy.plan(*ONE, "study=first", experiment="light")
    assert (planned["arrays"], planned["stages"]["train"]["done"]) == ([], 2)
    assert toy.launch(*ONE, "study=first", experiment="light").returncode == 0
    assert len(toy.executions()) == 3


def test_what_may_be_deleted_is_collected_across_a_root(toy: Toy) -> None:
    for study in ("light", "second"):
        toy.launch("seed=0", f"fold={len(study) % 2}", f"study={study}", experiment="light")
    toy.wait_for_workers()
    [log] = toy.study("second").path.glob("jobs/*/*/log.1.txt")
    (log.parent / "staging.7").mkdir()
    (log.parent / "staging.7" / "half.txt").write_text("half")
    found = toy.json_of("gc")
    assert {one["study"]: [Path(item["path"]).name for item in one["items"]] for one in found["studies"]} == {
        "light": [],
        "second": ["staging.7"],
    }
    assert "second: 1 item of leftovers" in toy.output_of("gc")
    assert toy.output_of("gc", "--yes").endswith("deleted 1 item, 4 B\n")
    assert not (log.parent / "staging.7").exists()
