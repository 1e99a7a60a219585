"""Random trees of configuration files, and what may be seen of a composed configuration."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from hypothesis import strategies as st
from omegaconf import DictConfig, ListConfig

KEYS = ("a", "b", "m")
scalars = st.none() | st.integers(0, 3) | st.sampled_from(["text", "???"])
references = st.sampled_from(["${a}", "${b}", "${m}", "${a.x}", "${.y}", "x-${b}", "${m.x}", "${oc.create:{x: 1}}"])
leaves = scalars | references | st.lists(scalars, max_size=2)
inner = leaves | st.dictionaries(st.sampled_from(["x", "y"]), leaves, max_size=2)
contents = st.dictionaries(st.sampled_from([*KEYS, "x"]), inner, max_size=3)


@st.composite
def trees(draw: st.DrawFn) -> dict[str, str]:
    """Configuration files of two groups with two options each, in any package."""
    order = draw(st.permutations(["_self_", {"left": "one"}, {"right": "one"}]))
    files = {"config": yaml_text({"defaults": order, **draw(contents)})}
    for group in ("left", "right"):
        package = draw(st.sampled_from(["_global_", "_group_", "m", "a.x"]))
        for option in ("one", "two"):
            files[f"{group}/{option}"] = f"# @package {package}\n{yaml_text(draw(contents))}"
    return files


def yaml_text(content: dict[str, Any]) -> str:
    """Return the text of a file."""
    text: str = yaml.safe_dump(content, sort_keys=False)
    return text


def node_facts(node: Any, place: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
    """Yield everything that may be seen of a node and of those in it."""
    data = node._metadata
    closed = node._is_interpolation() or node._is_none() or node._is_missing()
    value = None if isinstance(node, (DictConfig, ListConfig)) and not closed else node._value()
    yield place, value, type(node), data.ref_type, data.object_type, data.optional, dict(data.flags or {})
    if isinstance(node, (DictConfig, ListConfig)) and not closed:
        for key in node.keys() if isinstance(node, DictConfig) else range(len(node)):
            child = node._get_node(key)
            assert child._get_parent() is node
            yield from node_facts(child, (*place, key))


def write(folder: Path, files: dict[str, str]) -> None:
    """Write configuration files by their names without the ending."""
    for name, text in files.items():
        path = folder / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
