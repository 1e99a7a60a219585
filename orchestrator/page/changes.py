"""Tells browsers which studies have changed, as server-sent events. The ledger is looked at only while one listens."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path

from anyio import to_thread

from seedfold.orchestrator.ledger.layout import StudyFolder
from seedfold.orchestrator.page.kept_studies import KeptStudies
from seedfold.results.recording.attempt_file import RECORDS

_LOOK_EVERY_S = 1.5
_HEARTBEAT_S = 15.0
_MOST_RUNNING = 64
"""At how many running jobs of a study it is looked for new points of their curves."""
Signature = tuple[tuple[str, int, int], ...]


class Changes:
    """Those who listen, and what the studies looked like when they were looked at last."""

    def __init__(self, studies: KeptStudies) -> None:
        self._studies = studies
        self._listeners: set[asyncio.Queue[str | None]] = set()
        self._signatures: dict[str, Signature] = {}
        self._watch: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def events(self) -> AsyncIterator[str]:
        """Yield the text of the events for one listener, until it goes away; a comment now and then keeps it open."""
        queue: asyncio.Queue[str | None] = asyncio.Queue()
        self._listeners.add(queue)
        self._loop = asyncio.get_running_loop()
        if self._watch is None:
            self._watch = self._loop.create_task(self._look_again_and_again())
        try:
            yield ": seedfold\n\n"
            while True:
                try:
                    study = await asyncio.wait_for(queue.get(), _HEARTBEAT_S)
                except TimeoutError:
                    yield ": still here\n\n"
                    continue
                if study is None:
                    return
                yield f"event: changed\ndata: {json.dumps({'study': study})}\n\n"
        finally:
            self._listeners.discard(queue)
            if not self._listeners and self._watch is not None:
                self._watch.cancel()
                self._watch = None

    def announce(self, study: str) -> None:
        """Tell all listeners, from any thread, that there is something new about a study."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._tell, study)

    def close(self) -> None:
        """End the streams of all listeners: a server that stops would wait for them."""
        for queue in self._listeners:
            queue.put_nowait(None)

    def _tell(self, study: str) -> None:
        for queue in self._listeners:
            queue.put_nowait(study)

    async def _look_again_and_again(self) -> None:
        self._signatures = await to_thread.run_sync(self._read_signatures)
        while True:
            await asyncio.sleep(_LOOK_EVERY_S)
            found = await to_thread.run_sync(self._read_signatures)
            rests = {study.name: study.rest_s() for study in self._studies.kept()}
            for study in found.keys() | self._signatures.keys():
                if found.get(study) != self._signatures.get(study):
                    self._tell(study)
                    self._tell_again(study, rests.get(study, 0.0))
            self._signatures = found

    def _tell_again(self, study: str, rest_s: float) -> None:
        """Tell once more when the study is looked at anew: who asks before gets what was seen before the change."""
        if rest_s > 0 and self._loop is not None:
            self._loop.call_later(rest_s, self._tell, study)

    def _read_signatures(self) -> dict[str, Signature]:
        """What is seen of each study without reading a file; as before where the file system does not answer."""
        try:
            folders = list(self._studies.root.study_folders())
        except OSError:
            return self._signatures
        found = {folder.name: _signature(folder) for folder in folders}
        for study in self._studies.kept():
            if study.name in found:
                found[study.name] += _running_signature(study.running_folders()[:_MOST_RUNNING])
        return found


def _signature(folder: StudyFolder) -> Signature:
    places = (folder.plans_folder, folder.events_folder, folder.submissions_folder)
    return tuple(entry for place in places for entry in _entries(place))


def _running_signature(folders: list[Path]) -> Signature:
    return tuple(entry for folder in folders for entry in _entries(folder / RECORDS))


def _entries(folder: Path) -> list[tuple[str, int, int]]:
    """The files of a folder, with their sizes and times."""
    found = []
    try:
        for entry in os.scandir(folder):
            status = entry.stat()
            found.append((entry.name, status.st_size, status.st_mtime_ns))
    except OSError:
        # The folder, or a file in it, is gone: that is a change too.
        return found
    return sorted(found)
