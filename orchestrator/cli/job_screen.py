"""One job in the display of `seedfold watch`: how far it is, its learning curves and the end of its log."""

from __future__ import annotations

from seedfold.jobs.terminal_text import terminal_log, terminal_text
from seedfold.orchestrator.cli.console import StyledLine, duration_text, make_lines, wrap_lines
from seedfold.orchestrator.cli.curve_lines import curve_lines
from seedfold.orchestrator.cli.running_rows import epoch_text
from seedfold.orchestrator.state.job_curves import read_curves
from seedfold.orchestrator.state.overview import JobView, job_label
from seedfold.orchestrator.state.running_jobs import RunningJob
from seedfold.orchestrator.state.study_logs import log_file, read_end


def job_lines(view: JobView, running: RunningJob | None, width: int, height: int) -> list[StyledLine]:
    """Return what fits of a job: all curves that have room, and as much of the end of its log as the rest leaves."""
    top = [*make_lines(job_label(view.job), style="bold"), *make_lines(_state_text(view, running))]
    curves = make_lines(*curve_lines(read_curves(view), width))
    above = [*wrap_lines(top, width), *curves[: max(1, height // 2)]]
    return [*above, *_log_lines(view, width, height - len(above))][:height]


def _state_text(view: JobView, running: RunningJob | None) -> str:
    reason = f": {view.job_state.reason}" if view.job_state.reason and view.state != "running" else ""
    parts = [view.state + reason]
    if running is not None:
        left = f"about {duration_text(running.left_s)} left" if running.left_s is not None else ""
        parts += [epoch_text(running), f"for {duration_text(running.elapsed_s)}", left, terminal_text(running.place)]
    return ", ".join(filter(None, parts))


def _log_lines(view: JobView, width: int, room: int) -> list[StyledLine]:
    """The last lines of the log; ``room`` counts the line above them."""
    lines, _ = read_end(log_file(view))
    texts = "".join(terminal_log([b"\n".join(lines)])).splitlines()
    if not texts:
        return make_lines("it has printed nothing yet" if view.state == "running" else "it has printed nothing")
    shown = wrap_lines(make_lines(*texts), width)
    return [*make_lines("the end of its log:", style="dim"), *shown[max(0, len(shown) - max(0, room - 1)) :]]
