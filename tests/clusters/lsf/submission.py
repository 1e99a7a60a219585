"""What bsub makes of its options and of the ``#BSUB`` lines that it reads from standard input."""

from __future__ import annotations

import re
import shlex
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from clusters.lsf.dependencies import indices
from clusters.lsf.jobs import Array, Request, Resources
from clusters.lsf.settings import UNITS, Settings

WITH_VALUE = set("EwLfkRmJuioenqbtsWcFMDSCvpPTGUgaX")
FLAGS = set("BNrxHIKhVA")
OLD_WORDS = {"Is": False, "Ip": False, "sp": True}
"""Options of several letters that the old server has, and whether they have a value."""
LONG_WITH_VALUE = (
    *("oo", "eo", "gpu", "wa", "wt", "cwd", "env", "app", "sla", "We", "Jd", "outdir", "ptl", "eptl"),
    *("ext", "is", "ul", "rnc", "freq", "network", "data", "Ep"),
)
LONG_FLAGS = ("ti", "rn", "hl", "ISs", "IS", "Zs", "Ne", "Ns")
WORDS = OLD_WORDS | dict.fromkeys(LONG_WITH_VALUE, True) | dict.fromkeys(LONG_FLAGS, False)
SIGNALS = {"HUP": 1, "INT": 2, "QUIT": 3, "KILL": 9, "USR1": 10, "USR2": 12, "TERM": 15, "URG": 23}
SECTION = re.compile(r"(\w+)\[((?:[^\[\]]|\[[^\]]*\])*)\]")
NUMERIC = {"mem", "swp", "tmp", "ngpus", "ngpus_physical", "ngpus_excl_p", "ngpus_shared"}
GPUS = {"ngpus", "ngpus_physical", "ngpus_excl_p", "ngpus_shared"}


class Refused(Exception):
    """bsub does not take the job; the text is what it says before ``Job not submitted.``"""


class Usage(Exception):
    """The command line makes no sense; the text is the complaint."""


@dataclass
class Options:
    """What a command line or the ``#BSUB`` lines of a script say, the last word on each last."""

    values: dict[str, list[str]] = field(default_factory=dict)
    flags: set[str] = field(default_factory=set)
    command: list[str] = field(default_factory=list)

    def last(self, name: str) -> str | None:
        return self.values.get(name, [None])[-1]

    def over(self, other: Options) -> Options:
        """With the other's where this one says nothing."""
        return Options({**other.values, **self.values}, self.flags | other.flags, self.command)


def parse(arguments: Sequence[str], classic: bool) -> Options:
    """The options of a command line, up to the command. An old server knows few options of several letters."""
    options, left = Options(), list(arguments)
    while left and left[0].startswith("-") and left[0] != "-":
        argument = left.pop(0)
        if argument == "--":
            break
        take(argument[1:], left, options, OLD_WORDS if classic else WORDS)
    options.command = left
    return options


def take(text: str, left: list[str], options: Options, words: dict[str, bool]) -> None:
    """One argument's options, and their value from the next where it has none."""
    if text in words:
        set_option(text, "" if words[text] else None, left, options)
        return
    while text:
        letter, text = text[0], text[1:]
        if letter in WITH_VALUE:
            return set_option(letter, text, left, options)
        if letter not in FLAGS:
            raise Usage(f"bsub: illegal option -- {letter}")
        options.flags.add(letter)


def set_option(name: str, value: str | None, left: list[str], options: Options) -> None:
    if value is None:
        options.flags.add(name)
        return
    if not value and not left:
        raise Usage(f"bsub: option requires an argument -- {name}")
    options.values.setdefault(name, []).append(value or left.pop(0))


def embedded(script: str, classic: bool) -> Options:
    """What the ``#BSUB`` lines of a script say."""
    words: list[str] = []
    for line in script.splitlines():
        if match := re.match(r"#\s?BSUB\s+(.*)", line):
            words += comment_cut(shlex.split(match[1]))
    options = parse(words, classic)
    options.command = []
    return options


def comment_cut(words: list[str]) -> list[str]:
    comments = [place for place, word in enumerate(words) if word.startswith("#")]
    return words[: comments[0]] if comments else words


def wants_script(arguments: Sequence[str], classic: bool) -> bool:
    """Whether bsub reads standard input: it does when the command line names no command."""
    return not parse(arguments, classic).command


def request(
    arguments: Sequence[str], script: str, environment: dict[str, str], cwd: str, user: str, settings: Settings
) -> Request:
    """What is asked for.

    Raises `Usage` and `Refused`.
    """
    options = parse(arguments, settings.classic)
    command = " ".join(options.command)
    if not command:
        options = options.over(embedded(script, settings.classic))
        command = script
    if not command.strip():
        raise Refused("Empty job" if settings.classic else "No command is specified")
    queue = options.last("q") or environment.get("LSB_DEFAULTQUEUE")
    name, array = job_name(options.last("J") or "", settings)
    error, output = options.last("eo") or options.last("e"), options.last("oo") or options.last("o")
    return Request(
        command=command,
        user=user,
        cwd=options.last("cwd") or cwd,
        environment=environment,
        queue=(queue or settings.default_queue).split()[0],
        queue_was_named=bool(queue),
        name=name,
        array=array,
        resources=resources(options, settings),
        run_limit=run_limit(options.last("W")),
        memory_limit=memory_limit(options.last("M"), settings),
        output=output and absolute(output, cwd),
        error=error and absolute(error, cwd),
        output_overwrites="oo" in options.values,
        error_overwrites="eo" in options.values,
        input=options.last("i"),
        dependency=options.last("w"),
        hold="H" in options.flags,
        begin=begin(options.last("b")),
        group=options.last("g") or "",
        project=options.last("P") or "default",
        rerunnable="r" in options.flags,
        requeue_exit_values=requeue_values(options.last("Q")),
        warning_signal=warning_signal(options.last("wa")),
        warning_time=60 * float(options.last("wt") or 0),
        interactive=bool(options.flags & {"I", "Is", "Ip"}),
        wait="K" in options.flags,
        direct_output=environment.get("LSB_STDOUT_DIRECT", "").lower() == "y",
    )


def absolute(path: str, cwd: str) -> str:
    return path if path.startswith("/") else f"{cwd}/{path}"


def requeue_values(text: str | None) -> tuple[int, ...]:
    return tuple(int(word) for word in (text or "").split() if word.isdigit())


def job_name(text: str, settings: Settings) -> tuple[str, Array | None]:
    """The name, and the array that stands behind it: ``name[1-20]%5``."""
    match = re.fullmatch(r"(.*?)\[([^\]]*)\](?:%(\d+))?", text)
    if match is None:
        return text, None
    try:
        numbers = tuple(sorted(set(indices(match[2]))))
    except ValueError:
        raise Refused(f"{text}: Bad job name") from None
    if numbers[0] < 1:
        raise Refused("Job array index error")
    if numbers[-1] > settings.max_job_array_size:
        raise Refused("Job array index too large")
    step = re.search(r":(\d+)", match[2])
    return match[1], Array(numbers, int(match[3]) if match[3] else None, int(step[1]) if step else 1)


def run_limit(text: str | None) -> float | None:
    """In seconds: minutes, or ``H:MM``."""
    if text is None:
        return None
    match = re.fullmatch(r"(?:(\d+):)?(\d+(?:\.\d+)?)(?:/.*)?", text)
    if match is None:
        raise Refused(f"{text}: Bad RUNLIMIT specification")
    return 60 * (60 * int(match[1] or 0) + float(match[2]))


def memory_limit(text: str | None, settings: Settings) -> int | None:
    if text is None:
        return None
    try:
        return memory(text, settings.limit_unit, settings)
    except ValueError:
        raise Refused(f"{text}: Bad MEMLIMIT specification") from None


def memory(text: str, unit: int, settings: Settings) -> int:
    """In bytes; a number alone is in that ``unit``, and an old server knows nothing else."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]B?)?", text.strip().upper())
    if match is None or (match[2] and settings.classic):
        raise ValueError(text)
    return int(float(match[1]) * (UNITS[match[2]] if match[2] else unit))


def begin(text: str | None) -> float | None:
    """In seconds from now: ``[[month:]day:]hour:minute``, the next time that it comes."""
    if text is None:
        return None
    try:
        *date, hour, minute = (int(part) for part in text.split(":"))
        if len(date) > 2 or not (0 <= hour < 24 and 0 <= minute < 60):
            raise ValueError(text)
        now = time.localtime()
        month, day = date if len(date) > 1 else (now.tm_mon, *date, now.tm_mday)[:2]
        late = time.mktime((now.tm_year, month, day, hour, minute, 0, 0, 0, -1)) - time.time()
    except (ValueError, OverflowError):
        raise Refused(f"{text}: Bad time specification") from None
    return late if late > 0 else late + 86400


def warning_signal(text: str | None) -> str | None:
    if text is None:
        return None
    name = text.strip("'\"").removeprefix("SIG")
    if name not in SIGNALS:
        raise Refused(f"{text}: Bad or invalid action specification")
    return name


# Resources


def resources(options: Options, settings: Settings) -> Resources:
    """What ``-n -R -gpu -m`` ask for."""
    texts = options.values.get("R", [])
    texts = texts[-1:] if settings.classic else texts
    found = Found(slots=slots(options.last("n")))
    for text in texts:
        read_requirement(text, found, settings)
    if gpu := options.last("gpu"):
        read_gpu(gpu, found)
    hosts = tuple(name.partition("+")[0] for name in (options.last("m") or "").split())
    if unknown := [name for name in hosts if name not in settings.hosts and name not in {"all", "others"}]:
        raise Refused(f"{unknown[0]}: Bad host name, host group name or cluster name")
    select = " && ".join(f"({part})" for part in found.select)
    return Resources(
        slots=found.slots,
        memory=found.memory,
        gpus=found.gpus,
        gpu_memory=found.gpu_memory,
        gpus_are_told=bool(gpu),
        select=select,
        one_host=found.one_host,
        hosts=tuple(name for name in hosts if name in settings.hosts),
        text=" ".join(texts),
    )


@dataclass
class Found:
    """Resources, as far as they have been read."""

    slots: int = 1
    memory: int = 0
    gpus: int = 0
    gpu_memory: int = 0
    select: list[str] = field(default_factory=list)
    one_host: bool = False


def slots(text: str | None) -> int:
    """Of ``4`` or ``2,4``, the least."""
    match = re.fullmatch(r"(\d+)(?:,\d+)?", text or "1")
    if match is None or match[1] == "0":
        raise Refused(f"{text}: Bad argument for option -n")
    return int(match[1])


def read_requirement(text: str, found: Found, settings: Settings) -> None:
    bare = SECTION.sub(" ", text).strip()
    if bare:
        found.select.append(bare)
    for name, body in SECTION.findall(text):
        if name == "rusage":
            read_usage(body, found, settings)
        elif name == "select":
            found.select.append(body)
        elif name == "span":
            found.one_host = found.one_host or body.replace(" ", "") == "hosts=1"
        elif name not in {"order", "same", "affinity", "cu"} or (name in {"affinity", "cu"} and settings.classic):
            raise Refused("Bad resource requirement syntax")


def read_usage(body: str, found: Found, settings: Settings) -> None:
    for part in re.split(r"[,:]", body):
        name, sign, value = part.strip().partition("=")
        if name in {"duration", "decay"}:
            continue
        try:
            number, unit = value.partition("/")[0], settings.reserved_unit
            amount = memory(number, unit, settings) if name == "mem" else float(number)
        except ValueError:
            raise Refused("Bad resource requirement syntax") from None
        if name not in NUMERIC or not sign:
            raise Refused("Bad resource requirement syntax")
        if name == "mem":
            found.memory = int(amount)
        if name in GPUS:
            found.gpus = int(amount)


def read_gpu(text: str, found: Found) -> None:
    """``num=1:mode=exclusive_process:j_exclusive=yes:gmem=11G``, or ``-`` for one."""
    found.gpus = 1
    for part in [] if text == "-" else text.split(":"):
        name, _, value = part.partition("=")
        if name == "num" and re.fullmatch(r"\d+(/\w+)?", value):
            found.gpus = int(value.partition("/")[0])
        elif name == "gmem" and (match := re.fullmatch(r"(\d+(?:\.\d+)?)([KMGT]?)B?", value.upper())):
            found.gpu_memory = int(float(match[1]) * UNITS[match[2] or "M"])
        elif name not in {"mode", "mps", "j_exclusive", "gmodel", "gtile", "glink", "aff", "gvendor", "block"}:
            raise Refused(f"{text}: Bad GPU requirement syntax")
