"""The addresses of the page, and what answers at each. Answers are computed in threads: a slow one holds up no other.

``/`` is the page itself, ``/static/`` its files, and everything else is JSON below ``/api/``.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from seedfold.jobs.errors import SeedfoldError
from seedfold.jobs.work import DataFailure
from seedfold.orchestrator.ledger.layout import Root
from seedfold.orchestrator.page.access import Access, AccessRules
from seedfold.orchestrator.page.answers import JsonAnswer, answer_error, not_found, texts, whole_number
from seedfold.orchestrator.page.changes import Changes
from seedfold.orchestrator.page.job_rows import MOST_ROWS, RowQuestion, make_rows
from seedfold.orchestrator.page.kept_studies import KeptStudies, KeptStudy
from seedfold.orchestrator.page.study_list import StudyList
from seedfold.orchestrator.page.study_summary import make_summary

STATIC = Path(__file__).parent / "static"
Answer = Callable[[Request], Any]


class Page:
    """What the addresses below ``/api/`` answer, for the studies of one root."""

    def __init__(self, root: Root) -> None:
        self.studies = KeptStudies(root, self._announce)
        self.changes = Changes(self.studies)
        self.list = StudyList(self.studies, self._announce)

    def _announce(self, study: str) -> None:
        self.changes.announce(study)

    def _study(self, request: Request) -> KeptStudy:
        return self.studies.get(request.path_params["study"])

    def study_list(self, request: Request) -> Any:
        """All studies."""
        return self.list.to_json()

    def summary(self, request: Request) -> Any:
        """One study."""
        return make_summary(self._study(request))

    def jobs(self, request: Request) -> Any:
        """A page of the table of jobs."""
        query = request.query_params
        asked = RowQuestion(
            where=texts(request, "where"),
            stages=texts(request, "stage"),
            states=texts(request, "state"),
            sort=query.get("sort") or None,
            descending=query.get("descending", "") in ("1", "true"),
            page=whole_number(request, "page", 1, 1),
            size=whole_number(request, "size", 50, 1, MOST_ROWS),
            group=query.get("group") or None,
        )
        return make_rows(self._study(request), asked)


def make_application(root: Root, rules: AccessRules) -> ASGIApp:
    """Return the server of a root's page, for those who keep the rules."""
    page = Page(root)

    async def changes(request: Request) -> Response:
        return StreamingResponse(page.changes.events(), media_type="text/event-stream")

    study = "/api/studies/{study}"
    application = Starlette(
        routes=[
            Route("/", _shell),
            Mount("/static", StaticFiles(directory=STATIC, check_dir=False)),
            Route("/api/changes", changes),
            Route("/api/studies", _answer(page.study_list)),
            Route(study, _answer(page.summary)),
            Route(f"{study}/jobs", _answer(page.jobs)),
        ],
        exception_handlers={
            error: answer_error for error in (HTTPException, SeedfoldError, DataFailure, OSError, Exception)
        },
    )
    # Outside of everything that Starlette adds, so that errors have the headers too.
    return Access(application, rules)


def _answer(answer: Answer) -> Callable[[Request], Response]:
    """An answer as JSON. Starlette calls what is no coroutine in a thread."""
    return lambda request: JsonAnswer(answer(request))


def _shell(request: Request) -> Response:
    shell = STATIC / "index.html"
    if not shell.is_file():
        raise not_found("the page's files are not installed; the addresses below /api/ answer")
    return FileResponse(shell)
