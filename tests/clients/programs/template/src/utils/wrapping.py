import functools
import logging
from pathlib import Path

log = logging.getLogger(__name__)


def task_wrapper(function):
    @functools.wraps(function)
    def wrap(cfg):
        try:
            return function(cfg)
        finally:
            Path(cfg.paths.output_dir, "ended.txt").write_text(cfg.paths.root_dir)
            log.info("output dir: %s", cfg.paths.output_dir)

    return wrap
