"""Configurations that hydra-zen makes, in its store, for a function of @hydra.main."""

import hydra
from hydra.utils import instantiate
from hydra_zen import builds, make_config, store
from seen import write_seen


class Ridge:
    def __init__(self, strength: float, degree: int = 1) -> None:
        self.strength, self.degree = strength, degree


def make_points(count: int, noise: float = 0.1) -> list[float]:
    return [number * noise for number in range(count)]


Strong = builds(Ridge, strength=2.0, populate_full_signature=True)
Weak = builds(Strong, strength=0.5, builds_bases=(Strong,))
store(Strong, group="model", name="strong")
store(Weak, group="model", name="weak")
points = builds(make_points, count=3, zen_partial=True, populate_full_signature=True)
store(make_config("model", points=points, seed=1, hydra_defaults=["_self_", {"model": "weak"}]), name="run")
store.add_to_hydra_store()


@hydra.main(version_base=None, config_path=None, config_name="run")
def main(cfg):
    model, points = instantiate(cfg.model), instantiate(cfg.points)(noise=cfg.seed)
    returned = model.strength * model.degree + sum(points)
    write_seen(cfg, returned)
    return returned


if __name__ == "__main__":
    main()
