"""What is said of held jobs: how many there are, what they wait for, and what to do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from seedfold.jobs.description import JobDescription
from seedfold.jobs.errors import count_noun
from seedfold.orchestrator.ledger.holds import Hold
from seedfold.orchestrator.state.job_states import ACTIVE_STATES, JobStates


def held_lines(states: JobStates, study: str, jobs: Iterable[str]) -> list[str]:
    """A line for each group of ``jobs`` that are held for the same reason."""
    counts: Counter[tuple[tuple[str, ...], bool]] = Counter()
    for job in jobs:
        if states.of(job).is_held and (hold := states.hold_of(job)) is not None:
            counts[tuple(hold.pilots), hold.is_auto] += 1
    return [_held_text(states, study, Hold(pilots, is_auto), count) for (pilots, is_auto), count in counts.items()]


def kept_back(states: JobStates, jobs: Iterable[JobDescription]) -> set[str]:
    """The jobs that do not begin because they, or jobs that they need, are held. Parents come before their children."""
    found: set[str] = set()
    for job in jobs:
        if states.of(job.id).is_held or not found.isdisjoint(job.parents):
            found.add(job.id)
    return found


def _held_text(states: JobStates, study: str, hold: Hold, count: int) -> str:
    held, release = count_noun(count, "job is held", "jobs are held"), f"seedfold release {study}"
    if not hold.pilots:
        return f"{held}; to let {'it' if count == 1 else 'them'} go on: {release}"
    stopped = _stopped_pilots(states, hold.pilots)
    done = sum(states.of(pilot).state == "done" for pilot in hold.pilots)
    progress = f"{done} of {len(hold.pilots)} pilot jobs done"
    if stopped:
        found = ", ".join(f"{number} {state}" for state, number in stopped.items())
        stays = "stays" if count == 1 else "stay"
        return (
            f"{held} for the pilot, and {stays} so ({progress}, {found}); to try the pilot again: seedfold resume"
            f" {study}; to run the others all the same: {release}"
        )
    if hold.is_auto:
        return f"{held} until the pilot is done ({progress}); then they go on by themselves"
    return f"{held} for the pilot ({progress}); to run the others: {release}"


def _stopped_pilots(states: JobStates, pilots: Sequence[str]) -> Counter[str]:
    """The pilot jobs that will not be done without a command, by state."""
    found = (states.of(pilot) for pilot in pilots)
    return Counter(
        state.state
        for state in found
        if state.state != "done" and state.state not in ACTIVE_STATES and not state.has_nothing_to_do
    )
