"""Random small programs: configurations as they are stored for Hydra, and the overrides of a sweep.

Values are of the wrong type now and then, keys and options do not exist, and orders make no sense: Hydra refuses about
half of the examples.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from hypothesis import strategies as st
from omegaconf import MISSING

ROOT = "random_root"


class Color(Enum):
    RED = 1
    GREEN = "g"


@dataclass
class Opt:
    lr: float = 0.1
    name: str = "opt"


@dataclass
class Sgd(Opt):
    momentum: float | None = None
    betas: tuple[float, float] = (0.9, 0.99)


@dataclass
class Layer:
    width: int = 3
    act: str | None = None
    folder: Path = Path("a")


@dataclass
class WideLayer(Layer):
    factor: float = 1.5
    color: Color = Color.RED


@dataclass(frozen=True)
class Fixed:
    width: int = 4


@dataclass
class Net:
    layers: list[Layer] = field(default_factory=lambda: [Layer(), WideLayer()])
    by_name: dict[str, Layer] = field(default_factory=lambda: {"a": Layer()})
    by_number: dict[int, float] = field(default_factory=lambda: {1: 0.5})
    by_color: dict[Color, int] = field(default_factory=lambda: {Color.RED: 1})
    by_flag: dict[bool, str] = field(default_factory=lambda: {True: "yes"})
    any: Any = 1


@dataclass
class Root:
    defaults: list[Any] = field(default_factory=list)
    opt: Opt = MISSING
    loose: Any = MISSING
    net: Net = field(default_factory=Net)
    layer: Layer | None = None
    fixed: Fixed = field(default_factory=Fixed)
    color: Color = Color.GREEN
    folder: Path = Path("data")
    seed: int = 0
    rate: float = 0.5
    on: bool = True
    text: str = "word"
    maybe: int | None = None
    either: int | str = 3
    pair: tuple[int, int] = (1, 2)
    later: int = MISSING
    linked: int = "${seed}"  # type: ignore[assignment]
    linked_layer: Layer = "${net.layers[0]}"  # type: ignore[assignment]
    numbers: list[int] = field(default_factory=lambda: [1, 2])
    table: dict[str, float] = field(default_factory=lambda: {"a": 1.0})
    free: dict[str, Any] = field(default_factory=lambda: {"a": 1, "b": {"c": [1, {"d": 2}]}})


@dataclass(frozen=True)
class Option:
    """One option of a config group, or the primary configuration (with an empty group)."""

    group: str
    name: str
    node: Any
    package: str | None = None


@dataclass(frozen=True)
class RandomProgram:
    """What is stored, and the overrides of the command line."""

    options: tuple[Option, ...]
    overrides: tuple[str, ...]


GROUPS = ("opt", "loose", "net/layer")
NAMES = ("one", "two")
PACKAGES = (None, None, None, None, None, "_global_", "_group_", "other.place", "opt", "_global_.free")

numbers = st.sampled_from([0, 1, 2, -3, 10, 0.5, 1.0, 1e-3, 2.5e10])
words = st.sampled_from(
    ["word", "two words", "1", "null", "true", "a,b", "it's", "x=y", "RED", "GREEN", "", "ä", "${seed}"]
)
references = st.sampled_from(
    [
        "${seed}", "pre-${text}", "${.a}", "${..rate}", "${oc.select:nope,3}", "${net.by_name}", "${hydra:job.num}",
        "${opt}", "${numbers[0]}", "${oc.env:HOME}", "${unknown:1}", "${now:%Y}",
    ]
)  # fmt: skip
scalars = numbers | words | st.booleans() | st.none() | references | st.just("???")
plain_values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["a", "b", "lr", "c"]), inner, max_size=2)
    ),
    max_leaves=4,
)
layers = st.builds(Layer, width=st.integers(0, 3), act=st.none() | st.just("relu")) | st.builds(
    WideLayer, factor=st.sampled_from([1.0, 2.5]), color=st.sampled_from(Color)
)
opts = st.builds(Opt, lr=st.sampled_from([0.1, 1.0])) | st.builds(Sgd, momentum=st.none() | st.just(0.5))
nets = st.builds(
    Net,
    layers=st.lists(layers, max_size=2),
    by_name=st.dictionaries(st.sampled_from(["a", "b"]), layers, max_size=2),
    by_number=st.dictionaries(st.sampled_from([0, 1, 7]), st.sampled_from([0.5, 2.0]), max_size=2),
    any=plain_values | layers | opts,
)
keys = st.sampled_from(["seed", "rate", "text", "a", "b", "free", "opt", "numbers", 0, 2, True, 0.5, "x.y"])
plain_roots = st.dictionaries(keys, plain_values, max_size=6)


def default_entries(groups: Sequence[str], slash: str) -> st.SearchStrategy[Any]:
    """Entries of a defaults list, with options of these groups."""
    names = st.sampled_from([*NAMES * 5, None, ["one", "two"], "???"])
    packages = st.sampled_from(["", "", "", "@other", "@_global_", "@free.b", "@net.any"])
    chosen = st.builds(
        lambda group, package, name: {f"{slash}{group}{package}": name}, st.sampled_from(groups), packages, names
    )
    unusual = st.builds(
        lambda prefix, group, name: {f"{prefix}{slash}{group}": name},
        st.sampled_from(["optional ", "override "]), st.sampled_from(groups), st.sampled_from([*NAMES, "missing"]),
    )  # fmt: skip
    return st.integers(0, 19).flatmap(lambda number: chosen if number else unusual)


def defaults_lists(groups: Sequence[str] = GROUPS, slash: str = "") -> st.SearchStrategy[list[Any]]:
    """Defaults lists with ``_self_`` at any place, or without it."""
    return st.builds(
        lambda entries, place: [*entries[:place], *(["_self_"] if place >= 0 else []), *entries[max(place, 0) :]],
        st.lists(default_entries(groups, slash), max_size=3, unique_by=lambda entry: next(iter(entry))),
        st.integers(-1, 3),
    )


def with_defaults(node: dict[Any, Any], defaults: list[Any]) -> dict[Any, Any]:
    """A plain node with a defaults list."""
    return {"defaults": defaults, **node} if defaults else node


def options_of(group: str) -> st.SearchStrategy[list[Option]]:
    """The two options of a group.

    Their defaults name later groups only: Hydra composes an option that leads to itself twice for ever.
    """
    later = GROUPS[GROUPS.index(group) + 1 :]
    lists = defaults_lists(later, "/") if later else st.just([])
    plain = st.builds(
        with_defaults,
        plain_roots,
        st.integers(0, 9).flatmap(lambda number: st.just([]) if number else lists),
    )
    typed = opts if group == "opt" else layers if group == "net/layer" else nets | opts
    nodes = st.integers(0, 9).flatmap(lambda number: plain if number < (1 if group == "opt" else 5) else typed)
    return st.tuples(
        *(st.builds(Option, st.just(group), st.just(name), nodes, st.sampled_from(PACKAGES)) for name in NAMES)
    ).map(list)


typed_roots = st.builds(
    Root,
    defaults=defaults_lists(),
    net=nets,
    layer=st.none() | layers,
    seed=st.integers(0, 3),
    maybe=st.none() | st.just(2),
    either=st.sampled_from([1, "b"]),
    opt=st.just(MISSING) | opts,
    loose=plain_values | layers | st.just(MISSING),
    free=st.dictionaries(st.sampled_from(["a", "b"]), plain_values, max_size=2),
)
roots = typed_roots | st.builds(with_defaults, plain_roots, defaults_lists())

TYPED_VALUES: dict[str, list[str]] = {
    "seed": [
        "1",
        "2",
        "1,2",
        "range(0,3)",
        "range(0,5,2)",
        "sort(3,1)",
        "int(3.7)",
        "0,1,0",
        "-3",
        "'7'",
        "tag(x,choice(1,2))",
    ],
    "rate": ["1", "0.5", "1e-3", "0.1,1", "1,1.0", "inf", "nan", "-0.0", "range(1,2,0.5)", "interval(0,1)", "${seed}"],
    "on": ["true", "false", "true,false", "1", "yes", "off"],
    "text": [
        "word",
        "a,b",
        "'two words'",
        "1",
        "1.0",
        "'a,b',c",
        "null",
        "true",
        "''",
        "a/b",
        "x:y",
        "'it\\'s'",
        "a\\,b,c",
        "ä",
        "'${seed}-x',q",
        '"x\'y"',
        "a=b",
        "glob(*)",
        "${rate}",
        "'  '",
        "a\\ b",
        "[",
        "(x)",
        "str(5)",
        "'[1]'",
        "'null'",
    ],
    "maybe": ["null", "1", "null,1", "1,null,2", "x"],
    "either": ["1", "x", "1,x", "'1',1", "1.5", "[1]"],
    "color": ["RED", "GREEN", "RED,GREEN", "1", "g", "BLUE", "null"],
    "folder": ["a/b", "/x", "a,b", "'a b'", "1", "null", "${text}"],
    "later": ["1", "1,2", "???", "${seed}", "null"],
    "linked": ["5", "${rate}", "1,'${seed}'"],
    "pair": ["[1,2]", "[1,2],[3,4]", "[1]", "[a,b]"],
    "numbers": ["[1]", "[]", "[1,2],[3]", "[${seed},2]", "[a]", "null", "choice([1],[])", "[[1]]"],
    "table": ["{a:2}", "{b:1}", "{a:1},{b:2}", "{}", "null", "{a:x}"],
    "table.a": ["2", "1,2", "${rate}", "null"],
    "table.b": ["2", "1,2"],
    "free": ["{}", "{a:2}", "{b:{c:1}}", "{a:1},{b:{d:2}}", "null", "x"],
    "free.a": [
        "1",
        "1,2",
        "[1,2]",
        "{c:1}",
        "x,{c:1}",
        "null",
        "${seed}",
        "'${seed}',${..seed}",
        "???",
        "{1:2}",
        "{1:x},{true:y}",
    ],
    "free.b": ["{c:2}", "1", "{c:1},{d:2}", "[{a:1}]", "???,1"],
    "free.b.c": ["1", "1,2", "[3]"],
    "net": ["{any:2}", "{layers:[{width:5}]}", "{by_name:{c:{width:2}}}", "null", "{nope:1}", "{any:1},{any:[2]}"],
    "net.layers": ["[]", "[{width:5}]", "[{width:1}],[{width:2,act:x}]", "[{factor:1}]", "[null]"],
    "net.by_name": ["{b:{width:2}}", "{}", "{a:{width:1}},{z:{act:q}}", "null", "{a:{factor:2}}"],
    "net.by_name.a": ["{width:2}", "{width:1},{width:2}", "null"],
    "net.by_name.a.width": ["2", "1,2", "x"],
    "net.by_name.b.width": ["2", "1,2"],
    "net.by_number": ["{2:1.5}", "{1:2}", "{a:1}", "{1:1},{3:0.5}"],
    "net.by_number.1": ["0.7", "1,2"],
    "net.by_color": ["{GREEN:2}", "{RED:3}", "{BLUE:1}", "{RED:1},{GREEN:2}"],
    "net.by_color.RED": ["3", "1,2"],
    "net.by_flag": ["{false:no}", "{true:q}"],
    "net.by_flag.true": ["q", "a,b"],
    "net.any": ["1", "{a:1}", "[1]", "null", "1,{a:2}", "x", "{b:1},{c:2}"],
    "net.any.a": ["1", "1,2"],
    "net.any.width": ["1", "1,2", "x"],
    "fixed.width": ["5", "1,2"],
    "fixed": ["{width:3}"],
    "layer": ["null", "{width:2}", "{width:1},{act:x}", "{factor:1}", "null,{width:1}"],
    "layer.width": ["2", "1,2", "x", "${seed}"],
    "layer.act": ["null", "x,null"],
    "opt": ["{lr:1}", "{lr:1},{name:x}", "null", "{momentum:1}"],
    "opt.lr": ["1", "0.1,0.2", "x", "${rate}"],
    "opt.momentum": ["0.5", "null,0.5"],
    "opt.name": ["x", "a,b", "1"],
    "opt.betas": ["[1,2]", "[0.1,0.2],[1,1]"],
    "loose": ["1", "{a:1}", "{lr:2}", "null", "1,{a:1}", "[1,2]"],
    "loose.a": ["1", "1,2", "{b:1}"],
    "loose.lr": ["1", "1,2"],
    "linked_layer": ["${layer}", "{width:1}", "${opt}"],
    "linked_layer.width": ["1"],
}
"""Keys that a program may have, and what may be written behind them; some of it is wrong."""

ANY_VALUES = sorted({text for texts in TYPED_VALUES.values() for text in texts})
OPTION_TEXTS = [
    *NAMES * 8,
    "one,two",
    "glob(*)",
    "glob(t*)",
    "glob([o*,t*],exclude=one)",
    "choice(two,one)",
    "[one,two]",
    "null",
    "missing",
]
NEW_KEYS = (
    "extra",
    "other",
    "other.place.a",
    "free.new",
    "net.by_name.new",
    "net.by_number.5",
    "free.b.new",
    "table.new",
    "nope",
)


def keys_of(node: Any, prefix: str = "") -> Iterator[str]:
    """The keys in a plain node, as they are written in overrides."""
    for key, value in node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ():
        text = str(key).lower() if isinstance(key, bool) else str(key)
        if prefix or isinstance(key, str):
            yield f"{prefix}{text}"
            yield from keys_of(value, f"{prefix}{text}.")


@st.composite
def override_lines(draw: Any, root: Any, options: Sequence[Option]) -> Any:
    """One override for a program."""
    kind = draw(st.sampled_from(["value"] * 9 + ["group"] * 3 + ["delete", "new"]))
    plain = isinstance(root, dict)
    existing = [key for key in keys_of(root) if not key.startswith("defaults")] if plain else []
    inside = [key for option in options for key in keys_of(option.node)]
    known = existing or inside if plain else list(TYPED_VALUES)
    key = draw(st.sampled_from(known or list(TYPED_VALUES)))
    if kind == "group":
        return draw(
            group_overrides(root["defaults"] if plain and "defaults" in root else getattr(root, "defaults", []))
        )
    if kind == "delete":
        return f"~{key}" + draw(st.sampled_from(["", "", "", "", "=1", "=0.5"]))
    if kind == "new":
        prefix, key = draw(st.sampled_from(["+", "++"])), draw(st.sampled_from([*NEW_KEYS, key]))
    else:
        prefix = draw(st.sampled_from(["", "", "", "", "++"]))
    typed = TYPED_VALUES.get(key)
    values = st.sampled_from(typed) if typed else st.sampled_from(ANY_VALUES)
    return f"{prefix}{key}={draw(values if draw(st.integers(0, 19)) else st.sampled_from(ANY_VALUES))}"


def group_overrides(defaults: list[Any]) -> st.SearchStrategy[str]:
    """Overrides of config groups: of those in the defaults list, or of others."""
    listed = [key.split()[-1].lstrip("/") for entry in defaults if isinstance(entry, dict) for key in entry]
    chosen = st.builds("{}={}".format, st.sampled_from(listed or list(GROUPS)), st.sampled_from(OPTION_TEXTS))
    added = st.builds(
        "+{}{}={}".format,
        st.sampled_from(GROUPS), st.sampled_from(["", "@other", "@free.b", "@_global_", "@net.any"]),
        st.sampled_from(OPTION_TEXTS),
    )  # fmt: skip
    return st.one_of(chosen, chosen, chosen, added, st.sampled_from(listed or list(GROUPS)).map("~{}".format))


def is_small(lines: Sequence[str]) -> bool:
    """Whether the sweep has few points."""
    return sum("," in line or "(" in line for line in lines) <= 3


@st.composite
def programs(draw: Any) -> RandomProgram:
    """A program and a command line for it."""
    root = draw(roots)
    options = [option for group in GROUPS for option in draw(options_of(group))]
    lines = draw(st.lists(override_lines(root, options), min_size=1, max_size=4).filter(is_small))
    return RandomProgram((Option("", ROOT, root), *options), tuple(lines))


@contextmanager
def stored(program: RandomProgram) -> Iterator[None]:
    """Store the configurations for Hydra, and remove them again."""
    store = ConfigStore.instance()
    before = dict(store.repo)
    try:
        for option in program.options:
            store.store(group=option.group or None, name=option.name, node=option.node, package=option.package)
        yield
    finally:
        store.repo.clear()
        store.repo.update(before)
