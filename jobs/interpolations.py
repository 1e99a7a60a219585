"""What a value with ``${...}`` in it depends on, read from its text alone.

Late references, ``${result:STAGE,KEY}``, stand for values of an upstream stage. They are resolved when the job starts;
until then they stay as text, in which references to the configuration are already filled in.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from omegaconf._utils import split_key
from omegaconf.grammar_parser import parse
from omegaconf.grammar_visitor import GrammarVisitor

from seedfold.jobs.late_resolver import LATE
from seedfold.jobs.patterns import Path

MISSING = "???"
"""Hydra's mark of a value that has to be given."""

MACHINE = frozenset({"now", "oc.env", "env", "hydra", "python_version"})
"""Resolvers whose value depends on the machine, the moment or how the program was started."""

_BY_KEY = frozenset({"oc.select", "oc.deprecated", "oc.dict.keys", "oc.dict.values"})
_PURE = frozenset({LATE, "oc.decode", *MACHINE, *_BY_KEY})
_UNKNOWN = "\x00"
_REFERENCE = re.compile(r"\$\{(\.*(?:[A-Za-z_]\w*)(?:\.[A-Za-z_]\w*)*)\}")


@dataclass(frozen=True)
class Dependencies:
    """What a text refers to: node references as written, and resolvers.

    ``anything`` is true where that cannot be told from the text: a resolver may read the whole configuration.
    """

    references: frozenset[str]
    resolvers: frozenset[str]

    @property
    def anything(self) -> bool:
        """Whether the value may depend on the whole configuration."""
        return not self.resolvers <= _PURE

    @property
    def machine(self) -> bool:
        """Whether the value depends on the machine or the moment."""
        return bool(self.resolvers & MACHINE)


@lru_cache(maxsize=65536)
def dependencies(text: str) -> Dependencies:
    """Return what the interpolations in ``text`` refer to.

    Raises omegaconf.errors.GrammarParseError for a text that is no valid interpolation.
    """
    references: set[str] = set()
    resolvers: set[str] = set()

    def node(key: str, memo: object) -> Any:
        references.add(key)
        return _UNKNOWN

    def resolver(name: str, args: tuple[Any, ...], args_str: tuple[str, ...]) -> str:
        resolvers.add(name)
        if name in _BY_KEY and args and isinstance(args[0], str):
            references.add(args[0])
        return _UNKNOWN

    GrammarVisitor(node, resolver, None).visit(parse(text))
    return Dependencies(frozenset(references), frozenset(resolvers))


def target(reference: str, at: Path) -> Path:
    """Return the path that a reference names, written in the value at path ``at``.

    Where a part of the path is itself computed (``${a.${b}}``), the mapping above that part stands for it.
    """
    known, computed, _ = reference.partition(_UNKNOWN)
    name = known.lstrip(".")
    up = len(known) - len(name)
    base = at[: max(0, len(at) - up)] if up else ()
    parts = tuple(split_key(name)) if name else ()
    # A part that is only in part computed, as in `${a.b_${c}}`, is not known either.
    if computed and parts and not known.endswith((".", "[")):
        parts = parts[:-1]
    return (*base, *(part for part in parts if part))


@lru_cache(maxsize=65536)
def template_of(text: str) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
    """Return the literal parts and the references of a text made of nothing but these, else None.

    ``"run-${seed}"`` gives ``(("run-", ""), ("seed",))``. Escapes, resolvers and references with brackets are left to
    OmegaConf.
    """
    if "\\" in text:
        return None
    pieces = _REFERENCE.split(text)
    literals, names = tuple(pieces[::2]), tuple(pieces[1::2])
    if any("${" in literal for literal in literals) or not names:
        return None
    return literals, names
