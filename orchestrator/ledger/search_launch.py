"""How the last launch of a search composed its study: whoever plans a trial composes it in the same way."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from seedfold.jobs.errors import UsageError
from seedfold.orchestrator.ledger.atomic_files import write_atomically
from seedfold.orchestrator.ledger.damaged_files import naming_damaged_file, read_record
from seedfold.orchestrator.ledger.layout import StudyFolder
from seedfold.results.store.passing_errors import exists

_REMEDY = "launch the search again"


@dataclass(frozen=True, slots=True)
class SearchLaunch:
    """The overrides and configuration folders of a launch, the folder in which it was made, and its snapshot of code.

    ``config_dirs`` are copies, and their places inside the study's folder. ``digest`` is that of the study without any
    trial: it shows whether the files of Seedfold itself have changed since.
    """

    overrides: tuple[str, ...]
    config_dirs: tuple[str, ...]
    folder: str
    digest: str
    snapshot: str | None = None

    def write(self, study: StudyFolder) -> None:
        """Write it in place of that of the launch before."""
        write_atomically(_file(study), [json.dumps(asdict(self), indent=1)])

    def config_folders(self, study: StudyFolder) -> list[Path]:
        """The configuration folders."""
        return [study.path / place for place in self.config_dirs]

    @classmethod
    def read(cls, study: StudyFolder) -> SearchLaunch:
        """Read it. Raises DamagedFileError, and UsageError if the search is not one of a study file."""
        file = _file(study)
        if not has_launch(study):
            raise UsageError(
                f"study {study.name}: it is the search of a program, and only the program's command can go on with it;"
                " run the same command again"
            )
        with naming_damaged_file(file, _REMEDY):
            record = read_record(file, _REMEDY)
            texts = {key: tuple(map(str, record[key])) for key in ("overrides", "config_dirs")}
            return cls(**{**record, **texts})


def has_launch(study: StudyFolder) -> bool:
    """Whether any process can plan a trial; that of a program is planned by the process of its sweep alone."""
    return exists(_file(study))


def _file(study: StudyFolder) -> Path:
    return study.decisions_folder.parent / "launch.json"
