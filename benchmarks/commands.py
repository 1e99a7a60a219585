"""How long a command takes to answer, against a Python that imports Hydra and does nothing."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks._figures import Figure, main, medians
from benchmarks._projects import launch, seedfold, write_study


def import_hydra() -> None:
    """Start a Python that imports Hydra."""
    subprocess.run([sys.executable, "-c", "import hydra"], check=True)


def measure(quick: bool) -> list[Figure]:
    """Measure ``--help``, and the status of a study of ten jobs."""
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder)
        write_study(project, "small", {"run": "trivial.run", "matrix": {"seed": "range(0,10)"}})
        launch(project, "small")
        helped, status, hydra = medians(
            2 if quick else 9,
            lambda: seedfold(project, "--help"),
            lambda: seedfold(project, "status", "small"),
            import_hydra,
        )
    return [
        Figure("seedfold --help", helped, hydra, "python -c 'import hydra'", most=0.3),
        Figure("seedfold status of 10 jobs", status, hydra, "python -c 'import hydra'", most=0.3),
    ]


if __name__ == "__main__":
    main(measure)
