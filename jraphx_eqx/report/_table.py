from collections import Counter
from collections.abc import Iterable
from typing import Any

from ..parity import Kill, Record, Result, describe
from ..parity.verdicts import (
    DECLARED,
    EQUIVALENT,
    FAIL,
    KILLED,
    MISTRUSTED,
    NOT_VERIFIED,
    PASS,
    SEVERITY,
    SURVIVED,
    UNJUDGED,
)

STYLES = {PASS: "green", DECLARED: "green", FAIL: "bold red"}


def gravest(records: Iterable[Record]) -> str:
    """The gravest verdict, PASS without records. An output that none of them judges does not pass
    beside others that do."""
    records = list(records)
    judged = {record.tensor for record in records if record.verdict != UNJUDGED}
    hidden = any(record.kind == "value" and record.tensor not in judged for record in records)
    verdicts = {record.verdict for record in records} - ({PASS} if hidden else set())
    return next((verdict for verdict in SEVERITY if verdict in verdicts), PASS)


def lanes(result: Result) -> list[str]:
    """The lanes, in the order in which they were run."""
    return list(dict.fromkeys(record.lane for record in result.records if record.lane))


def columns(result: Result) -> list[str]:
    """The headings of the table: one for each lane, and one for injected faults if there are."""
    faults = ["faults"] if result.kills else []
    at_end = ["digits", "decisions", "declared", *faults, "status"]
    return ["operator", "cases", *lanes(result), *at_end]


def rows(result: Result) -> list[dict[str, str]]:
    """One row of text per operator: for each lane the worst error over tolerance and the tensor it
    was found in, the fewest correct digits of values in float64, the verdicts on decisions, the
    faults that were killed, and the status."""
    by_operator: dict[str, list[Record]] = {name: [] for name in result.operators}
    for record in result.records:
        by_operator[record.operator].append(record)
    faults: dict[str, list[Kill]] = {}
    for kill in result.kills:
        faults.setdefault(kill.operator, []).append(kill)
    names = [*by_operator, *(name for name in faults if name not in by_operator)]
    return [
        _row(name, by_operator.get(name, []), faults.get(name, []), lanes(result)) for name in names
    ]


def render(result: Result, *, failures: int = 20) -> Any:
    """The report of a run, for `rich.print`: the table, then what failed and how to repeat it, and
    the injected faults that nothing has caught."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    looks = {"box": SIMPLE_HEAD, "padding": (0, 1, 0, 0), "show_edge": False}
    table = Table(title="parity with PyTorch Geometric", caption=_caption(result), **looks)
    headings = columns(result)
    for column in headings:
        right = column in ("cases", "digits")
        whole = right or column in ("operator", "status")
        justify = "right" if right else "left"
        folds = {"no_wrap": whole, "overflow": "fold", "min_width": len(column)}
        table.add_column(column, justify=justify, **folds)
    for row in rows(result):
        style = STYLES.get(row["status"], "yellow")
        cells = [Text(row[column]) for column in headings[:-1]]
        table.add_row(*cells, Text(row["status"], style=style))
    bad = result.of(FAIL, MISTRUSTED, NOT_VERIFIED)
    bad.sort(key=lambda record: SEVERITY.index(record.verdict))
    lines = [Text(describe(record)) for record in bad[:failures]]
    if len(bad) > failures:
        lines.append(Text(f"... and {len(bad) - failures} more"))
    for kill in result.kills:
        if kill.verdict == SURVIVED:
            lines.append(Text(f"{SURVIVED} {kill.operator}: {kill.fault}: {kill.description}"))
    return Group(table, *lines)


def killed(kills: Iterable[Kill]) -> str:
    """How many of the faults that change something were killed, as `14/14`."""
    verdicts = Counter(kill.verdict for kill in kills)
    killable = verdicts.total() - verdicts[EQUIVALENT]
    return f"{verdicts[KILLED]}/{killable}" if killable else "-"


def _row(
    operator: str, records: list[Record], kills: list[Kill], lanes: list[str]
) -> dict[str, str]:
    runs = {(r.case, r.config) for r in records if r.case}
    values = [r for r in records if r.kind == "value" and r.lane == "f64" and r.verdict != DECLARED]
    digits = [r.digits for r in values if r.digits is not None]
    return {
        "operator": operator,
        "cases": str(len(runs)),
        **{lane: _lane([r for r in records if r.lane == lane]) for lane in lanes},
        "digits": f"{min(digits):.1f}" if digits else "-",
        "decisions": _decisions(records),
        "declared": _declared(records),
        "faults": killed(kills),
        "status": _status(records, kills),
    }


def _lane(records: list[Record]) -> str:
    judged = [r for r in records if r.verdict not in (DECLARED, UNJUDGED)]
    if not judged:
        return "-"
    largest = max(judged, key=lambda record: record.excess)
    ratio = largest.excess
    if ratio == 0:
        return "exact"
    return f"{ratio:.2f} {largest.tensor}" if ratio < 1e3 else f"{ratio:.1e} {largest.tensor}"


def _decisions(records: list[Record]) -> str:
    counts = Counter[str]()
    for record in records:
        counts.update(record.decisions)
    return " ".join(f"{name} {count}" for name, count in counts.items()) or "-"


def _declared(records: list[Record]) -> str:
    counts = Counter(r.divergence for r in records if r.verdict == DECLARED)
    return " ".join(f"{name} ({count})" for name, count in counts.items()) or "-"


def _status(records: list[Record], kills: list[Kill]) -> str:
    gravest_of_all = gravest(records)
    if gravest_of_all in (PASS, DECLARED):
        return SURVIVED if any(kill.verdict == SURVIVED for kill in kills) else PASS
    return gravest_of_all


def _caption(result: Result) -> str:
    at = result.environment
    names = ("torch", "torch_geometric", "jax", "numpy", "backend")
    versions = "  ".join(f"{name} {at[name]}" for name in names if name in at)
    by_lane = ", ".join(lanes(result))
    return f"{by_lane}: worst error / tolerance, and where. {versions}" if by_lane else versions
