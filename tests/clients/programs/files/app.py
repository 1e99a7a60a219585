"""Configuration files: groups, packages, specialising, experiments, several options of a group, extending."""

import hydra
from hydra.utils import instantiate
from seen import write_seen


@hydra.main(version_base=None, config_path="conf", config_name="config")
def main(cfg):
    counter = instantiate(cfg.counter)
    counter.update(cfg.model.layers)
    returned = {"layers": len(counter), "sites": list(cfg.site), "path": cfg.reader.path}
    cfg.seed += 10
    write_seen(cfg, returned)
    return returned


if __name__ == "__main__":
    main()
