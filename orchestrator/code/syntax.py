"""The syntax of a Python file: its syntax tree, without comments, docstrings and formatting."""

from __future__ import annotations

import ast
import hashlib
from functools import lru_cache
from pathlib import Path

_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
_FORMATTING = frozenset({"kind", "type_comment", "type_ignores"})


def syntax_digest(source: bytes) -> str | None:
    """Return 16 hexadecimal digits that only change with the syntax tree; None for what Python cannot parse.

    Fields that are empty are left out, because versions of Python differ in which of them they list.
    """
    parts: list[str] = []
    try:
        _collect(ast.parse(source), parts)
    except (SyntaxError, ValueError, RecursionError):
        return None
    return hashlib.sha256("\0".join(parts).encode(errors="surrogatepass")).hexdigest()[:16]


def _collect(node: ast.AST, parts: list[str]) -> None:
    parts.append(type(node).__name__)
    for name in node._fields:
        value = getattr(node, name, None)
        if value is None or value == [] or name in _FORMATTING:
            continue
        if name == "body" and isinstance(node, _DOCUMENTED):
            value = _without_docstring(value)
            if not value:
                continue
        parts.append(name)
        _collect_value(value, parts)
    parts.append(")")


def _collect_value(value: object, parts: list[str]) -> None:
    if isinstance(value, ast.AST):
        _collect(value, parts)
    elif isinstance(value, list):
        for item in value:
            _collect_value(item, parts)
        parts.append("]")
    else:
        parts.append(f"{type(value).__name__} {value!r}")


def _without_docstring(body: list[ast.stmt]) -> list[ast.stmt]:
    first = body[0].value if body and isinstance(body[0], ast.Expr) else None
    is_text = isinstance(first, ast.Constant) and isinstance(first.value, str)
    return body[1:] if is_text else body


@lru_cache(maxsize=4096)
def _cached_digest(path: str, size: int, mtime_ns: int) -> str | None:
    return syntax_digest(Path(path).read_bytes())


def syntax_digest_of_file(path: Path) -> str | None:
    """Return `syntax_digest` of a file that ends in ``.py``; None for another one. It is read again when it changes."""
    if path.suffix != ".py":
        return None
    stat = path.stat()
    return _cached_digest(str(path), stat.st_size, stat.st_mtime_ns)
