"""Compares records of code with each other, and with the code that would run today.

Files are the same if their content is, if their syntax is (see `seedfold.orchestrator.code.syntax`), or if a person has
accepted the change. The numbers of a stage of Seedfold count as one more file, named as the stage's function is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from seedfold.orchestrator.code.accepted_changes import AcceptedChange, AcceptedChanges
from seedfold.orchestrator.code.code_records import CodeRecord, read_code_record
from seedfold.orchestrator.code.current_code import CurrentCode
from seedfold.orchestrator.code.packages import installed_versions
from seedfold.orchestrator.code.stage_versions import FIRST_VERSION, stages_of
from seedfold.orchestrator.ledger.layout import StudyFolder


@dataclass(frozen=True, slots=True)
class CodeKey:
    """What names the code of a result: the study that holds the record, its digest, and the function that ran."""

    study: StudyFolder
    digest: str
    run: str

    def __hash__(self) -> int:
        # Thousands of results are looked up; the hash of a path takes longer than all the rest.
        return hash((self.digest, self.run))


class CodeComparison:
    """Compares the code of results of a study. Each file and each record is read once."""

    def __init__(self, study: StudyFolder, current: CurrentCode | None) -> None:
        """``current`` is None if the code of today is not here, as for a copy of a study."""
        self._accepted = AcceptedChanges(study)
        self._current = current
        self._records: dict[tuple[StudyFolder, str], CodeRecord | None] = {}
        self._syntax: dict[str, str] = {}
        self._contents: dict[str, set[str]] = {}
        self._changed: dict[CodeKey, tuple[str, ...]] = {}

    def record(self, key: CodeKey) -> CodeRecord | None:
        """Return the record of a result's code; None where there is none, as for what was imported."""
        place = (key.study, key.digest)
        if place not in self._records:
            record = read_code_record(*place) if key.digest else None
            self._records[place] = record
            self._add(record)
        return self._records[place]

    def _add(self, record: CodeRecord | None) -> None:
        if record is not None:
            self._syntax |= record.syntax
            for name, content in record.files.items():
                self._contents.setdefault(name, set()).add(content)

    def trained(self, key: CodeKey) -> CodeKey | None:
        """Return the code that trained the weights of a result, where it was not the code of the result itself."""
        record = self.record(key)
        return CodeKey(key.study, record.trained, key.run) if record and record.trained else None

    def digests(self, key: CodeKey) -> dict[str, str]:
        """Return what stands for the version of each file that computed a result, by the file's name."""
        record = self.record(key)
        if record is None:
            return {}
        return {name: self._representative(name, content) for name, content in _contents(record, key.run).items()}

    def current_digests(self, names: Iterable[str]) -> dict[str, str]:
        """Return the same for the code of today, of those of these files that are known.

        The syntax of a file of today is that of every record with the same content: ask for `digests` afterwards.
        """
        found = {name: self._current_content(name) for name in names}
        if self._current is not None:
            self._current.keep_syntax()
        return {name: self._representative(name, content) for name, content in found.items() if content is not None}

    def changed_files(self, key: CodeKey) -> tuple[str, ...]:
        """Return the names of the files that computed a result and have changed since, sorted."""
        if key not in self._changed:
            now = self.current_digests(self.digests(key))
            then = self.digests(key)
            self._changed[key] = tuple(sorted(name for name in now if now[name] != then[name]))
        return self._changed[key]

    def conflicting_files(self, keys: Iterable[CodeKey]) -> tuple[str, ...]:
        """Return the names of the files that had different versions for these results, sorted."""
        seen: dict[str, set[str]] = {}
        for key in keys:
            for name, digest in self.digests(key).items():
                seen.setdefault(name, set()).add(digest)
        return tuple(sorted(name for name, digests in seen.items() if len(digests) > 1))

    def changes(self, key: CodeKey) -> list[AcceptedChange]:
        """Return the changes to accept so that a result counts as computed by the code of today."""
        changed = self.changed_files(key)
        then, now = self.digests(key), self.current_digests(changed)
        return [AcceptedChange(name, then[name], now[name]) for name in changed]

    def packages(self, key: CodeKey) -> Mapping[str, str]:
        """Return the versions of the installed packages with which a result was computed, by name."""
        record = self.record(key)
        return record.packages if record else {}

    def changed_packages(self, key: CodeKey) -> dict[str, tuple[str, str]]:
        """Return (version then, version today) of the installed packages whose version has changed, by name."""
        if self._current is None:
            return {}
        now = installed_versions()
        return {name: (then, now[name]) for name, then in self.packages(key).items() if now.get(name, then) != then}

    def _representative(self, name: str, content: str) -> str:
        return self._accepted.representative(name, self._syntax.get(content, content))

    def _current_content(self, name: str) -> str | None:
        stages = stages_of(name)
        if stages:
            return str(stages.get(name, FIRST_VERSION))
        content = self._current.digest(name) if self._current else None
        if self._current is not None and content is not None and self._needs_syntax(name, content):
            syntax = self._current.syntax(name)
            self._syntax |= {content: syntax} if syntax else {}
        return content

    def _needs_syntax(self, name: str, content: str) -> bool:
        """Whether any record has other content: reading the syntax takes many times as long as comparing the bytes."""
        return content not in self._syntax and bool(self._contents.get(name, set()) - {content})


def _contents(record: CodeRecord, run: str) -> Mapping[str, str]:
    stages = record.stages or dict.fromkeys(stages_of(run), FIRST_VERSION)
    return {**record.files, **{name: str(version) for name, version in stages.items()}}
