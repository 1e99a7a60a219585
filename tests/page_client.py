"""Asks the page of a root, in this process, as a browser that has the link does."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from seedfold.orchestrator.ledger.layout import Root
from seedfold.orchestrator.page.access import AccessRules
from seedfold.orchestrator.page.application import Page, make_application

with warnings.catch_warnings():
    # Newer versions of Starlette would rather have another package than httpx.
    warnings.simplefilter("ignore")
    from starlette.testclient import TestClient

TOKEN = "a-token-for-tests"
ADDRESS = "http://127.0.0.1:8000"


def open_page(root: Path, token: str | None = TOKEN) -> TestClient:
    """Return a client of the page; with no token it is that of a stranger."""
    client = TestClient(make_application(Page(Root(root)), AccessRules(TOKEN)), base_url=ADDRESS)
    if token is not None:
        client.headers["Authorization"] = f"Bearer {token}"
    return client


def ask(client: TestClient, address: str, status: int = 200, **query: Any) -> Any:
    """Return the answer to a question, which has to have this status."""
    answer = client.get(f"/api/{address}", params=query)
    assert answer.status_code == status, answer.text
    return answer.json()
