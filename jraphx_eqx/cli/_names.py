"""Which weights of a checkpoint are taken, and under which names."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ._problem import Problem


@dataclass(frozen=True)
class Pattern:
    """A name in full or, if there is none of this name, a regular expression that may match any
    part of a name."""

    option: str
    text: str
    expression: re.Pattern[str]

    def chosen(self, names: Collection[str]) -> list[str]:
        """The names that are meant. **Raises:** a `Problem` if there are none."""
        found = [name for name in names if self.expression.search(name)]
        if self.text in names:
            found = [self.text]
        if not found:
            raise Problem(
                f"{self.option}: the checkpoint has no {self.text!r}, nor a name that this matches "
                "as a regular expression"
            )
        return found


class Renamed(NamedTuple):
    """Weights by their new names, and what each was called before."""

    values: dict[str, Any]
    before: dict[str, str]


@dataclass
class Names:
    """What `--rename` and `--drop` say.

    A name is renamed once: as it is given in full, otherwise by the first expression.
    """

    renames: Sequence[tuple[Pattern, str]]
    drops: Sequence[Pattern]
    dropped: set[str] = field(default_factory=set)

    def kept(self, names: Collection[str]) -> list[str]:
        """The names without those of `--drop`."""
        self.dropped = {name for drop in self.drops for name in drop.chosen(names)}
        return [name for name in names if name not in self.dropped]

    def renamed(self, found: Mapping[str, Any]) -> Renamed:
        """The weights under their new names."""
        new: dict[str, str] = {}
        for pattern, replacement in sorted(self.renames, key=lambda one: one[0].text not in found):
            for name in pattern.chosen(found):
                if name not in new:
                    new[name] = _replaced(pattern, replacement, name)
        names = [new.get(name, name) for name in found]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise Problem(f"--rename: two weights would get the name {twice[0]!r}")
        if "" in names:
            raise Problem("--rename: a weight would have no name")
        values = dict(zip(names, found.values(), strict=True))
        return Renamed(values, dict(zip(names, found, strict=True)))


def parse(renames: Sequence[str], drops: Sequence[str]) -> Names:
    """`PATTERN=NAME` for each of `--rename`, `PATTERN` for each of `--drop`."""
    pairs = []
    for text in renames:
        # From the right: a regular expression may have an equals sign, a name has none.
        theirs, equals, ours = text.rpartition("=")
        if not (theirs and equals):
            raise Problem(f"--rename {text!r} must be written as THEIRS=OURS")
        pairs.append((_pattern("--rename", theirs), ours))
    return Names(pairs, [_pattern("--drop", text) for text in drops])


def _pattern(option, text):
    try:
        return Pattern(option, text, re.compile(text))
    except re.error as error:
        raise Problem(f"{option}: {text!r} is no regular expression: {error}") from error


def _replaced(pattern, replacement, name):
    if name == pattern.text:
        return replacement
    try:
        return pattern.expression.sub(replacement, name)
    except (re.error, IndexError) as error:
        raise Problem(
            f"--rename: {replacement!r} does not suit {pattern.text!r}: {error}"
        ) from error
