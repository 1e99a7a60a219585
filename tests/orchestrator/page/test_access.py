"""Nobody sees anything without the token, and nothing of the machine but the page."""

from __future__ import annotations

from pathlib import Path

import pytest
from page_client import TOKEN, open_page

PLACES = ("/", "/api/studies", "/api/studies/toy", "/api/changes", "/static/index.html", "/nothing")


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("token", [None, "", "a-token-for-test", TOKEN + "s", "ä"])
def test_nothing_is_answered_without_the_token(tmp_path: Path, place: str, token: str | None) -> None:
    stranger = open_page(tmp_path, token=None)
    query = {} if token is None else {"token": token}
    answer = stranger.get(place, params=query)
    assert answer.status_code == 401
    assert "seedfold serve" in answer.text
    assert "set-cookie" not in answer.headers
    assert stranger.get("/api/studies", headers={"Cookie": "seedfold_8000=guess"}).status_code == 401


def test_the_link_opens_the_page_and_leaves_a_cookie_that_scripts_cannot_read(tmp_path: Path) -> None:
    browser = open_page(tmp_path, token=None)
    cookie = browser.get("/", params={"token": TOKEN}).headers["set-cookie"]
    assert cookie.startswith(f"seedfold_8000={TOKEN};")
    assert {"httponly", "samesite=strict"} <= {part.strip().lower() for part in cookie.split(";")}
    assert browser.get("/api/studies").json() == []


def test_a_script_needs_no_cookie(tmp_path: Path) -> None:
    answer = open_page(tmp_path, token=None).get("/api/studies", params={"token": TOKEN})
    assert answer.status_code == 200
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example:8000", "192.168.1.1", "", "[", "localhost@evil"]
)
def test_a_name_of_somebody_else_that_leads_to_this_machine_is_refused(tmp_path: Path, host: str) -> None:
    client = open_page(tmp_path)
    assert client.get("/api/studies", headers={"Host": host}).status_code == 421
    assert client.get("/api/studies", headers={"Host": "localhost:9999"}).status_code == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_it_can_only_be_asked(tmp_path: Path, method: str) -> None:
    assert open_page(tmp_path).request(method, "/api/studies").status_code == 405


@pytest.mark.parametrize("place", ["/api/studies", "/api/studies/none", "/api/none", "/static/none.js"])
def test_each_answer_has_the_headers_that_protect_it(tmp_path: Path, place: str) -> None:
    headers = open_page(tmp_path).get(place).headers
    policy = dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert policy["frame-ancestors"] == "'none'"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cache-control"] == "no-store"


OUTSIDE = (
    "/static/../application.py",
    "/static/%2e%2e/application.py",
    "/static/..%2f..%2f..%2fpyproject.toml",
    "/static//etc/passwd",
    "/api/studies/..",
    "/api/studies/%2e%2e%2fsecret",
    "/api/studies/.seedfold",
    "/api/studies/secret.txt",
    "/api/studies/toy/jobs/..%2f..%2fsecret.txt",
    "/api/studies/toy/jobs/0000/log",
    "/api/studies/toy%00/jobs",
)


@pytest.mark.parametrize("place", OUTSIDE)
def test_no_file_outside_of_the_page_is_served(tmp_path: Path, place: str) -> None:
    (tmp_path / "secret.txt").write_text("secret")
    answer = open_page(tmp_path).get(place)
    assert answer.status_code == 404
    assert "secret\n" not in answer.text
