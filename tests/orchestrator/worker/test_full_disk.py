"""A disk that is full, with a worker on it: nothing fails for good, and everybody says what is the matter."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from failing_storage import needs_small_disk, run_on_small_disk

_PROGRAM = """
import json, os, time
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, {tests!r})
from toyproject import make_toy, wait_until

small = Path(sys.argv[2])
made = make_toy(Path({folder!r}))
toy = replace(made, root=small / "runs", environment={{**made.environment, "SEEDFOLD_ROOT": str(small / "runs")}})
settings = ("experiment=toy", "cluster.slots=1", "failures.kinds.disk.wait_s=1")
launch = ("launch", "--detach", "--config-dir", "conf", *settings)


def fill():
    with open(small / "filler", "ab", buffering=0) as filler:
        try:
            while True:
                filler.write(bytes(4096))
        except OSError:
            pass


def status():
    return toy.run("status", "toy").stdout


toy.hold_jobs()
seen = {{"launched": toy.run(*launch, "seed=0").returncode}}
try:
    wait_until(toy.executions, 60)
    fill()
    refused = toy.run(*launch, "seed=1")
    seen |= {{"refused": refused.returncode, "says": refused.stderr}}
    toy.release_jobs()
    # The worker removes what the attempt has left; somebody else takes that room as well.
    wait_until(lambda: fill() or "waits for room" in status(), 120, status, pause_s=0.5)
    seen["executions"] = len(toy.executions())
    (small / "filler").unlink()
    wait_until(lambda: toy.states() == {{"done": 3}}, 120, status, pause_s=0.5)
    toy.wait_for_workers()
finally:
    toy.kill_workers()
seen["status"] = status()
seen["left"] = [str(path) for path in (small / "runs").rglob(".*") if path.is_file() and path.name != ".seedfold"]
print(json.dumps(seen))
"""


@pytest.mark.slow
def test_a_worker_on_a_full_disk_waits_for_room_and_goes_on(tmp_path: Path) -> None:
    needs_small_disk()
    program = _PROGRAM.format(tests=str(Path(__file__).parents[2]), folder=str(tmp_path / "project"))
    ended = run_on_small_disk(tmp_path / "small", "24m", program)
    assert ended.returncode == 0, ended.stderr
    seen = json.loads(ended.stdout.splitlines()[-1])
    assert (seen["launched"], seen["refused"]) == (0, 3)
    [line] = seen["says"].splitlines()
    assert "No space left on device" in line
    assert "make room and run the command again" in line
    assert seen["executions"] == 1
    assert "waits for room" not in seen["status"]
    assert seen["left"] == []
