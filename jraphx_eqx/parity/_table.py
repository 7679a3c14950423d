from collections import Counter
from typing import Any

from ._record import DECLARED, FAIL, MISTRUSTED, NOT_VERIFIED, PASS, Record, Result, worst

COLUMNS = ("operator", "cases", "values", "gradients", "digits", "decisions", "declared", "status")
STYLES = {PASS: "green", DECLARED: "green", FAIL: "bold red"}


def rows(result: Result) -> list[dict[str, str]]:
    """One row of text per operator: the worst error over tolerance of values and gradients, the
    fewest correct digits of values in float64, the verdicts on decisions, and the status."""
    return [_row(result, operator) for operator in result.operators]


def render(result: Result, *, failures: int = 20) -> Any:
    """The report of a run, for `rich.print`: the table, then what failed and how to repeat it."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    table = Table(title="parity with PyTorch Geometric", caption=_caption(result))
    for column in COLUMNS:
        right = column in ("cases", "values", "gradients", "digits")
        table.add_column(column, justify="right" if right else "left")
    for row in rows(result):
        style = STYLES.get(row["status"], "yellow")
        cells = [row[column] for column in COLUMNS[:-1]]
        table.add_row(*cells, Text(row["status"], style=style))
    bad = result.of(FAIL, MISTRUSTED, NOT_VERIFIED)
    lines = [Text(describe(record)) for record in bad[:failures]]
    if len(bad) > failures:
        lines.append(Text(f"... and {len(bad) - failures} more"))
    return Group(table, *lines)


def describe(record: Record) -> str:
    """A record that is not a pass, in one or two lines."""
    where = " / ".join(filter(None, (record.case, record.config, record.lane, record.tensor)))
    text = f"{record.verdict} {record.operator}: {where}: {record.message}"
    if record.ours_at is not None:
        text += f" at {record.max_index}: ours {record.ours_at!r}, reference {record.ref_at!r}"
    return text + (f"\n     repeat: {record.repro}" if record.repro else "")


def _row(result: Result, operator: str) -> dict[str, str]:
    records = [record for record in result.records if record.operator == operator]
    judged = [record for record in records if record.verdict != DECLARED]
    runs = {(r.case, r.config) for r in records if r.case}
    values = [r for r in judged if r.kind == "value" and r.lane == "f64"]
    digits = [r.digits for r in values if r.digits is not None]
    return {
        "operator": operator,
        "cases": str(len(runs)),
        "values": f"{worst(r for r in judged if r.kind in ('value', 'structure')):.2f}",
        "gradients": f"{worst(r for r in judged if r.kind == 'gradient'):.2f}",
        "digits": f"{min(digits):.1f}" if digits else "-",
        "decisions": _decisions(records),
        "declared": _declared(records),
        "status": _status(records),
    }


def _decisions(records: list[Record]) -> str:
    counts = Counter[str]()
    for record in records:
        counts.update(record.decisions)
    return " ".join(f"{name} {count}" for name, count in counts.items()) or "-"


def _declared(records: list[Record]) -> str:
    counts = Counter(r.divergence for r in records if r.verdict == DECLARED)
    return " ".join(f"{name} ({count})" for name, count in counts.items()) or "-"


def _status(records: list[Record]) -> str:
    verdicts = {record.verdict for record in records}
    return next((v for v in (FAIL, NOT_VERIFIED, MISTRUSTED) if v in verdicts), PASS)


def _caption(result: Result) -> str:
    at = result.environment
    names = ("torch", "torch_geometric", "jax", "numpy", "backend")
    versions = "  ".join(f"{name} {at[name]}" for name in names if name in at)
    return f"values, gradients: worst error / tolerance. {versions}"
