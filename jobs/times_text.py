"""Times as people say them: ``about 2 h``, ``starts in about 2 h``."""

from __future__ import annotations

from datetime import datetime, timedelta

_LSF_FORMATS = ("%b %d %H:%M:%S %Y", "%b %d %H:%M %Y", "%b %d %H:%M:%S", "%b %d %H:%M")
"""How LSF writes a time: without the year where it is this one or the next."""


def about_text(seconds: float) -> str:
    """An expected duration as people say it: ``about 40 s``, ``about 12 min``, ``about 2 h``, ``about 3 days``."""
    for size, unit, most in ((1, "s", 90), (60, "min", 90), (3600, "h", 36)):
        if seconds < most * size:
            return f"about {max(1, round(seconds / size))} {unit}"
    return f"about {round(seconds / 86400)} days"


def clock_text(moment: datetime, now: datetime) -> str:
    """The time of day of a moment, with the date unless that is today's: ``18:30``, ``Tue 8 Dec 06:15``."""
    return moment.strftime("%H:%M" if moment.date() == now.date() else f"%a {moment.day} %b %H:%M")


def parse_scheduler_time(text: str, now: datetime) -> datetime | None:
    """Return a local time as SLURM (``2026-11-29T18:30:00``) or LSF (``Nov 29 18:30``) writes it; None for others."""
    try:
        return datetime.fromisoformat(text).replace(tzinfo=None)
    except ValueError:
        pass
    for form in _LSF_FORMATS:
        has_year = "%Y" in form
        try:
            # Without a year, February 29 would be an error in most years.
            found = datetime.strptime(text if has_year else f"{text} {now.year}", form if has_year else f"{form} %Y")
        except ValueError:
            continue
        half_a_year = timedelta(days=183)
        return found.replace(year=now.year + 1) if not has_year and found < now - half_a_year else found
    return None


def start_text(text: str, now: datetime) -> str:
    """Say when a scheduler expects a start: ``starts in about 2 h (18:30)``; its own words if they are no time."""
    moment = parse_scheduler_time(text, now)
    if moment is None:
        return f"is expected to start {text}"
    seconds = (moment - now).total_seconds()
    return f"starts in {about_text(seconds)} ({clock_text(moment, now)})" if seconds > 0 else "is due to start"
