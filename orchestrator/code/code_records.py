"""Which code computed a result: a record of files and packages, kept once under ``<root>/<study>/code/DIGEST.json``.

Results name the record by its digest. The first version of Seedfold wrote a plain mapping of files to digests, also of
its own files, which do not count any more. Digests of the syntax are computed only when a record is written for the
first time: jobs that run the same files find it there.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from seedfold.orchestrator.code.digests import digest_file
from seedfold.orchestrator.code.loaded_files import OWN_PACKAGE, loaded_files
from seedfold.orchestrator.code.packages import loaded_packages
from seedfold.orchestrator.code.stage_versions import stages_of
from seedfold.orchestrator.ledger.atomic_files import create_once
from seedfold.orchestrator.ledger.layout import StudyFolder

_FORMAT = 2


@dataclass(frozen=True)
class CodeRecord:
    """What computed a result.

    ``files`` are digests of content by the name below the import root, ``syntax`` digests of the syntax by such a
    digest of content. ``stages`` are versions of the numbers that Seedfold's functions compute, by dotted name.
    ``packages`` are versions by name. ``trained`` names the record of the code that trained the weights, where that was
    another one.
    """

    files: Mapping[str, str]
    syntax: Mapping[str, str] = field(default_factory=dict)
    stages: Mapping[str, int] = field(default_factory=dict)
    packages: Mapping[str, str] = field(default_factory=dict)
    trained: str | None = None

    @classmethod
    def from_dict(cls, table: Mapping[str, Any]) -> CodeRecord:
        """Read the JSON form, this version's or the first one's."""
        if "format" not in table:
            own = f"{OWN_PACKAGE}/"
            return cls({name: digest for name, digest in table.items() if not name.startswith(own)})
        return cls(table["files"], table["syntax"], table["stages"], table["packages"], table.get("trained"))


def read_code_record(study: StudyFolder, digest: str) -> CodeRecord | None:
    """Return a record; None where there is none."""
    try:
        return CodeRecord.from_dict(json.loads(study.code_record_file(digest).read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None


def record_code(
    study: StudyFolder, run: str, trained: str | None = None, others: Mapping[str, Path] | None = None
) -> str:
    """Record the code that this process has loaded to compute a stage with ``run``; return the record's digest.

    ``others`` are files by name that processes which it started have run.
    """
    files = {**loaded_files(), **{name: (path, digest_file(path)) for name, path in (others or {}).items()}}
    return write_code_record(
        study,
        {
            "files": {name: digest for name, (_, digest) in files.items()},
            "stages": stages_of(run),
            "packages": loaded_packages(),
            "python": sys.version.split()[0],
            **({} if trained is None else {"trained": trained}),
        },
        {digest: path for path, digest in files.values()},
    )


def write_code_record(study: StudyFolder, table: dict[str, Any], paths: Mapping[str, Any]) -> str:
    """Write a record, unless it is there; ``paths`` are the files by the digest of their content."""
    digest = hashlib.sha256(json.dumps(table).encode()).hexdigest()[:16]
    file = study.code_record_file(digest)
    if not file.exists():
        from seedfold.orchestrator.code.syntax import syntax_digest_of_file

        syntax = {content: syntax_digest_of_file(path) for content, path in paths.items() if _is_still(path, content)}
        known = {content: found for content, found in syntax.items() if found is not None}
        create_once(file, json.dumps({"format": _FORMAT, **table, "syntax": known}, indent=0))
    return digest


def _is_still(path: Any, content: str) -> bool:
    return bool(path.exists()) and digest_file(path) == content
