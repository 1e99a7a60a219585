"""Structured configurations: groups of dataclasses, a schema for a file, and every kind of field."""

from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

import hydra
from hydra.core.config_store import ConfigStore
from omegaconf import MISSING, OmegaConf
from seen import write_seen


class Colour(Enum):
    RED = 1
    BLUE = 2


@dataclass
class Engine:
    power: int = MISSING
    parts: list[str] = field(default_factory=list)


@dataclass
class Petrol(Engine):
    power: int = 70
    tank: float = 40.0


@dataclass
class Electric(Engine):
    power: int = 100
    cells: dict[str, int] = field(default_factory=lambda: {"front": 4})


@dataclass
class Wheel:
    size: int = 17
    worn: bool = False


@dataclass
class Car:
    defaults: list[Any] = field(default_factory=lambda: [{"engine": "petrol"}, "_self_"])
    engine: Engine = MISSING
    colour: Colour = Colour.RED
    wheels: list[Wheel] = field(default_factory=lambda: [Wheel(), Wheel(18)])
    doors: dict[int, Wheel] = field(default_factory=lambda: {1: Wheel(2)})
    papers: Path | None = None
    trip: tuple[float, float] = (1.0, 2.5)
    anything: Any = field(default_factory=Wheel)
    weight: int = "${engine.power}"
    never_given: str = MISSING


store = ConfigStore.instance()
store.store(name="car_schema", node=Car)
store.store(group="engine", name="petrol", node=Petrol)
store.store(group="engine", name="electric", node=Electric)


@hydra.main(version_base=None, config_path="conf", config_name="config")
def main(cfg):
    engine = OmegaConf.to_object(cfg.engine)
    returned = engine.power + cfg.weight
    write_seen(cfg, returned)
    return returned


if __name__ == "__main__":
    main()
