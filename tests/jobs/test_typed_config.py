"""A configuration comes back from JSON with everything that OmegaConf knows of it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
from omegaconf import MISSING, DictConfig, ListConfig, OmegaConf, UnionNode
from omegaconf.errors import OmegaConfBaseException

from seedfold.jobs.typed_config import decode_config, encode_config, import_class


class Speed(Enum):
    SLOW = 1
    FAST = "f"


@dataclass
class Layer:
    width: int = 3
    speed: Speed = Speed.SLOW


@dataclass
class WideLayer(Layer):
    factor: float = 2.0


@dataclass(frozen=True)
class FixedLayer:
    width: int = 5


@dataclass
class Everything:
    layer: Layer = field(default_factory=WideLayer)
    fixed: FixedLayer = field(default_factory=FixedLayer)
    layers: list[Layer] = field(default_factory=lambda: [Layer(), WideLayer(4)])
    by_name: dict[str, Layer] = field(default_factory=lambda: {"a": WideLayer()})
    by_speed: dict[Speed, float] = field(default_factory=lambda: {Speed.FAST: 1.5})
    by_number: dict[int, str] = field(default_factory=lambda: {1: "one"})
    any: Any = field(default_factory=Layer)
    later: int = MISSING
    later_layer: Layer = MISSING
    maybe: Speed | None = None
    no_layer: Layer | None = None
    either: int | str = 3
    linked: int = "${layer.width}"  # type: ignore[assignment]
    linked_layer: Layer = "${layer}"  # type: ignore[assignment]
    pair: tuple[int, int] = (1, 2)
    folder: Path = Path("data")
    raw: bytes = b"\x00\xff"
    limit: float = float("inf")


def with_flags(config: DictConfig) -> DictConfig:
    OmegaConf.set_struct(config, True)
    OmegaConf.set_readonly(config.a, True)
    return config


CONFIGS = [
    OmegaConf.structured(Everything),
    OmegaConf.create({"plain": {"a": [1, 2.5, None, True, "${plain.b}", "???"], "b": "x"}, "$": {"$": 1}}),
    OmegaConf.create({0: "cat", 1.5: "dog", True: "yes", Speed.SLOW: Speed.FAST, "list": [{0: 1}], b"k": b"v"}),
    OmegaConf.create({"typed": Layer(), "list": [WideLayer()], "path": Path("a"), "nan": float("nan")}),
    with_flags(OmegaConf.create({"a": {"b": 1}, "c": "${a}"})),
]


def facts(node: Any) -> Any:
    """Everything that OmegaConf knows of a node and what is in it."""
    metadata = {key: value for key, value in vars(node._metadata).items() if key != "resolver_cache"}
    content = node._content if isinstance(node, (DictConfig, ListConfig, UnionNode)) else node._value()
    if isinstance(content, dict):
        content = [(key, facts(child)) for key, child in content.items()]
    elif isinstance(content, list):
        content = [facts(child) for child in content]
    elif hasattr(content, "_metadata"):
        content = facts(content)
    return type(node), metadata, repr(content)


@pytest.mark.parametrize("config", CONFIGS)
def test_a_configuration_comes_back_from_json_as_it_was(config: DictConfig) -> None:
    text = json.dumps(encode_config(config, "train"), allow_nan=False)
    back = decode_config(json.loads(text), import_class)
    assert facts(back) == facts(config)
    assert OmegaConf.to_yaml(back) == OmegaConf.to_yaml(config)


def test_a_configuration_that_came_back_refuses_and_follows_as_before() -> None:
    back = decode_config(json.loads(json.dumps(encode_config(CONFIGS[0], "train"))), import_class)
    back.layer.width = 7
    assert (back.linked, back.linked_layer.width) == (7, 7)
    for key, value in {
        "layer.speed": "NONE",
        "fixed.width": 3,
        "unknown": 1,
        "either": [1],
        "by_number": {"a": 1},
    }.items():
        with pytest.raises(OmegaConfBaseException):
            OmegaConf.update(back, key, value)
    assert isinstance(OmegaConf.to_object(back.by_name)["a"], WideLayer)


def test_values_are_there_without_the_class() -> None:
    @dataclass
    class Local:
        width: int = 3

    config = OmegaConf.structured({"local": Local})
    back = decode_config(encode_config(config, "train"), import_class)
    assert (back, OmegaConf.get_type(back, "local")) == ({"local": {"width": 3}}, dict)
