"""Versions of installed packages, read from the names of the folders that describe them: nothing is imported."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Mapping
from functools import lru_cache

DISTRIBUTIONS: Mapping[str, str] = {
    "attr": "attrs",
    "Bio": "biopython",
    "cv2": "opencv-python",
    "dateutil": "python-dateutil",
    "hydra": "hydra-core",
    "PIL": "pillow",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "umap": "umap-learn",
    "yaml": "pyyaml",
}
"""Packages that are imported under another name than they are installed under."""
_DESCRIBED = re.compile(r"(?P<name>.+?)-(?P<version>\d[^-]*)(-.*)?\.(dist|egg)-info")


def _normalize(name: str) -> str:
    return name.lower() if name.isalnum() else re.sub(r"[-_.]+", "-", name).lower()


def installed_versions() -> Mapping[str, str]:
    """Return the version of each installed package, by its normalized name (``scikit-learn``)."""
    return _versions_in(tuple(entry for entry in sys.path if entry))


@lru_cache(maxsize=4)
def _versions_in(folders: Iterable[str]) -> Mapping[str, str]:
    versions: dict[str, str] = {}
    for folder in folders:
        try:
            names = os.listdir(folder)  # noqa: PTH208
        except OSError:
            continue
        for described in filter(None, map(_DESCRIBED.fullmatch, names)):
            # The first on the path is the one that is imported.
            versions.setdefault(_normalize(described["name"]), described["version"])
    return versions


def loaded_packages() -> dict[str, str]:
    """Return the versions of the installed packages that this process has imported, by normalized name."""
    versions = installed_versions()
    imported = {name.partition(".")[0] for name in sys.modules}
    found = {_normalize(DISTRIBUTIONS.get(name, name)) for name in imported}
    return {name: versions[name] for name in sorted(found) if name in versions and name != "seedfold"}
