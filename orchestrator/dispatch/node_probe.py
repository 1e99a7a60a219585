"""A one-minute job that reports what a node of the cluster sees: the packages, a GPU, the root, the time."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from seedfold.jobs.errors import UnreachableError, UsageError
from seedfold.jobs.resources import Resources
from seedfold.orchestrator.dispatch.doctor import SKEW_PROBLEM_S, SKEW_WARNING_S
from seedfold.orchestrator.ledger.atomic_files import create_once, write_atomically
from seedfold.orchestrator.schedulers.backend import Backend, RefusedError
from seedfold.orchestrator.schedulers.findings import Finding, Level

_REPORT_FILE = "said.json"
_FILE_DELAY_S = 15.0


def probe(folder: str, name: str) -> None:
    """Write what this node sees to a file in ``folder``: the function that the job calls."""
    report: dict[str, Any] = {"host": os.uname().nodename, "node": os.environ.get("SLURMD_NODENAME", "")}
    report["gpus"] = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    try:
        import torch

        report["torch"] = f"{torch.__version__}, {torch.cuda.device_count()} devices"
    except ImportError as error:
        report["error"] = str(error)
    report["claims"] = create_once(Path(folder, name), "") and not create_once(Path(folder, name), "")
    report["time"] = time.time()
    write_atomically(Path(folder, _REPORT_FILE), [json.dumps(report)])
    sys.exit(0)


def examine_node(root: Path, backend: Backend, resources: Resources, wait_s: float) -> Iterator[Finding]:
    """Run the probe on a node and return what it found; waits at most ``wait_s`` seconds.

    Raises UsageError if the scheduler refuses the job, UnreachableError if the scheduler does not reply.
    """
    folder = root / f".probe-{os.urandom(4).hex()}"
    folder.mkdir(parents=True)
    try:
        number = backend.submit_probe(folder, probe, [str(folder), "claim"], resources)
    except RefusedError as error:
        shutil.rmtree(folder)
        raise UsageError(f"the scheduler refused the probe: {error}") from None
    except (UsageError, UnreachableError):
        shutil.rmtree(folder)
        raise
    yield Finding("ok", "probe", f"job {number} submitted; waiting up to {wait_s:g} s for its report")
    report = _wait_for_report(folder, number, wait_s, backend)
    if isinstance(report, Finding):
        yield report
        return
    yield from _findings_from_report(report, bool(resources.gpus))
    shutil.rmtree(folder)


def _wait_for_report(folder: Path, number: str, wait_s: float, backend: Backend) -> dict[str, Any] | Finding:
    end, gone_since = time.monotonic() + wait_s, None
    while time.monotonic() < end:
        if (folder / _REPORT_FILE).exists():
            report: dict[str, Any] = json.loads((folder / _REPORT_FILE).read_text())
            return {**report, "skew": report["time"] - time.time()}
        state = backend.queue_state(number)[0]
        gone_since = gone_since or (None if state else time.monotonic())
        if gone_since and time.monotonic() - gone_since > _FILE_DELAY_S:
            text = (
                f"job {number} ended and wrote no report to {folder}; the last"
                f" line of its log: {_last_log_line(folder)}"
            )
            return Finding(
                "problem", "probe", text, "nodes must see the root and this Python under the same paths as this machine"
            )
        time.sleep(0.5)
    reason = backend.queue_state(number)[1] or "unknown"
    text = f"job {number} has not run within {wait_s:g} s (reason: {reason})"
    return Finding("warning", "probe", text, f"look into {folder} later, or cancel job {number}")


def _last_log_line(folder: Path) -> str:
    lines = [line for log in folder.glob("*.log") for line in log.read_text(errors="replace").strip().splitlines()]
    return lines[-1] if lines else "none"


def _findings_from_report(report: dict[str, Any], with_gpu: bool) -> Iterator[Finding]:
    yield Finding("ok", "node", f"{report['node'] or report['host']} sees the root and this Python")
    if "error" in report:
        yield Finding("problem", "node's torch", report["error"], "install torch in the environment that the nodes use")
    else:
        yield Finding("ok", "node's torch", report["torch"])
    if with_gpu and not report["gpus"]:
        yield Finding(
            "problem", "node's GPU", "the job asked for a GPU, and none is visible", "ask the site how to request GPUs"
        )
    if not report["claims"]:
        yield Finding("problem", "node's claims", "a file could be created twice", "use a root on another file system")
    skew = abs(report["skew"])
    level: Level = "problem" if skew > SKEW_PROBLEM_S else "warning" if skew > SKEW_WARNING_S else "ok"
    remedy = "" if level == "ok" else "let NTP set the clocks"
    yield Finding(level, "node's clock", f"differs from this machine's by {skew:.1f} s at most", remedy)
