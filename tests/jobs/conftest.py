"""Small configuration trees to load studies from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from seedfold.jobs.description import JobDescription
from seedfold.jobs.study import Study, load_study

IDENTITY_CONFIG = {"volatile": ["paths.**", "cluster.**", "resources.**", "**.num_workers"], "predict": ["predict.**"]}

BASE_CONFIG: dict[str, Any] = {
    "defaults": ["_self_", {"model": "small"}, {"task": None}, {"experiment": None}],
    "study": None,
    "run": "package.module.run",
    "seed": 0,
    "fold": 0,
    "loss": {"weighting": "none", "smoothing": 0.1},
    "optimizer": {"lr": 0.1, "name": "sgd"},
    "paths": {"data": "data", "shipped": "pkg://sklearn.datasets/data", "images": "${paths.data}/images"},
    "loader": {"num_workers": 2, "batch": 8},
    "resources": {"cpus": 1, "memory": "4GB"},
    "predict": {"tta": 1},
    "cluster": {"executor": "local"},
    "identity": IDENTITY_CONFIG,
}

GROUP_FILES: dict[str, Any] = {
    "model/small.yaml": {"width": 8, "depth": 2},
    "model/large.yaml": {"width": 64, "depth": 4, "extra": True},
    "task/digits.yaml": {"classes": 10, "file": "${paths.data}/digits.csv"},
    "task/cancer.yaml": {"classes": 2, "file": "${paths.data}/cancer.csv"},
}


class ConfigTree:
    """A folder of configurations with the experiments that a test adds."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.write("config.yaml", BASE_CONFIG)
        for name, content in GROUP_FILES.items():
            self.write(name, content)

    def write(self, name: str, content: Any) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else yaml.safe_dump(content, sort_keys=False))
        return path

    def experiment(self, content: Mapping[str, Any], name: str = "exp") -> None:
        text = yaml.safe_dump(dict(content), sort_keys=False)
        self.write(f"experiment/{name}.yaml", f"# @package _global_\n{text}")

    def load(self, *overrides: str, **options: Any) -> Study:
        all_overrides = (
            overrides if any(one.startswith("experiment=") for one in overrides) else ("experiment=exp", *overrides)
        )
        options.setdefault("folder", self.folder)
        return load_study(all_overrides, primary=f"file://{self.folder}", **options)

    def study(self, content: Mapping[str, Any], *overrides: str, **options: Any) -> Study:
        self.experiment(content)
        return self.load(*overrides, **options)

    def jobs(self, content: Mapping[str, Any], *overrides: str, **options: Any) -> list[JobDescription]:
        return list(self.study(content, *overrides, **options).jobs())


@pytest.fixture
def tree(tmp_path: Path) -> ConfigTree:
    folder = tmp_path / "conf"
    folder.mkdir()
    return ConfigTree(folder)


@pytest.fixture
def axes_of() -> Callable[[Sequence[JobDescription]], list[dict[str, Any]]]:
    return lambda jobs: [dict(job.axes) for job in jobs]
