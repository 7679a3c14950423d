"""Names without what a training framework put before them.

A wrapper keeps the network as one of its attributes, so that all names of the network begin with
the name of that attribute: `module.` for `torch.nn.DataParallel` and
`torch.optim.swa_utils.AveragedModel`, `_orig_mod.` for `torch.compile`, and for Lightning whatever
the author called it, mostly `model.`. One rule serves them all, however they are nested: if no name
fits, the beginning without which the most names fit is left out.
"""

from collections import Counter
from collections.abc import Collection, Iterable

# torch.compile wraps single layers as well, and nobody else calls anything so.
_COMPILED = "_orig_mod."
# What AveragedModel has beside its `module`.
_COUNTER = "n_averaged"


def unwrapped(
    names: Iterable[str], expected: Collection[str], layers: Collection[str]
) -> tuple[dict[str, str], list[str], list[str]]:
    """What each name becomes, what was left out in words, and why nothing could be.

    **Arguments:**

    - `names`: of a state dict. One that is left out as a whole is not in the result.
    - `expected`: the names that the network has.
    - `layers`: the paths of its layers: a name of a parameter that an older release gave a layer
        fits as well.
    """
    new = {name: name for name in names}
    notes = _without_compiled(new, expected)
    if any(_fits(name, expected, layers) for name in new.values()):
        return new, notes, []
    prefixes = _best(new.values(), expected, layers)
    if len(prefixes) > 1:
        said = " and ".join(f"without {prefix!r}" for prefix in prefixes)
        return new, notes, [f"names would fit {said}; leave out all but one of these"]
    for prefix in prefixes:
        stripped = {name: now.removeprefix(prefix) for name, now in new.items()}
        if len(set(stripped.values())) == len(stripped):
            notes.append(f"the names are those of the checkpoint without {prefix!r}")
            notes += _without_counter(new, prefix)
            new = {name: stripped[name] for name in new}
    return new, notes, []


def _without_compiled(new, expected):
    if any(_COMPILED in f"{name}." for name in expected):
        return []
    if not any(_COMPILED in name for name in new):
        return []
    stripped = {name: name.replace(_COMPILED, "") for name in new}
    if len(set(stripped.values())) < len(stripped):
        return []
    new.update(stripped)
    return [f"the names are those of the checkpoint without {_COMPILED!r} of torch.compile"]


def _without_counter(new, prefix):
    parent = prefix.removesuffix("module.")
    counters = [name for name, now in new.items() if now == f"{parent}{_COUNTER}"]
    if parent == prefix or not counters:
        return []
    del new[counters[0]]
    return [f"{counters[0]!r} of AveragedModel was left out"]


def _best(names, expected, layers):
    """The beginnings without which the most names fit; of nested ones the shortest."""
    names = list(names)
    fitting = Counter(
        prefix
        for name in names
        for prefix in _beginnings(name)
        if _fits(name.removeprefix(prefix), expected, layers)
    )
    most = max(fitting.values(), default=0)
    best = sorted(prefix for prefix, count in fitting.items() if count == most)
    return [
        one for one in best if not any(one != other and one.startswith(other) for other in best)
    ]


def _beginnings(name):
    parts = name.split(".")[:-1]
    return [".".join(parts[:length]) + "." for length in range(1, len(parts) + 1)]


def _fits(name, expected, layers):
    layer = name.rpartition(".")[0]
    return name in expected or (layer != "" and layer in layers)
