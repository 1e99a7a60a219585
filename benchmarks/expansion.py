"""Cost of a point: expanding and identifying 100,000 of them, against composing each with Hydra.

Prints, from one run: microseconds and bytes a point, Hydra's ``compose`` for a sample of the same points, and the floor
(sorted JSON and SHA-256 of a configuration of that size). Run it with ``python benchmarks/expansion.py [POINTS]``.
"""

from __future__ import annotations

import hashlib
import json
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import yaml

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


def seconds(work: Callable[[], object]) -> float:
    """Return how long ``work`` takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def resident() -> int:
    """Return the peak resident bytes of this process."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main() -> None:
    from hydra import compose, initialize_config_dir

    from seedfold.jobs.study import load_study

    points = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_study(folder, points)
        list(load_study(["seed=0"], primary=f"file://{folder}").jobs())
        before = resident()
        jobs = []
        expanded = seconds(lambda: jobs.extend(load_study([], primary=f"file://{folder}").jobs())) / len(jobs)
        memory = (resident() - before) / len(jobs)
        config = dict(jobs[-1].config)
        with initialize_config_dir(str(folder), version_base="1.3"):
            overrides = [f"{key}={value}" for key, value in jobs[-1].axes.items()]
            peer = seconds(lambda: [compose("config", overrides) for _ in range(SAMPLE)]) / SAMPLE
    floor = seconds(lambda: [hashed(config) for _ in range(2000)]) / 2000
    distinct = len({job.id for job in jobs})
    print(f"{len(jobs)} points, {distinct} ids, {leaves(config)} keys")
    print(f"expand and identify  {expanded * 1e6:9.1f} us a point, {expanded * len(jobs):.1f} s in all")
    print(f"memory               {memory:9.0f} bytes a point")
    print(f"hydra.compose        {peer * 1e6:9.1f} us a point: {peer / expanded:.0f} times as long")
    print(f"sorted JSON + SHA    {floor * 1e6:9.1f} us a point: expanding takes {expanded / floor:.2f} times as long")


def hashed(config: object) -> str:
    """Return the digest of sorted JSON."""
    return hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()


def leaves(tree: object) -> int:
    """Return the number of values in nested mappings."""
    return sum(leaves(item) for item in tree.values()) if isinstance(tree, dict) else 1


if __name__ == "__main__":
    main()
