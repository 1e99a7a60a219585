"""The addresses of the page, and what answers at each. Answers are computed in threads: a slow one holds up no other.

``/`` is the page itself, ``/static/`` its files, and everything else is JSON below ``/api/``.
"""

from __future__ import annotations

import mimetypes
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
from seedfold.orchestrator.page.curves import MOST_CURVES, make_curves, make_job_curves, make_points
from seedfold.orchestrator.page.job_page import (
    MOST_LOG_BYTES,
    compare,
    find_named,
    make_difference,
    make_job,
    read_log,
)
from seedfold.orchestrator.page.job_rows import MOST_ROWS, RowQuestion, make_rows
from seedfold.orchestrator.page.kept_studies import KeptStudies, KeptStudy
from seedfold.orchestrator.page.study_list import StudyList
from seedfold.orchestrator.page.study_summary import make_summary
from seedfold.orchestrator.state.overview import JobView

STATIC = Path(__file__).parent / "static"
_TYPES = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml", ".html": "text/html"}
"""The types of the page's files, whatever this machine has for their names: browsers run no script of another type."""
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

    def curves(self, request: Request) -> Any:
        """Learning curves of one metric."""
        limit = whole_number(request, "limit", 20, 1, MOST_CURVES)
        query = request.query_params
        mean = query.get("mean", "") in ("1", "true")
        return make_curves(self._study(request), texts(request, "where"), query.get("metric") or None, limit, mean=mean)

    def points(self, request: Request) -> Any:
        """Axes and final metrics."""
        return make_points(self._study(request), texts(request, "where"), request.query_params.get("stage") or None)

    def evaluation(self, request: Request) -> Any:
        """ROC and precision-recall curves, confusion."""
        from seedfold.orchestrator.page.evaluation import make_evaluation

        return make_evaluation(self._study(request), texts(request, "where"), request.query_params.get("split") or None)

    def search(self, request: Request) -> Any:
        """The trials of a search, and what they show."""
        from seedfold.orchestrator.page.search_tab import make_search

        return make_search(self._study(request))

    def _job(self, request: Request) -> tuple[KeptStudy, JobView]:
        study = self._study(request)
        return study, study.find_job(request.path_params["job"])

    def job(self, request: Request) -> Any:
        """One job."""
        return make_job(*self._job(request))

    def difference(self, request: Request) -> Any:
        """How a job differs from another one."""
        this = self._job(request)
        other = find_named(self.studies, request.query_params.get("other", ""), default=this[0].name)
        return make_difference(this, other)

    def log(self, request: Request) -> Any:
        """A part of a log."""
        offset = whole_number(request, "offset", -MOST_LOG_BYTES, None)
        attempt = whole_number(request, "attempt", 0, 0)
        return read_log(*self._job(request), offset, attempt or None)

    def job_curves(self, request: Request) -> Any:
        """All learning curves of a job."""
        return make_job_curves(*self._job(request))

    def predictions(self, request: Request) -> Any:
        """Predictions, the worst first."""
        from seedfold.orchestrator.page.predictions import make_predictions

        page, size = whole_number(request, "page", 1, 1), whole_number(request, "size", 50, 1, MOST_ROWS)
        return make_predictions(*self._job(request), request.query_params.get("split") or None, page, size)

    def image(self, request: Request) -> Response:
        """The thumbnail of a sample, as the job has kept it: a published result never changes."""
        from seedfold.orchestrator.page.predictions import find_image

        query = request.query_params
        picture = find_image(*self._job(request), query.get("split"), query.get("sample", ""))
        return Response(picture, media_type="image/png", headers={"Cache-Control": "private, max-age=3600"})

    def compare(self, request: Request) -> Any:
        """Several jobs side by side."""
        names = [name for name in request.query_params.get("jobs", "").split(",") if name]
        return compare(self.studies, names)


def make_application(page: Page, rules: AccessRules) -> ASGIApp:
    """Return the server of a page, for those who keep the rules."""
    for suffix, media_type in _TYPES.items():
        mimetypes.add_type(media_type, suffix)

    async def changes(request: Request) -> Response:
        return StreamingResponse(page.changes.events(), media_type="text/event-stream")

    study = "/api/studies/{study}"
    job = f"{study}/jobs/{{job}}"
    application = Starlette(
        routes=[
            Route("/", _shell),
            Mount("/static", StaticFiles(directory=STATIC, check_dir=False)),
            Route("/api/changes", changes),
            Route("/api/studies", _answer(page.study_list)),
            Route(study, _answer(page.summary)),
            Route(f"{study}/jobs", _answer(page.jobs)),
            Route(f"{study}/curves", _answer(page.curves)),
            Route(f"{study}/points", _answer(page.points)),
            Route(f"{study}/evaluation", _answer(page.evaluation)),
            Route(f"{study}/search", _answer(page.search)),
            Route(job, _answer(page.job)),
            Route(f"{job}/difference", _answer(page.difference)),
            Route(f"{job}/log", _answer(page.log)),
            Route(f"{job}/curves", _answer(page.job_curves)),
            Route(f"{job}/predictions", _answer(page.predictions)),
            Route(f"{job}/image", page.image),
            Route("/api/compare", _answer(page.compare)),
        ],
        exception_handlers=dict.fromkeys((HTTPException, SeedfoldError, DataFailure, OSError, Exception), answer_error),
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
