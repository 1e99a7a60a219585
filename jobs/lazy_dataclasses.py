"""Data classes as those of the standard library, whose methods are written when they are first called.

A process that starts a job imports some hundred data classes and uses a few methods of a few of them. The standard
library compiles up to seven methods of each at once, and imports `inspect` for it: together that was a third of the
time in which a worker or a command starts. Here a class keeps what it was declared with; ``__init__``, ``__eq__``,
``__hash__`` and ``__repr__`` are compiled one by one when they are needed, with the same meaning.

What is rare is left to the standard library: options and annotations that are not known here, and everything that asks
a class for its fields. For type checkers these are the standard library's own data classes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

_MISSING: Any = object()
_DECLARED = "__lazy_fields__"


class _Field:
    """A field: what `field` was called with."""

    __slots__ = ("annotation", "compare", "default", "default_factory", "kw_only", "repr")

    def __init__(
        self,
        *,
        default: Any = _MISSING,
        default_factory: Any = _MISSING,
        repr: bool = True,
        compare: bool = True,
        kw_only: bool = False,
    ) -> None:
        self.default, self.default_factory = default, default_factory
        self.repr, self.compare, self.kw_only = repr, compare, kw_only
        self.annotation = ""

    def real(self) -> Any:
        """Return the field of the standard library."""
        from dataclasses import field

        keys = ["repr", "compare", "kw_only"]
        keys += [key for key in ("default", "default_factory") if getattr(self, key) is not _MISSING]
        return field(**{key: getattr(self, key) for key in keys})


def _dataclass(cls: Any = None, /, *, frozen: bool = False, slots: bool = False, **others: bool) -> Any:
    if cls is None:
        return lambda decorated: _dataclass(decorated, frozen=frozen, slots=slots, **others)
    own, inherited = _own_fields(cls), _inherited_fields(cls)
    if others or own is None or inherited is None:
        from dataclasses import dataclass

        namespace = {name: value.real() for name, value in vars(cls).items() if isinstance(value, _Field)}
        for name, value in namespace.items():
            setattr(cls, name, value)
        return dataclass(frozen=frozen, slots=slots, **others)(cls)
    fields = {**inherited, **own}
    made = _with_slots(cls, fields, frozen) if slots else _with_defaults(cls, own)
    setattr(made, _DECLARED, fields)
    setattr(made, "__match_args__", tuple(name for name, field in fields.items() if not field.kw_only))  # noqa: B010
    _add_methods(made, fields, frozen)
    for name in ("__dataclass_fields__", "__dataclass_params__"):
        setattr(made, name, _Described(made, name, fields, {"frozen": frozen}))
    return made


def _own_fields(cls: type) -> dict[str, _Field] | None:
    """The fields that a class declares; None if the standard library has to read them."""
    own = {}
    for name, annotation in cls.__dict__.get("__annotations__", {}).items():  # noqa: RUF063
        if type(annotation) is not str or "InitVar" in annotation or "KW_ONLY" in annotation:
            return None
        if "ClassVar" not in annotation:
            value = cls.__dict__.get(name, _MISSING)
            own[name] = value if type(value) is _Field else _Field(default=value)
            own[name].annotation = annotation
    return own


def _inherited_fields(cls: type) -> dict[str, _Field] | None:
    """The fields of the classes above a class; None if one of them is a data class of the standard library."""
    inherited: dict[str, _Field] = {}
    for base in cls.__mro__[-1:0:-1]:
        if _DECLARED in base.__dict__:
            inherited |= base.__dict__[_DECLARED]
        elif "__dataclass_fields__" in base.__dict__:
            return None
    return inherited


def _with_defaults(cls: Any, own: Mapping[str, _Field]) -> Any:
    for name, field in own.items():
        if field.default is not _MISSING:
            setattr(cls, name, field.default)
        elif name in cls.__dict__:
            delattr(cls, name)
    return cls


def _with_slots(cls: Any, fields: Mapping[str, _Field], frozen: bool) -> Any:
    """Return the class anew, because Python makes slots only of a new class."""
    left_out = {"__dict__", "__weakref__", *fields}
    namespace = {name: value for name, value in cls.__dict__.items() if name not in left_out}
    above = {slot for base in cls.__mro__[1:-1] for slot in _slots_of(base)}
    namespace["__slots__"] = tuple(name for name in fields if name not in above)
    if frozen:
        namespace.setdefault("__getstate__", _get_state)
        namespace.setdefault("__setstate__", _set_state)
    made = type(cls)(cls.__name__, cls.__bases__, namespace)
    made.__qualname__ = cls.__qualname__
    return made


def _slots_of(base: type) -> tuple[str, ...]:
    slots = base.__dict__.get("__slots__", ())
    return (slots,) if isinstance(slots, str) else tuple(slots)


def _declared(cls: type) -> Mapping[str, _Field] | None:
    """The fields of a class that was made here; None for any other, also if it inherits from such a class."""
    described = (base.__dict__ for base in cls.__mro__ if "__dataclass_fields__" in base.__dict__)
    found: Mapping[str, _Field] | None = next(described, MappingProxyType({})).get(_DECLARED)
    return found


def _get_state(self: Any) -> list[Any]:
    return [getattr(self, name) for name in field_names(self)]


def _set_state(self: Any, state: list[Any]) -> None:
    for name, value in zip(field_names(self), state, strict=True):
        object.__setattr__(self, name, value)


def _add_methods(cls: Any, fields: Mapping[str, _Field], frozen: bool) -> None:
    defined = cls.__dict__
    has_own_hash = defined.get("__hash__") is not None
    if frozen:
        cls.__setattr__, cls.__delattr__ = _refusals(cls, fields)
    for name, text in (("__init__", _init_text), ("__repr__", _repr_text), ("__eq__", _eq_text)):
        if name not in defined:
            _write_later(cls, name, text, fields)
    if not has_own_hash and frozen:
        _write_later(cls, "__hash__", _hash_text, fields)
    elif not has_own_hash:
        cls.__hash__ = None


def _write_later(
    cls: Any, name: str, text: Callable[[Any, Mapping[str, _Field]], str], fields: Mapping[str, _Field]
) -> None:
    """Set a method that writes itself when it is called for the first time."""

    def write_and_call(*args: Any, **kwargs: Any) -> Any:
        namespace = _names_of_defaults(fields)
        exec(text(cls, fields), namespace)
        method = namespace[name]
        method.__qualname__, method.__module__ = f"{cls.__qualname__}.{name}", cls.__module__
        setattr(cls, name, method)
        return method(*args, **kwargs)

    write_and_call.__qualname__, write_and_call.__name__ = f"{cls.__qualname__}.{name}", name
    setattr(cls, name, write_and_call)


def _names_of_defaults(fields: Mapping[str, _Field]) -> dict[str, Any]:
    names = {"_missing_": _MISSING, "_set_": object.__setattr__}
    for name, field in fields.items():
        names[f"_default_{name}"] = field.default
        names[f"_factory_{name}"] = field.default_factory
    return names


def _init_text(cls: Any, fields: Mapping[str, _Field]) -> str:
    is_frozen = cls.__setattr__ is not object.__setattr__
    parameters: list[str] = []
    lines = ["    pass"]
    for name, field in sorted(fields.items(), key=lambda item: item[1].kw_only):
        if field.kw_only and "*" not in parameters:
            parameters.append("*")
        parameters.append(name + _default_text(name, field))
        value = name
        if field.default_factory is not _MISSING:
            value = f"_factory_{name}() if {name} is _missing_ else {name}"
        lines.append(f"    _set_(self, {name!r}, {value})" if is_frozen else f"    self.{name} = {value}")
    if hasattr(cls, "__post_init__"):
        lines.append("    self.__post_init__()")
    return f"def __init__(self, {', '.join(parameters)}):\n" + "\n".join(lines)


def _default_text(name: str, field: _Field) -> str:
    if field.default_factory is not _MISSING:
        return "=_missing_"
    return "" if field.default is _MISSING else f"=_default_{name}"


def _compared(fields: Mapping[str, _Field], of: str) -> str:
    return "".join(f"{of}.{name}," for name, field in fields.items() if field.compare)


def _eq_text(cls: Any, fields: Mapping[str, _Field]) -> str:
    return (
        "def __eq__(self, other):\n"
        "    if other.__class__ is self.__class__:\n"
        f"        return ({_compared(fields, 'self')}) == ({_compared(fields, 'other')})\n"
        "    return NotImplemented"
    )


def _hash_text(cls: Any, fields: Mapping[str, _Field]) -> str:
    return f"def __hash__(self):\n    return hash(({_compared(fields, 'self')}))"


def _repr_text(cls: Any, fields: Mapping[str, _Field]) -> str:
    shown = ", ".join(f"{name}={{self.{name}!r}}" for name, field in fields.items() if field.repr)
    return f'def __repr__(self):\n    return f"{{self.__class__.__qualname__}}({shown})"'


def _refusals(cls: Any, fields: Mapping[str, _Field]) -> tuple[Callable[..., None], Callable[..., None]]:
    """Return what a class whose objects do not change has in place of ``__setattr__`` and ``__delattr__``."""

    def refuse(instance: object, name: str, what: str) -> None:
        if type(instance) is cls or name in fields:
            from dataclasses import FrozenInstanceError

            raise FrozenInstanceError(f"cannot {what} field {name!r}")

    def set_attribute(self: object, name: str, value: object) -> None:
        refuse(self, name, "assign to")
        super(cls, self).__setattr__(name, value)

    def delete_attribute(self: object, name: str) -> None:
        refuse(self, name, "delete")
        super(cls, self).__delattr__(name)

    return set_attribute, delete_attribute


class _Described:
    """What the standard library keeps of a data class: it is made when somebody asks for it."""

    def __init__(self, cls: Any, name: str, fields: Mapping[str, _Field], options: Mapping[str, bool]) -> None:
        self._cls, self._name, self._fields, self._options = cls, name, fields, options

    def __get__(self, instance: object, owner: object = None) -> Any:
        from dataclasses import dataclass

        namespace = {name: field.real() for name, field in self._fields.items()}
        annotations = {name: field.annotation for name, field in self._fields.items()}
        like: Any = type(self._cls.__name__, (), {**namespace, "__annotations__": annotations})
        like.__module__ = self._cls.__module__
        value = getattr(dataclass(**self._options)(like), self._name)
        setattr(self._cls, self._name, value)
        return value


def field_names(of: Any) -> tuple[str, ...]:
    """Return the names of the fields of a data class of either kind, or of an object of one."""
    cls: Any = of if isinstance(of, type) else of.__class__
    own = _declared(cls)
    return tuple(cls.__dataclass_fields__ if own is None else own)


def _replace(instance: Any, /, **changes: Any) -> Any:
    names = _declared(instance.__class__)
    if names is None:
        from dataclasses import replace

        return replace(instance, **changes)
    return instance.__class__(**{name: getattr(instance, name) for name in names if name not in changes}, **changes)


def _asdict(instance: Any) -> dict[str, Any]:
    names = _declared(instance.__class__)
    if names is None:
        from dataclasses import asdict

        return asdict(instance)
    return {name: _copied(getattr(instance, name)) for name in names}


def _copied(value: Any) -> Any:
    kind = type(value)
    if value is None or kind in {str, int, float, bool}:
        return value
    if any("__dataclass_fields__" in base.__dict__ for base in kind.__mro__):
        return _asdict(value)
    if isinstance(value, tuple) and hasattr(kind, "_fields"):
        return kind(*map(_copied, value))
    if isinstance(value, (list, tuple)):
        return kind(map(_copied, value))
    if isinstance(value, dict):
        return kind((_copied(key), _copied(held)) for key, held in value.items())
    return deepcopy(value)


if TYPE_CHECKING:
    from dataclasses import asdict as asdict
    from dataclasses import dataclass as dataclass
    from dataclasses import field as field
    from dataclasses import replace as replace
else:
    asdict, dataclass, field, replace = _asdict, _dataclass, _Field, _replace
