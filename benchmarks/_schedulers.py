"""A simulated SLURM: programs with its names that answer at once, from files, however long the queue is.

``queue/NAME`` has the tasks of the array NAME as `squeue` prints them. `sbatch` writes it; who simulates takes tasks
out of it (`end_tasks`). ``calls`` has a line for each program that was started. What a real controller does with a
call is not simulated: calls are counted.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

_HEAD = """#!/bin/sh
cd '{folder}' || exit 1
echo "{name}" >> calls
"""
_PROGRAMS = {
    "sbatch": """
[ "$1" = --test-only ] && exit 0
script=$2
name=$(sed -n 's/^#SBATCH --job-name=//p' "$script")
last=$(sed -n 's/^#SBATCH --array=0-\\([0-9]*\\).*/\\1/p' "$script")
exec 9> lock; flock 9
number=$(($(cat number) + 1))
if [ -n "$last" ]; then
    queued=$(($(cat queued) + last + 1))
    if [ $queued -gt {most_queued} ]; then
        echo "sbatch: error: AssocMaxSubmitJobLimit" >&2
        echo "sbatch: error: Batch job submission failed: Job violates accounting/QOS policy" >&2
        exit 1
    fi
    echo $queued > queued
    seq -f "$number|%g|PENDING|Priority|$name|N/A||N/A" 0 "$last" > "queue/$name"
fi
echo $number > number
echo $number
""",
    "squeue": """
for word; do
    case "$word" in
        --name=*) names=$(echo "${{word#--name=}}" | tr , ' ') ;;
        -j) echo "PENDING|Dependency"; exit 0 ;;
    esac
done
cd queue && cat $names 2>/dev/null
exit 0
""",
    "scontrol": 'echo "MaxArraySize = {largest_array}"\n',
    "sacct": "",
    "scancel": "",
    "sinfo": "",
}


@dataclass(frozen=True)
class SimulatedSlurm:
    """The SLURM of one user: arrays of ``largest_array`` - 1 tasks, and ``most_queued`` tasks in the queue."""

    folder: Path
    largest_array: int = 1001
    most_queued: int = 1000

    def install(self) -> None:
        """Write the programs, into ``bin``."""
        for name in ("bin", "queue"):
            (self.folder / name).mkdir(parents=True)
        values = {"folder": self.folder, "largest_array": self.largest_array, "most_queued": self.most_queued}
        for name, text in _PROGRAMS.items():
            program = self.folder / "bin" / name
            program.write_text((_HEAD + text).format(name=name, **values))
            program.chmod(0o755)
        (self.folder / "number").write_text("100")
        (self.folder / "queued").write_text("0")
        (self.folder / "calls").touch()

    def end_tasks(self, name: str, first: int, end: int) -> None:
        """Take tasks of an array out of the queue."""
        file = self.folder / "queue" / name
        lines = [line for line in file.read_text().splitlines() if not first <= int(line.split("|")[1]) < end]
        file.write_text("".join(f"{line}\n" for line in lines))
        queued = self.folder / "queued"
        queued.write_text(str(int(queued.read_text()) - (end - first)))

    def start_tasks(self, name: str, first: int, end: int) -> None:
        """Have tasks of an array run."""
        file = self.folder / "queue" / name
        rows = [line.split("|") for line in file.read_text().splitlines()]
        for row in rows:
            if first <= int(row[1]) < end:
                row[2:4] = ["RUNNING", "None"]
        file.write_text("".join("|".join(row) + "\n" for row in rows))

    def take_calls(self) -> Counter[str]:
        """Return how often each program was started since the last time."""
        file = self.folder / "calls"
        counts = Counter(file.read_text().split())
        file.write_text("")
        return counts
