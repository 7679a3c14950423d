"""What a layer is in PyTorch Geometric (PyG), as data. The file of a layer ends with it, and
[`jraphx_eqx.interop`][jraphx_eqx.interop.from_pyg] reads it."""

from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

import numpy as np

Kind = Literal["value", "part", "made", "activation", "aggr", "width", "first", "last", "trained"]
Paths = str | tuple[str, ...]


class NoTwin(ValueError):
    """An option that only one side has: what follows its name, and what it must be instead."""

    def __init__(self, value: str, reason: str = ""):
        super().__init__(value, reason)
        self.value = value
        self.reason = reason


def _as_it_is(value: Any) -> Any:
    return value


class Option(NamedTuple):
    """An argument of our constructor, and what it is in PyG.

    **Arguments:**

    - `ours`: the name of the argument; `""` if only PyG has it.
    - `theirs`: the name that PyG's constructor gives it, the same by default; `""` if only ours
        has it.
    - `at`, `theirs_at`: where the layer and PyG's keep it, by default under those names: attributes
        and indices with dots. Of several the first that is there counts. `""` is the layer itself.
    - `kind`: `"value"`, or what PyG has as an object of its own:
        `"part"`, a layer or a list of layers, which has a twin itself;
        `"made"`, the same, of which PyG's constructor takes a function that makes it;
        `"activation"`, a function here and a module there; `"aggr"`, an aggregation of a
        convolution; `"width"`, the number of features of a convolution, which PyG may know from
        its first call only; `"first"` and `"last"`, the widths of a network, by its linear maps;
        `"trained"`, whether it is a parameter.
    - `read`, `write`: from what PyG's layer keeps to our argument, and from what ours keeps to
        PyG's.
    - `names`: of functions of PyG, by ours.
    """

    ours: str
    theirs: str | None = None
    at: Paths | None = None
    theirs_at: Paths | None = None
    kind: Kind = "value"
    read: Callable[[Any], Any] = _as_it_is
    write: Callable[[Any], Any] = _as_it_is
    names: Mapping[Any, str] | None = None


class Rename(NamedTuple):
    """How the parameters of a layer were called in older releases of PyG.

    **Arguments:**

    - `before`: the release that changed the names.
    - `names`: the old name of each new one, or the old name and a function of its array. All must
        be there.
    - `optional`: the same; these may be there.
    - `same`: a second name that an old one may have had, and that one. The arrays must be equal.
    - `value`: for a parameter that is new, instead of old names: what it had been without a name.
        `names` then says beside which parameters, by the beginning of theirs.
    - `allowed`: whether the layer computes the same as it did, with its options.
    """

    before: str
    names: Mapping[str, str | tuple[str, Callable[[Any], Any]]]
    optional: Mapping[str, str] = {}
    same: Mapping[str, str] = {}
    value: float | None = None
    allowed: Callable[[Any], bool] = lambda layer: True


class Twin(NamedTuple):
    """A layer or function of ours, and PyG's or PyTorch's of the same parameters.

    **Arguments:**

    - `ours`: the class, or a function, which has no options.
    - `theirs`: its public names there. The first is what ours becomes.
    - `options`: the arguments of the constructors.
    - `only`: what PyG's layer must have at a path: one of these values, the first of which is the
        usual one.
    - `holds`: the public name of the class that a part of PyG's must be exactly. `"*"` stands for
        all parts that have no entry and are no option.
    - `fixed`: arguments of both constructors that the weights overwrite.
    - `only_ours`: an argument that PyG does not have, the one value of it that computes what PyG
        does, and what to do instead of another.
    - `parts`: what both sides have under one name, and is converted and put there.
    - `inference`: where our layer keeps whether it is in inference.
    - `training`: where PyG's keeps whether it is in training: a path to a module.
    - `finish`: what else must be done to PyG's layer.
    - `renames`: the names in older releases.
    """

    ours: Any
    theirs: tuple[str, ...]
    options: tuple[Option, ...] = ()
    only: Mapping[str, tuple[Any, ...]] = {}
    holds: Mapping[str, str] = {}
    fixed: Mapping[str, Any] = {}
    only_ours: Mapping[str, tuple[Any, str]] = {}
    parts: tuple[str, ...] = ()
    inference: str | None = None
    training: str = ""
    finish: Callable[[Any], None] | None = None
    renames: tuple[Rename, ...] = ()


TWINS: dict[Any, Twin] = {}


def twin(ours: Any, theirs: Paths, *options: Option | str, **more: Any) -> None:
    """Says what a layer or function is in PyG.

    **Arguments:** of [`Twin`][jraphx_eqx._twin.Twin]; an option that both sides have under one
    name is that name.
    """
    names = (theirs,) if isinstance(theirs, str) else theirs
    listed = tuple(Option(one) if isinstance(one, str) else one for one in options)
    TWINS[ours] = Twin(ours, names, listed, **more)


def present(
    ours: str, at: Paths | None = None, theirs: str | None = None, theirs_at: Paths | None = None
) -> Option:
    """Whether there is something at a place, the same one on both sides by default."""
    at = at or ours
    return Option(ours, theirs, at, theirs_at or at, read=_is_there, write=_is_there)


def counted(ours: str, at: str | None = None) -> Option:
    """How many there are of something."""
    return Option(ours, None, at, at, read=len, write=len)


def part(ours: str, at: Paths | None = None) -> Option:
    """A layer, or a list of layers, that is converted by itself."""
    return Option(ours, None, at, at, kind="part")


def number(ours: str, at: str | None = None) -> Option:
    """A number, which may be one of NumPy or PyTorch there."""
    return Option(ours, None, at, at, read=one_number)


def width(*paths: str) -> Option:
    """The number of features, which a layer of PyG that was made with -1 knows by a linear map."""
    return IN._replace(theirs_at=paths, kind="width")


def inside(name: str, *options: Option | str) -> tuple[Option, ...]:
    """Options that both sides keep in one of their parts."""
    listed = [Option(one) if isinstance(one, str) else one for one in options]
    return tuple(
        one._replace(
            at=f"{name}.{one.at or one.ours}",
            theirs_at=f"{name}.{one.theirs_at or one.theirs or one.ours}",
        )
        for one in listed
    )


def one_number(value: Any) -> Any:
    """A number of NumPy or PyTorch as one of Python; anything else as it is."""
    if not hasattr(value, "item"):
        return value
    count = int(np.prod(value.shape))
    if count != 1:
        raise NoTwin(f" of {count} numbers", "it must be one number")
    return value.item()


def _is_there(value):
    return value is not None


IN = Option("in_features", "in_channels")
OUT = Option("out_features", "out_channels")
DROPOUT = Option("dropout", at="dropout.p")
