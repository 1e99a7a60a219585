"""What a value with ``${...}`` depends on, read from its text alone.

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

from seedfold.jobs.key_patterns import KeyPath
from seedfold.jobs.late_resolver import LATE_RESOLVER

MISSING = "???"
"""Hydra's mark of a value that has to be given."""

MACHINE_RESOLVERS = frozenset({"now", "oc.env", "env", "hydra", "python_version"})
"""Resolvers whose value depends on the machine, the moment or how the program was started."""

_KEY_RESOLVERS = frozenset({"oc.select", "oc.deprecated", "oc.dict.keys", "oc.dict.values"})
KNOWN_RESOLVERS = frozenset({LATE_RESOLVER, "oc.decode", *MACHINE_RESOLVERS, *_KEY_RESOLVERS})
"""Resolvers of which it is known what they depend on."""

_SPECIAL_WORDS = frozenset({"null", "true", "false", "nan", "inf"})
_COMPUTED = "\x00"
_REFERENCE = re.compile(r"\$\{(\.*(?:[A-Za-z_]\w*)(?:\.[A-Za-z_]\w*)*)\}")


@dataclass(frozen=True)
class Dependencies:
    """What a text refers to: node references as written, and resolvers.

    ``may_depend_on_anything`` is true if the text does not show it, because a resolver may read the whole
    configuration.
    """

    references: frozenset[str]
    resolvers: frozenset[str]

    @property
    def may_depend_on_anything(self) -> bool:
        """Whether the value may depend on the whole configuration."""
        return not self.resolvers <= KNOWN_RESOLVERS

    @property
    def depends_on_machine(self) -> bool:
        """Whether the value depends on the machine or the moment."""
        return bool(self.resolvers & MACHINE_RESOLVERS)


@lru_cache(maxsize=65536)
def find_dependencies(text: str) -> Dependencies:
    """Return what the interpolations in ``text`` refer to.

    Raises omegaconf.errors.GrammarParseError for a text that is not a valid interpolation.
    """
    references: set[str] = set()
    resolvers: set[str] = set()

    def node(key: str, memo: object) -> Any:
        references.add(key)
        return _COMPUTED

    def resolver(name: str, args: tuple[Any, ...], args_str: tuple[str, ...]) -> str:
        resolvers.add(name)
        if name in _KEY_RESOLVERS and args and isinstance(args[0], str):
            references.add(args[0])
        return _COMPUTED

    GrammarVisitor(node, resolver, None).visit(parse(text))
    return Dependencies(frozenset(references), frozenset(resolvers))


@lru_cache(maxsize=65536)
def target_path(reference: str, path: KeyPath) -> KeyPath:
    """Return the path that a reference names, written in the value at path ``path``.

    Where a part of the path is itself computed (``${a.${b}}``), the mapping above that part stands for it.
    """
    literal, computed, _ = reference.partition(_COMPUTED)
    name = literal.lstrip(".")
    levels_up = len(literal) - len(name)
    base = path[: max(0, len(path) - levels_up)] if levels_up else ()
    parts = tuple(split_key(name)) if name else ()
    # A component of which only a part is computed, as in `${a.b_${c}}`, is not known either.
    if computed and parts and not literal.endswith((".", "[")):
        parts = parts[:-1]
    return (*base, *(part for part in parts if part))


@lru_cache(maxsize=65536)
def split_references(text: str) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
    """Return the literal parts and the references of a text made of nothing but these, else None.

    ``"run-${seed}"`` gives ``(("run-", ""), ("seed",))``. Escapes, resolvers and references with brackets are left to
    OmegaConf.
    """
    if "\\" in text:
        return None
    parts = _REFERENCE.split(text)
    literals, names = tuple(parts[::2]), tuple(parts[1::2])
    if any("${" in literal for literal in literals) or not names:
        return None
    return literals, names


_LATE = re.compile(rf"\$\{{{LATE_RESOLVER}:([A-Za-z_]\w*)((?:,[A-Za-z_][\w.]*)*)\}}")


def late_text(text: str) -> str | None:
    """Return what OmegaConf makes of a late reference to plain names, such as ``${result:stage,a.b}``: the text itself.

    None for every other text.
    """
    found = _LATE.fullmatch(text)
    names = [] if found is None else [found[1], *found[2].split(",")[1:]]
    return text if names and not any(name.lower() in _SPECIAL_WORDS for name in names) else None
