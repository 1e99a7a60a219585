"""A composed configuration as JSON and back: unresolved interpolations, types, keys and flags as OmegaConf has them.

Plain mappings with text keys, plain lists and plain values are themselves. Any other node is a mapping with the one
key ``$``, which holds what it is. Nothing is pickled: a class goes by its name, and is imported by it.
"""

from __future__ import annotations

import base64
import importlib
import math
import typing
from collections.abc import Callable, Mapping
from enum import Enum
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, ListConfig, Node, OmegaConf, UnionNode, nodes
from omegaconf.base import Container, ContainerMetadata, Metadata
from omegaconf.errors import OmegaConfBaseException

NODE = "$"
ClassFinder = Callable[[str], type | None]
"""Finds a class by ``module:qualified name``; None where it is not there any more."""

# OmegaConf keeps them in this form, however they were declared.
_GENERICS: dict[Any, tuple[str, Any]] = {
    dict: ("dict", typing.Dict),  # noqa: UP006
    list: ("list", typing.List),  # noqa: UP006
    tuple: ("tuple", typing.Tuple),  # noqa: UP006
    typing.Union: ("union", typing.Union),
}
_ORIGINS = dict(_GENERICS.values())


def encode_config(node: Node, main_module: str) -> Any:
    """Return a node as JSON data. Classes of ``__main__`` are said to be those of ``main_module``."""
    return _Encoder(main_module).node(node)


class _Encoder:
    def __init__(self, main_module: str) -> None:
        self._main_module = main_module

    def node(self, node: Node) -> Any:
        metadata = node._metadata
        if isinstance(node, UnionNode):
            held_node = node._value()
            held = self.node(held_node) if isinstance(held_node, Node) else self.value(held_node)
            return {NODE: "UnionNode", "value": held, **self._typing(metadata)}
        if not isinstance(node, (DictConfig, ListConfig)):
            return self._leaf(node)
        content = node._content
        if isinstance(content, dict):
            pairs = [[self.value(key), self.node(child)] for key, child in content.items()]
            is_plain = self._is_plain(node, dict) and all(type(key) is str and key != NODE for key in content)
            return dict(pairs) if is_plain else {NODE: "DictConfig", "items": pairs, **self._typing(metadata)}
        if isinstance(content, list):
            children = [self.node(child) for child in content]
            is_plain = self._is_plain(node, list)
            return children if is_plain else {NODE: "ListConfig", "items": children, **self._typing(metadata)}
        # None, a missing value or an interpolation in the place of a mapping or a list.
        return {NODE: type(node).__name__, "value": content, **self._typing(metadata)}

    def _leaf(self, node: Node) -> Any:
        value, metadata = self.value(node._value()), node._metadata
        if type(node) is nodes.AnyNode and metadata.optional and not metadata.flags:
            return value
        return {NODE: type(node).__name__, "value": value, **self._typing(metadata)}

    @staticmethod
    def _is_plain(node: DictConfig | ListConfig, kind: type) -> bool:
        metadata = node._metadata
        types = (metadata.ref_type, metadata.key_type, metadata.element_type)
        if metadata.flags or not metadata.optional or metadata.object_type is not kind:
            return False
        return all(each is Any for each in types)

    def _typing(self, metadata: Metadata) -> dict[str, Any]:
        found = {
            "ref": self.type_name(metadata.ref_type),
            "optional": metadata.optional,
            "flags": dict(metadata.flags or {}),
        }
        if isinstance(metadata, ContainerMetadata):
            found["flags_root"] = metadata.flags_root
            for name in ("object", "key", "element"):
                found[name] = self.type_name(getattr(metadata, f"{name}_type"))
        return found

    def value(self, value: Any) -> Any:
        if isinstance(value, Enum):
            return {NODE: "enum", "of": self.type_name(type(value)), "name": value.name}
        if isinstance(value, Path):
            return {NODE: "path", "value": str(value)}
        if isinstance(value, bytes):
            return {NODE: "bytes", "value": base64.b64encode(value).decode()}
        if isinstance(value, float) and not math.isfinite(value):
            return {NODE: "float", "value": str(value)}
        return value

    def type_name(self, kind: Any) -> Any:
        if kind is None or kind is Any or kind is Ellipsis:
            return {None: None, Any: "any", Ellipsis: "..."}[kind]
        origin = typing.get_origin(kind)
        if origin is not None:
            # A union may be written with ``|`` as well, which is a class of its own.
            name = _GENERICS.get(origin, _GENERICS[typing.Union])[0]
            return [name, *map(self.type_name, typing.get_args(kind))]
        if kind is type(None):
            return "none"
        module = self._main_module if kind.__module__ == "__main__" else kind.__module__
        return f"{module}:{kind.__qualname__}"


def decode_config(data: Any, find_class: ClassFinder) -> Any:
    """Return the node that `encode_config` was given.

    A mapping whose class is not found is one without a declared type; the values are there all the same.
    """
    return _Decoder(find_class).node(data)


class _Decoder:
    def __init__(self, find_class: ClassFinder) -> None:
        self._find_class = find_class

    def node(self, data: Any) -> Node:
        if isinstance(data, list):
            return self._list(ListConfig([]), data)
        if not isinstance(data, Mapping) or data.get(NODE) in ("enum", "path", "bytes", "float"):
            return nodes.AnyNode(self.value(data))
        kind = data.get(NODE)
        if kind is None:
            return self._dict(DictConfig({}), [[key, child] for key, child in data.items()])
        if kind in ("DictConfig", "ListConfig"):
            return self._container(kind, data)
        return self._leaf(kind, data)

    def _container(self, kind: str, data: Mapping[str, Any]) -> Node:
        node: Any = DictConfig({}) if kind == "DictConfig" else ListConfig([])
        if "items" not in data:
            node.__dict__["_content"] = data["value"]
        elif kind == "DictConfig":
            self._dict(node, data["items"])
        else:
            self._list(node, data["items"])
        found = {f"{name}_type": self.type(data[name]) for name in ("ref", "key", "element")}
        declared = self.type(data["object"], missing=dict)
        for name, value in {**found, "object_type": declared}.items():
            setattr(node._metadata, name, value)
        node._metadata.flags_root = data["flags_root"]
        return self._with_flags(node, data)

    def _dict(self, node: DictConfig, pairs: list[Any]) -> DictConfig:
        for key, child in pairs:
            name = self.value(key)
            node.__dict__["_content"][name] = self._adopted(self.node(child), name, node)
        return node

    def _list(self, node: ListConfig, children: list[Any]) -> ListConfig:
        for number, child in enumerate(children):
            node.__dict__["_content"].append(self._adopted(self.node(child), number, node))
        return node

    @staticmethod
    def _adopted(child: Node, key: Any, parent: Container) -> Node:
        child._set_parent(parent)
        child._set_key(key)
        return child

    def _leaf(self, kind: str, data: Mapping[str, Any]) -> Node:
        optional, reference = data["optional"], self.type(data["ref"])
        if kind == "UnionNode":
            held = data["value"]
            node: Any = UnionNode(None, ref_type=reference, is_optional=True)
            content = self._adopted(self.node(held), None, node) if isinstance(held, Mapping) else held
            node.__dict__["_content"] = content
            node._metadata.optional = optional
        elif kind == "EnumNode" and reference is not Any:
            node = nodes.EnumNode(reference, self.value(data["value"]), is_optional=optional)
        elif kind in ("AnyNode", "EnumNode"):
            node = nodes.AnyNode(self.value(data["value"]))
        else:
            node = getattr(nodes, kind)(self.value(data["value"]), is_optional=optional)
        return self._with_flags(node, data)

    @staticmethod
    def _with_flags(node: Node, data: Mapping[str, Any]) -> Node:
        node._metadata.optional = data["optional"]
        node._metadata.flags = dict(data["flags"])
        node._invalidate_flags_cache()
        return node

    def value(self, data: Any) -> Any:
        if not isinstance(data, Mapping):
            return data
        if data[NODE] == "enum":
            kind = self.type(data["of"])
            return data["name"] if kind is Any else kind[data["name"]]
        readers: dict[str, Callable[[str], Any]] = {"path": Path, "bytes": base64.b64decode, "float": float}
        return readers[data[NODE]](data["value"])

    def type(self, name: Any, missing: Any = Any) -> Any:
        if isinstance(name, list):
            arguments = tuple(self.type(each) for each in name[1:])
            return _ORIGINS[name[0]][arguments]
        known: dict[Any, Any] = {None: None, "any": Any, "...": Ellipsis, "none": type(None)}
        if name in known:
            return known[name]
        found = self._find_class(name)
        return missing if found is None else found


def import_class(name: str) -> type | None:
    """Return the class ``module:qualified name``; None where it cannot be imported."""
    module, _, qualified = name.partition(":")
    try:
        found: Any = importlib.import_module(module)
        for part in qualified.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError):
        return None
    return found if isinstance(found, type) else None


def encode_cache(cache: Mapping[str, Mapping[tuple[str, ...], Any]], main_module: str) -> dict[str, list[Any]]:
    """Return what OmegaConf's resolvers with a cache gave as JSON data: (texts of the arguments, value), by name."""
    return {
        name: [[list(texts), encode_value(value, main_module)] for texts, value in values.items()]
        for name, values in cache.items()
    }


def decode_cache(data: Mapping[str, list[Any]], find_class: ClassFinder) -> dict[str, dict[tuple[str, ...], Any]]:
    """Return the cache that `encode_cache` was given."""
    return {
        name: {tuple(texts): decode_value(value, find_class) for texts, value in values}
        for name, values in data.items()
    }


def encode_value(value: Any, main_module: str) -> Any:
    """Return what a resolver gave as JSON data: as a text where no configuration can hold it but as part of a text."""
    try:
        return encode_config(OmegaConf.create([value])._get_node(0), main_module)  # type: ignore[arg-type]
    except OmegaConfBaseException:
        return str(value)


def decode_value(data: Any, find_class: ClassFinder) -> Any:
    """Return the value that `encode_value` was given."""
    node = decode_config(data, find_class)
    return node if isinstance(node, (DictConfig, ListConfig)) else node._value()
