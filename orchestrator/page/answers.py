"""Answers as JSON, and what a request asks for."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from math import isfinite
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from seedfold.jobs.errors import SeedfoldError, UnreachableError, UsageError
from seedfold.jobs.work import DataFailure

_WHOLE_NUMBER = re.compile(r"-?[0-9]{1,18}")


class JsonAnswer(Response):
    """A JSON value. Numbers that are not finite become null, because JSON has none of these."""

    media_type = "application/json"

    def __init__(self, value: Any, status_code: int = 200) -> None:
        super().__init__(to_json(value), status_code)


def to_json(value: Any) -> bytes:
    """Return a value as JSON text; what JSON does not know, such as paths, as text."""
    try:
        text = json.dumps(value, allow_nan=False, default=_to_plain)
    except ValueError:
        text = json.dumps(_without_infinite(value), allow_nan=False, default=_to_plain)
    return text.encode()


def _to_plain(value: Any) -> Any:
    if hasattr(value, "item"):
        return _without_infinite(value.item())
    return list(value) if isinstance(value, set | frozenset) else str(value)


def _without_infinite(value: Any) -> Any:
    if isinstance(value, float):
        return value if isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _without_infinite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_without_infinite(each) for each in value]
    return value


def one_line(error: BaseException) -> str:
    """Return an error as one line."""
    return " ".join(str(error).split()) or type(error).__name__


async def answer_error(request: Request, error: Exception) -> Response:
    """Answer a request that failed: 400 for a wrong question, 503 for files that cannot be read now."""
    if isinstance(error, HTTPException):
        return JsonAnswer({"error": error.detail}, error.status_code)
    unreadable = isinstance(error, UnreachableError | DataFailure | OSError)
    known = unreadable or isinstance(error, SeedfoldError)
    text = one_line(error) if known else f"unexpected error: {type(error).__name__}: {one_line(error)}"
    return JsonAnswer({"error": text}, 503 if unreadable else 400 if known else 500)


def not_found(text: str) -> HTTPException:
    """Return the error for something that is not there."""
    return HTTPException(404, text)


def whole_number(request: Request, name: str, default: int, least: int | None, most: int | None = None) -> int:
    """Return a number of the query, at most ``most``. Raises UsageError for anything else."""
    text = request.query_params.get(name)
    if text is None or text == "":
        return default
    number = int(text) if _WHOLE_NUMBER.fullmatch(text) else None
    if number is None or (least is not None and number < least):
        more = "" if least is None else f", at least {least}"
        raise UsageError(f"{name}={text[:40]}: must be a whole number{more}")
    return number if most is None else min(number, most)


def texts(request: Request, name: str) -> list[str]:
    """Return all values of one name in the query, without empty ones."""
    return [value for value in request.query_params.getlist(name) if value.strip()]
