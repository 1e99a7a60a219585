"""What it costs to compare the code of 1,000 results with the code of today, in a process that has just started.

The results were computed with a package of 40 modules, of which three have been edited since; the study is made as that
of `benchmarks.ledger`. Figures are seconds of processor time, which others on the machine hardly change, the first time
after the edit and the next time. The peer reads the modules and takes their digests, without which nothing is compared.
"""

from __future__ import annotations

import hashlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks._figures import Figure, main, seconds
from benchmarks.ledger import make_study
from seedfold.orchestrator.code.code_records import write_code_record
from seedfold.orchestrator.code.comparison import CodeKey
from seedfold.orchestrator.code.digests import digest_file
from seedfold.orchestrator.code.packages import installed_versions
from seedfold.orchestrator.ledger.layout import Root, StudyFolder
from seedfold.orchestrator.state.code_axis import find_code_axis
from seedfold.orchestrator.state.code_versions import FinishedAttempt
from seedfold.orchestrator.state.overview import JobView, Overview
from seedfold.orchestrator.state.stale_lines import package_lines
from seedfold.orchestrator.state.staleness import compare_code

MODULES = 40
EDITED = 3
RECORDS = 4
PACKAGES = 60
FUNCTIONS = 30
FUNCTION = '''
def step_{number}(values, rate=0.{number}):
    """Return the values after a step."""
    scaled = [value * rate for value in values if value > {number}]
    if not scaled:
        raise ValueError(f"no value is above {number}: {{values}}")
    return {{"sum": sum(scaled), "mean": sum(scaled) / len(scaled), "step": {number}}}
'''


def write_modules(project: Path) -> dict[str, Path]:
    """Write the package; return its files by their names."""
    folder = project / "lab"
    folder.mkdir()
    for number in range(MODULES):
        functions = [FUNCTION.format(number=each) for each in range(FUNCTIONS * number, FUNCTIONS * (number + 1))]
        (folder / f"part_{number}.py").write_text("".join(functions))
    return {f"lab/{path.name}": path for path in sorted(folder.iterdir())}


def record_parts(study: StudyFolder, modules: dict[str, Path]) -> list[str]:
    """Record the code of jobs of which each sort has loaded some modules more than the one before."""
    packages = dict(list(installed_versions().items())[:PACKAGES])
    found = []
    for more in range(RECORDS):
        paths = dict(list(modules.items())[: MODULES - RECORDS + 1 + more])
        digests = {name: digest_file(path) for name, path in paths.items()}
        table = {"files": digests, "stages": {}, "packages": packages}
        found.append(write_code_record(study, table, {digests[name]: path for name, path in paths.items()}))
    return found


def edit(modules: dict[str, Path]) -> None:
    """Change numbers in some modules."""
    for path in list(modules.values())[:EDITED]:
        path.write_text(path.read_text().replace("rate=0.", "rate=1."))


def compare(root: str) -> None:
    """Compare all results of the study as ``seedfold status`` does, and print the seconds of processor time."""
    overview = Overview(Root(Path(root)), "large")
    jobs = list(overview.jobs_at_addresses().values())
    views = [JobView(job, overview.states.of(job.id)) for job in jobs]
    states = [(view.job, view.job_state) for view in views]
    begin = time.process_time()
    comparison = compare_code(overview.ledger, jobs[-1])
    attempts = [FinishedAttempt(job, state.holding_study, state.event) for job, state in states if state.event]
    stale = sum(bool(comparison.changed_files(CodeKey(one.study, one.event["code"], one.job.run))) for one in attempts)
    lines, axis = list(package_lines(views, comparison)), find_code_axis(comparison, overview.states, attempts)
    spent = time.process_time() - begin
    if stale != len(jobs) or lines or len(axis.files) != EDITED:
        raise RuntimeError(f"{stale} of {len(jobs)} results are stale through {axis.files}; {lines}")
    print(spent)


def in_new_process(project: Path) -> float:
    """Return what `compare` takes in a process of its own."""
    program = f"from benchmarks.code_comparison import compare; compare({str(project / 'runs')!r})"
    environment = {**os.environ, "XDG_CACHE_HOME": str(project / "cache")}
    command = [sys.executable, "-c", program]
    ended = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    return float(ended.stdout)


def digest_all(modules: dict[str, Path]) -> None:
    """Read every module and take its digest."""
    for path in modules.values():
        hashlib.sha256(path.read_bytes()).hexdigest()


def measure(quick: bool) -> list[Figure]:
    """Make the study, edit its code, and compare."""
    rounds = 1 if quick else 7
    with tempfile.TemporaryDirectory() as temporary:
        project = Path(temporary)
        modules = write_modules(project)
        make_study(project, 100 if quick else 1_000, lambda study: record_parts(study, modules))
        edit(modules)
        first = in_new_process(project)
        again = statistics.median(in_new_process(project) for _ in range(rounds))
        peer = statistics.median(seconds(lambda: digest_all(modules), time.process_time) for _ in range(rounds))
    name, most = "CPU: code of 1,000 results compared", 0.05
    return [
        Figure(f"{name}, after an edit", first, peer, "digests of the modules", most=most),
        Figure(f"{name}, again", again, peer, "digests of the modules", most=most),
    ]


if __name__ == "__main__":
    main(measure)
