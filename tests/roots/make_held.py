"""Makes a small root of studies that were held, released, throttled, told of and given up, to be kept.

    PYTHONPATH=tests python tests/roots/make_held.py 0.1-held

writes ``tests/roots/0.1-held.tar.gz`` and ``tests/roots/0.1-held.json``, as `make` does, and under the same conditions:
by hand, and never again for that version. The root is what `test_old_held_root` is about.
"""

from __future__ import annotations

import hashlib
import json
import sys
from typing import Any

from old_root import make_project
from roots.make import HERE, PROJECT, anonymise, pack_project
from toyproject import Toy, wait_until

import seedfold as sf

SETTINGS = ("cluster.snapshot=false", "cluster.slots=1")
COUNT = ("--", "test", "{x}", "!=", "0")
"""A command that fails for x=0 only."""


def make(toy: Toy) -> None:
    """Do all that is to be found in the root."""
    # A pilot that is done, and others that wait for a person.
    sweep(toy, "piloted", "--pilot", "1", "x=1,2,3")
    # A pilot that failed, so that nothing releases the others.
    sweep(toy, "stuck", "--pilot", "1", "--pilot-auto", "x=0,11,12")
    # A pilot that released the others by itself; a command was told of the end.
    sweep(toy, "told", "--pilot", "1", "--pilot-auto", "x=21,22", "notify.done='cat > told.json'")
    # Jobs that a person held, and some that were released or cancelled again; the limit stays.
    sweep(toy, "held", "--pilot", "1", "x=31,32,33,34,35")
    toy.output_of("throttle", "held", "2")
    toy.output_of("release", "held", "--where", "x=32")
    wait_until(lambda: toy.states("held") == {"done": 2, "waiting": 3}, pause_s=0.3)
    toy.output_of("release", "held", "--where", "x=33")
    wait_until(lambda: toy.states("held") == {"done": 3, "waiting": 2}, pause_s=0.3)
    toy.output_of("hold", "held", "--where", "x=34,35")
    toy.output_of("cancel", "held", "--where", "x=35")
    # Jobs that nobody began, because those before them failed alike; a command could not be told of it.
    sweep(
        toy,
        "given_up",
        "failures.stop_after_identical=2",
        "notify.failed='exit 3'",
        "y=1,2,3,4",
        words=("--", "false", "{y}"),
    )
    toy.wait_for_workers()


def sweep(toy: Toy, name: str, *args: str, words: tuple[str, ...] = COUNT) -> None:
    """Sweep a command and wait for its end."""
    ended = toy.run("sweep", "--name", name, *SETTINGS, *args, *words)
    print(ended.stdout, ended.stderr)
    assert ended.returncode in {0, 1}
    toy.wait_for_workers()


def rename_in_results(toy: Toy) -> None:
    """Take the names of this machine out of results, and record what their files are then."""
    for file in toy.root.glob("*/store/*/*/*.json"):
        file.write_bytes(anonymise(file.read_bytes()))
    for events in toy.root.glob("*/events/*.jsonl"):
        lines = [json.loads(line) for line in events.read_text().splitlines()]
        for event in lines:
            records = {**event.get("files", {}), **({"result.json": event["result"]} if "result" in event else {})}
            for name, record in records.items():
                folder = events.parents[1] / "store" / event["job"][:2] / f"{event['job']}.{event['n']}"
                content = (folder / name).read_bytes()
                record |= {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        events.write_text("".join(f"{json.dumps(event)}\n" for event in lines))


def describe(toy: Toy) -> dict[str, Any]:
    """What is said of each study: its jobs with their states, how many are held, and the limit."""
    told = {}
    for study in sorted(path.parent.name for path in toy.root.glob("*/plans")):
        rows = sf.study(study, toy.root).status().to_dict("records")
        jobs = [[str(row["job"]), row.get("x", row.get("y")), row["state"], row["attempt"]] for row in rows]
        status = toy.json_of("status", study)
        told[study] = {"jobs": jobs, "held": status["held"], "throttle": status["throttle"]}
    return told


def main() -> None:
    version = sys.argv[1]
    assert not PROJECT.parent.exists(), f"{PROJECT.parent} is there; remove it first"
    PROJECT.mkdir(parents=True)
    toy = make_project(PROJECT)
    make(toy)
    record = {"folder": str(PROJECT), "studies": describe(toy)}
    rename_in_results(toy)
    pack_project(HERE / f"{version}.tar.gz")
    (HERE / f"{version}.json").write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
