import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from ..parity import Record, Result
from ..parity.verdicts import DECLARED, PASS, SEVERITY, SURVIVED
from ._table import gravest

FACTOR = 2.0
# A tolerance is at least four units in the last place, so an error of a sixteenth of it is a
# quarter of one; which of the numbers below that comes out is luck.
FLOOR = 1 / 16

Key = tuple[str, ...]


@dataclass(frozen=True)
class Drift:
    """One thing that changed between two runs.

    **Arguments:**

    - `kind`: what it is about.
    - `where`: the comparison, setting, fault or divergence.
    - `before`, `after`: what it was and is; empty where there was or is none.
    - `worse`: whether the change needs a look: a graver verdict, a larger error, a comparison
        that is no longer made.
    """

    kind: Literal["environment", "verdict", "vanished", "appeared", "ratio", "fault", "divergence"]
    where: str
    before: str
    after: str
    worse: bool = False


def drift(before: Result, after: Result) -> list[Drift]:
    """What changed between two runs.

    Reported are versions and settings, verdicts, comparisons that appeared or vanished (a whole
    operator, lane or case as one), errors over tolerance that changed by more than a factor of 2
    (where they are above a sixteenth of the tolerance), faults, and declared divergences.

    **Arguments:**

    - `before`, `after`: two results, for example read from two files by `Result.read`.

    **Returns:** the changes; within each kind, what became worse comes first.
    """
    old, new = _tensors(before), _tensors(after)
    return [
        *_settings(before.environment, after.environment),
        *_worse_first(_verdicts(old, new)),
        *_groups("vanished", old, new),
        *_groups("appeared", new, old),
        *_worse_first(_ratios(old, new)),
        *_worse_first(_faults(before, after)),
        *_divergences(before, after),
    ]


def render_drift(changes: list[Drift]) -> Any:
    """What `drift` found, for `rich.print`."""
    from rich.table import Table
    from rich.text import Text

    if not changes:
        return Text("No drift between the two runs.")
    table = Table(title="drift between two runs")
    for column in ("what", "where", "before", "after"):
        table.add_column(column, overflow="fold")
    for change in changes:
        texts = (change.kind, change.where, change.before, change.after)
        table.add_row(*map(Text, texts), style="bold red" if change.worse else "")
    return table


def _tensors(result: Result) -> dict[Key, list[Record]]:
    found: dict[Key, list[Record]] = {}
    for r in result.records:
        found.setdefault((r.operator, r.lane, r.case, r.config, r.tensor), []).append(r)
    return found


def _settings(before: dict[str, Any], after: dict[str, Any]) -> Iterator[Drift]:
    for name in dict.fromkeys((*before, *after)):
        old, new = (_text(at[name]) if name in at else "" for at in (before, after))
        if old != new:
            yield Drift("environment", name, old, new)


def _verdicts(old: dict[Key, list[Record]], new: dict[Key, list[Record]]) -> Iterator[Drift]:
    for key in new:
        was, is_now = (gravest(records.get(key, ())) for records in (old, new))
        if key in old and was != is_now:
            worse = SEVERITY.index(is_now) < SEVERITY.index(was)
            yield Drift("verdict", _where(key), was, is_now, worse)


def _groups(
    kind: Literal["vanished", "appeared"],
    mine: dict[Key, list[Record]],
    others: dict[Key, list[Record]],
) -> Iterator[Drift]:
    """The comparisons of one run that the other lacks, under the shortest name that it lacks."""
    known = {key[:length] for key in others for length in range(1, len(key) + 1)}
    lacking: dict[Key, Counter[str]] = {}
    for key, records in mine.items():
        if key not in known:
            shortest = next(key[:n] for n in range(1, len(key) + 1) if key[:n] not in known)
            lacking.setdefault(shortest, Counter()).update(r.verdict for r in records)
    for key, verdicts in lacking.items():
        text = ", ".join(f"{number} {verdict}" for verdict, number in verdicts.items())
        if kind == "vanished":
            yield Drift(kind, _where(key), text, "", worse=True)
        else:
            yield Drift(kind, _where(key), "", text, worse=bool(set(verdicts) - {PASS, DECLARED}))


def _ratios(old: dict[Key, list[Record]], new: dict[Key, list[Record]]) -> Iterator[Drift]:
    found = []
    for key in new:
        if key not in old or gravest(old[key]) != gravest(new[key]):
            continue
        was, is_now = (max(r.excess for r in records[key]) for records in (old, new))
        low, high = sorted((max(was, FLOOR), max(is_now, FLOOR)))
        if low < high and high > FACTOR * low:
            change = Drift("ratio", _where(key), f"{was:.3g}", f"{is_now:.3g}", is_now > was)
            found.append((-high / low, change))
    yield from (change for _, change in sorted(found, key=lambda pair: pair[0]))


def _faults(before: Result, after: Result) -> Iterator[Drift]:
    old, new = (
        {(kill.fault, kill.operator): kill.verdict for kill in result.kills}
        for result in (before, after)
    )
    for key in dict.fromkeys((*old, *new)):
        was, is_now = old.get(key, ""), new.get(key, "")
        if was != is_now:
            where = " / ".join(key)
            yield Drift("fault", where, was, is_now, is_now in ("", SURVIVED))


def _divergences(before: Result, after: Result) -> Iterator[Drift]:
    old, new = ({d["id"]: d for d in result.divergences} for result in (before, after))
    for name in dict.fromkeys((*old, *new)):
        was, is_now = (_sides(at[name]) if name in at else "" for at in (old, new))
        if was != is_now:
            yield Drift("divergence", name, was, is_now)


def _sides(divergence: dict[str, Any]) -> str:
    return ", ".join(f"{side} {_text(divergence.get(side))}" for side in ("pyg", "ours"))


def _worse_first(changes: Iterator[Drift]) -> list[Drift]:
    return sorted(changes, key=lambda change: not change.worse)


def _where(key: Key) -> str:
    return " / ".join(filter(None, key))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str)
