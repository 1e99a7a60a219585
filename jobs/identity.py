"""When two jobs are the same job: how ids are made. This never changes.

A job's id is the SHA-256 of the canonical JSON of ``{config, parents, run, schema}``. Left out of it are volatile
keys (paths, resources, worker counts: see ``conf/identity/``) and neutral values (keys that a later version added, at
the value that behaves as before). Renamed keys, classes and functions are hashed under their oldest name. Values that
depend on the machine are hashed as the text that refers to them (``${paths.data}/digits.csv``). Study, stage and code
are not hashed. A mapping that is empty without such keys is left out as well.

Any change here gives every job another id, so that all jobs run again. Then `SCHEMA` has to change too.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from seedfold.jobs.canonical_json import canonical_json, encode_plain, require_text_key, to_plain, to_plain_float
from seedfold.jobs.errors import UsageError, did_you_mean
from seedfold.jobs.key_patterns import KeyPath, Patterns
from seedfold.jobs.moved_modules import oldest_name

__all__ = ["SCHEMA", "Identity", "canonical_json", "compute_ids", "job_digest"]

SCHEMA = 1
_KEYS = ("volatile", "predict", "neutral", "renames")
_NOT_COUNTED: Any = object()
_SCALAR_TYPES = frozenset({str, int, float, bool, type(None)})


@dataclass(frozen=True)
class Identity:
    """The settings under the configuration key ``identity``.

    ``volatile`` and ``predict`` hold patterns over dotted keys, ``neutral`` values by key, ``renames`` old names by
    new ones; later renames may rename the result of earlier ones.
    """

    volatile: tuple[str, ...] = ()
    predict: tuple[str, ...] = ()
    neutral: Mapping[str, Any] = field(default_factory=dict)
    renames: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def from_config(cls, node: Mapping[str, Any] | None) -> Identity:
        """Read ``{volatile: [...], predict: [...], neutral: {...}, renames: {old: new}}``.

        Raises UsageError for an unknown key.
        """
        if not isinstance(node, Mapping | None):
            raise UsageError(f"identity: {node!r} is not a mapping; its keys are {', '.join(_KEYS)}")
        settings = dict(node or {})
        for key in settings:
            if key not in _KEYS:
                raise UsageError(f"identity.{key}: unknown key{did_you_mean(key, _KEYS)}; known: {', '.join(_KEYS)}")
        for key, value in settings.items():
            expected = list if key in ("volatile", "predict") else Mapping
            if value is not None and not isinstance(value, expected):
                what = "a list of keys" if expected is list else "a mapping"
                raise UsageError(f"identity.{key}: {value!r} is not {what}")
        return cls(
            volatile=tuple(settings.get("volatile") or ()),
            predict=tuple(settings.get("predict") or ()),
            neutral=dict(settings.get("neutral") or {}),
            renames=dict(settings.get("renames") or {}),
        )

    @cached_property
    def volatile_patterns(self) -> Patterns:
        """The keys that are not part of an id."""
        return Patterns(self.volatile)

    @cached_property
    def not_fit_patterns(self) -> Patterns:
        """The keys that are not part of what is trained."""
        return Patterns((*self.volatile, *self.predict))

    @cached_property
    def neutral_text_by_path(self) -> dict[KeyPath, str]:
        """The canonical text of each neutral value by its key."""
        return {tuple(key.split(".")): canonical_json(value) for key, value in self.neutral.items()}

    @cached_property
    def new_and_old_names(self) -> tuple[tuple[str, str], ...]:
        """(new, old) names, the latest rename first."""
        return tuple((new, old) for old, new in reversed(list(self.renames.items())))

    def old_name(self, dotted: str) -> str:
        """Return the oldest name of a dotted key, class or function."""
        dotted = oldest_name(dotted)
        for new, old in self.new_and_old_names:
            if dotted == new or dotted.startswith(f"{new}."):
                dotted = old + dotted[len(new) :]
        return dotted

    def old_text(self, text: str) -> str:
        """Return an interpolation's text with its references under their oldest names."""
        for new, old in self.new_and_old_names:
            text = re.sub(rf"(?<=\$\{{){re.escape(new)}(?=[.}}\[])", old.replace("\\", r"\\"), text)
        return text

    def may_be_predict_only(self, top: str) -> bool:
        """Whether a key at or below the top-level key ``top`` may only influence predictions."""
        return self._predict_heads.matches((top,))

    @cached_property
    def _predict_heads(self) -> Patterns:
        return Patterns(pattern.split(".")[0] for pattern in self.predict)

    def counted_part(self, value: Any, path: KeyPath, left_out: Patterns) -> Any:
        """Return the part of the value at ``path`` that counts, as plain data, or `GONE`."""
        if left_out.matches(path):
            return _NOT_COUNTED
        kept = self._counted_within(value, path, left_out)
        neutral = self.neutral_text_by_path.get(path)
        return _NOT_COUNTED if neutral is not None and encode_plain(kept) == neutral else kept

    def _counted_within(self, value: Any, path: KeyPath, left_out: Patterns) -> Any:
        if isinstance(value, str):
            return self.old_name(value) if path[-1] == "_target_" else value
        if type(value) in _SCALAR_TYPES:
            return to_plain(value, ".".join(path))
        if isinstance(value, Mapping):
            return self._counted_mapping(value, path, left_out)
        if isinstance(value, (list, tuple)):
            items = (self.counted_part(item, (*path, str(index)), left_out) for index, item in enumerate(value))
            return [{} if item is _NOT_COUNTED else item for item in items]
        return to_plain_float(value) if isinstance(value, float) else to_plain(value, ".".join(path))

    def _counted_mapping(self, value: Mapping[str, Any], path: KeyPath, left_out: Patterns) -> Any:
        kept: dict[str, Any] = {}
        for key, item in value.items():
            part = self.counted_part(item, (*path, require_text_key(key, ".".join(path))), left_out)
            if part is not _NOT_COUNTED:
                kept[key] = part
        return _NOT_COUNTED if value and not kept and path else kept

    def document(self, config: Mapping[str, Any], left_out: Patterns) -> dict[str, Any]:
        """Return the part of a whole configuration that counts, under its oldest names."""
        counted: dict[str, Any] = self._counted_mapping(config, (), left_out)
        for new, old in self.new_and_old_names:
            _move_value(counted, new.split("."), old.split("."))
        return counted

    def canonical_member(self, top: str, value: Any, left_out: Patterns) -> str:
        """Return ``"top":canonical text`` of one top-level key, or an empty string if nothing of it counts.

        The sorted pieces joined by commas are the canonical text of the document, unless `has_renames_across`.
        """
        if type(value) in _SCALAR_TYPES and top not in self._renamed_tops and top != "_target_":
            # Many points differ in a number alone.
            text = "" if left_out.matches((top,)) else canonical_json(value)
            return f"{encode_plain(top)}:{text}" if text and text != self.neutral_text_by_path.get((top,)) else ""
        document = self.document({top: value}, left_out)
        return encode_plain(document)[1:-1]

    @cached_property
    def _renamed_tops(self) -> frozenset[str]:
        return frozenset(new.split(".")[0] for new, _ in self.new_and_old_names)

    def has_renames_across(self, names: Iterable[str]) -> bool:
        """Whether a rename may move something between top-level keys of a configuration with these ``names``."""
        known = set(names)
        tops = [(new.split(".")[0], old.split(".")[0]) for new, old in self.new_and_old_names]
        return any(new in known and new != old for new, old in tops)


def _has_path(tree: Any, path: list[str]) -> bool:
    for part in path:
        if not isinstance(tree, Mapping) or part not in tree:
            return False
        tree = tree[part]
    return True


def _move_value(tree: dict[str, Any], source: list[str], target: list[str]) -> None:
    """Move the value at ``source`` to ``target``; a mapping that this leaves empty is removed."""
    if not _has_path(tree, source):
        return
    parents = [tree]
    for part in source[:-1]:
        parents.append(parents[-1][part])
    value = parents[-1].pop(source[-1])
    for parent, part in zip(reversed(parents[:-1]), reversed(source[:-1]), strict=True):
        if not parent[part]:
            del parent[part]
    for part in target[:-1]:
        tree = tree.setdefault(part, {})
    tree[target[-1]] = value


def job_digest(document: str, run: str, parents_text: str) -> str:
    """Return the id of a job from the canonical texts of its configuration's document and of its sorted parents."""
    text = f'{{"config":{document},"parents":{parents_text},"run":{encode_plain(run)},"schema":{SCHEMA}}}'
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def replace_by_texts(value: Any, texts: Mapping[str, Any], key: str = "") -> Any:
    """Return ``value`` with each dotted key of ``texts`` replaced by its text; the rest is shared with ``value``."""
    if key in texts:
        return texts[key]
    prefix = f"{key}." if key else ""
    if not any(text_key.startswith(prefix) for text_key in texts):
        return value
    if isinstance(value, Mapping):
        return {name: replace_by_texts(item, texts, f"{prefix}{name}") for name, item in value.items()}
    if isinstance(value, list):
        return [replace_by_texts(item, texts, f"{prefix}{index}") for index, item in enumerate(value)]
    return value


def hashed_document(
    config: Mapping[str, Any], identity: Identity, texts: Mapping[str, str], left_out: Patterns | None = None
) -> dict[str, Any]:
    """Return what is hashed of a configuration; ``texts`` are hashed instead of the values at their dotted keys."""
    hashed = {key: identity.old_text(text) for key, text in texts.items()}
    tree = replace_by_texts(dict(config), hashed) if hashed else config
    return identity.document(tree, left_out or identity.volatile_patterns)


def compute_ids(
    run: str,
    config: Mapping[str, Any],
    parents: Iterable[str],
    identity: Identity,
    texts: Mapping[str, str] | None = None,
) -> tuple[str, str]:
    """Return ``(id, fit)`` of a job.

    ``texts`` holds, by dotted key, the text that is hashed instead of a value which depends on the machine.
    Raises UsageError for keys that are not strings and for values that are not JSON values.
    """
    old_run, parents_text = identity.old_name(run), encode_plain(sorted(parents))
    document = encode_plain(hashed_document(config, identity, texts or {}))
    fit = encode_plain(hashed_document(config, identity, texts or {}, identity.not_fit_patterns))
    return job_digest(document, old_run, parents_text), job_digest(fit, old_run, parents_text)
