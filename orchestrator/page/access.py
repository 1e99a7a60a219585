"""Who may read the page: those who have the token, from a browser that was sent to this machine by name.

A page of somebody else that is open in the same browser can reach 127.0.0.1 too. It does not know the token, its
requests come without the cookie, and if it points a name of its own at this machine, the name is refused.
"""

from __future__ import annotations

import ipaddress
import secrets
from collections.abc import Collection
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from seedfold.orchestrator.page.answers import JsonAnswer

API = "/api/"
LOCAL_NAMES = frozenset({"127.0.0.1", "localhost"})
_READING = frozenset({"GET", "HEAD"})
_HEADERS = {
    "Content-Security-Policy": "; ".join(
        (
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "img-src 'self' data: blob:",
            "font-src 'self'",
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        )
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
_REFUSED = "Open the link that `seedfold serve` has printed: it holds the token without which nothing is shown here.\n"


@dataclass(frozen=True, slots=True)
class AccessRules:
    """The token, and the names of this machine that a request may use.

    ``any_address`` also accepts each address in numbers: such a request was not sent here by a name of somebody else.
    """

    token: str
    names: Collection[str] = LOCAL_NAMES
    any_address: bool = False

    def knows_host(self, header: str) -> bool:
        """Whether a request was sent to one of the names."""
        try:
            name = urlsplit(f"//{header}").hostname or ""
        except ValueError:
            return False
        return name in self.names or (self.any_address and _is_address(name))

    def is_token(self, given: str) -> bool:
        """Compare in a time that tells nothing about the token."""
        return secrets.compare_digest(given.encode(), self.token.encode())


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


class Access:
    """Answers requests that may not be answered otherwise, and adds to each answer the headers that protect it."""

    def __init__(self, app: ASGIApp, rules: AccessRules) -> None:
        self._app, self._rules = app, rules

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        request = Request(scope)
        refusal = self._refuse(request)
        cookie = None if refusal else self._new_cookie(request)

        async def send_protected(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(_HEADERS)
                headers.setdefault("Cache-Control", "no-store")
                if cookie is not None:
                    headers.append("Set-Cookie", cookie)
            await send(message)

        await (refusal or self._app)(scope, receive, send_protected)

    def _refuse(self, request: Request) -> Response | None:
        if not self._rules.knows_host(request.headers.get("host", "")):
            return _refusal(request, 421, "this address is not one of this server")
        if request.method not in _READING:
            return _refusal(request, 405, "this server only answers questions: use GET")
        if not any(map(self._rules.is_token, _given_tokens(request))):
            return _refusal(request, 401, _REFUSED)
        return None

    def _new_cookie(self, request: Request) -> str | None:
        """The cookie for a browser that came with the token in the link, so that later requests need no token."""
        given = request.query_params.get("token")
        if given is None or not self._rules.is_token(given) or request.url.path.startswith(API):
            return None
        answer = Response()
        answer.set_cookie(_cookie_name(request), given, httponly=True, samesite="strict", path="/")
        return answer.headers["set-cookie"]


def _cookie_name(request: Request) -> str:
    """A name for each port: browsers share the cookies of one machine between all servers on it."""
    return f"seedfold_{request.url.port or 80}"


def _given_tokens(request: Request) -> list[str]:
    scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
    given = [
        request.query_params.get("token"),
        request.cookies.get(_cookie_name(request)),
        bearer if scheme.lower() == "bearer" else None,
    ]
    return [each for each in given if each is not None]


def _refusal(request: Request, status: int, text: str) -> Response:
    if request.url.path.startswith(API):
        return JsonAnswer({"error": text.strip()}, status)
    return PlainTextResponse(f"{text.strip()}\n", status)
