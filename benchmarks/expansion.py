"""Cost of a point: expanding and identifying it, against composing it with Hydra, and against the floor.

The floor is sorted JSON and SHA-256 of a configuration of that size. Hydra composes a sample of the same points.
"""

from __future__ import annotations

import hashlib
import json
import resource
import tempfile
from pathlib import Path

import yaml

from benchmarks._figures import Figure, main, seconds

SAMPLE = 20


def write_study(folder: Path, points: int) -> None:
    """Write a study with a configuration of about 67 keys and an axis of each common kind."""
    model = {f"option_{number}": number / 7 for number in range(25)}
    task = {f"property_{number}": f"text {number}" for number in range(15)}
    files = {
        "config.yaml": {
            "defaults": ["_self_", {"model": "small"}],
            "run": "builtins.print",
            "study": "expansion",
            "seed": 0,
            "fold": 0,
            "name": "run-${seed}-${fold}",
            "task": {**task, "classes": 4},
            "loss": {"weighting": "none", "smoothing": 0.0, "class_weights": None},
            "sampling": {"imbalance_ratio": 1.0, "seed": "${seed}", "replace": False},
            "optimizer": {"lr": 0.1, "weight_decay": 0.0, "betas": [0.9, 0.999]},
            "trainer": {"max_epochs": 10, "precision": 32, "threads": 1, "log": "${paths.data}/log"},
            "predict": {"tta": 1, "splits": ["val", "test"]},
            "paths": {"data": "/data"},
            "identity": {"volatile": ["paths.**"], "predict": ["predict.**"]},
            "matrix": {
                "model": ["small", "large"],
                "loss.weighting": ["none", "ratio"],
                "sampling.imbalance_ratio": [1.0, 2.0, 5.0, 8.0, 10.0],
                "optimizer.lr": "0.1,0.01,0.001,0.0001",
                "fold": "range(0,5)",
                "seed": f"range(0,{points // 400})",
            },
            "derive": {
                "loss.class_weights": {
                    "_target_": "seedfold.jobs.imbalance.class_weights",
                    "scheme": "${loss.weighting}",
                    "ratio": "${sampling.imbalance_ratio}",
                    "classes": "${task.classes}",
                }
            },
        },
        "model/small.yaml": {**model, "width": 8},
        "model/large.yaml": {**model, "width": 64},
    }
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump(content, sort_keys=False))


def resident() -> int:
    """Return the peak resident bytes of this process."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def hashed(config: object) -> str:
    """Return the digest of sorted JSON."""
    return hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()


def measure(quick: bool) -> list[Figure]:
    """Expand 100,000 points."""
    from hydra import compose, initialize_config_dir

    from seedfold.jobs.description import JobDescription
    from seedfold.jobs.study import load_study

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_study(folder, 4_000 if quick else 100_000)
        list(load_study(["seed=0"], primary=f"file://{folder}").jobs())
        before = resident()
        jobs: list[JobDescription] = []
        expanded = seconds(lambda: jobs.extend(load_study([], primary=f"file://{folder}").jobs())) / len(jobs)
        memory = (resident() - before) / len(jobs)
        config = dict(jobs[-1].config)
        with initialize_config_dir(str(folder), version_base="1.3"):
            overrides = [f"{key}={value}" for key, value in jobs[-1].axes.items()]
            peer = seconds(lambda: [compose("config", overrides) for _ in range(SAMPLE)]) / SAMPLE
    floor = seconds(lambda: [hashed(config) for _ in range(2000)]) / 2000
    assert len({job.id for job in jobs}) == len(jobs)
    name = f"expand and identify a point of {len(jobs):,}"
    return [
        Figure(name, expanded, peer, "hydra.compose", most=1e-4),
        Figure(name, expanded, floor, "sorted JSON and SHA-256"),
        Figure("memory of a point", memory, unit="B", most=2048),
    ]


if __name__ == "__main__":
    main(measure)
