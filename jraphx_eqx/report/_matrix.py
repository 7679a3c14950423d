import math
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from ..parity import Record, Result
from ..parity.verdicts import (
    DECLARED,
    FAIL,
    FLAGS,
    MISTRUSTED,
    NOT_VERIFIED,
    PASS,
    SEVERITY,
    UNJUDGED,
)
from ._markup import MINUS, TIMES, Html, code, command, count, fold, join, scroll, short, table, tag
from ._table import gravest

# Beside the colour, so that nothing hangs on telling colours apart.
SYMBOLS = {FAIL: TIMES, NOT_VERIFIED: "○", MISTRUSTED: "?", DECLARED: "D", UNJUDGED: "-"}
EXACT = "="
# Upper ends of the colours, as powers of ten of error over tolerance.
STEPS = (-2.0, -1.0, -0.5, 0.0, 1.0, 3.0, math.inf)
WORST, MOST = 4, 12

Cell = tuple[str, str]


def matrix(result: Result) -> Html:
    """Operators by cases, one block per lane: the worst error over tolerance as a power of ten."""
    cells = _grouped(result.records, lambda r: (r.operator, r.case))
    places = {cell: f"case-{number}" for number, cell in enumerate(cells)}
    cases = list(dict.fromkeys(case for _, case in cells))
    blocks = []
    for lane, records in _grouped(result.records, lambda r: r.lane).items():
        mine = _grouped(records, lambda r: (r.operator, r.case))
        rows = []
        for operator in dict.fromkeys(operator for operator, _ in mine):
            row = (_cell(mine.get((operator, case), []), places) for case in cases)
            rows.append(tag("tr", tag("th", operator, scope="row"), *row))
        heads = (tag("th", tag("span", case or "all cases"), scope="col") for case in cases)
        head = tag("thead", tag("tr", tag("th", lane or "no lane", scope="col"), *heads))
        blocks.append(scroll(tag("table", head, tag("tbody", *rows), class_="matrix")))
    return join([*blocks, _legend(), *_details(cells, places)])


def badge(verdict: str) -> Html:
    """A verdict with its symbol and colour."""
    symbol = SYMBOLS.get(verdict)
    text = f"{symbol} {verdict}" if symbol else verdict
    return tag("span", text, class_=f"badge {verdict.replace(' ', '-')}")


def tensor_table(records: Iterable[Record], *, lane: bool = True) -> Html:
    """One row for each record: how large its error is, and what there is to say about it."""
    records = list(records)
    head = ["lane"] if lane else []
    head += ["tensor", "verdict", "error / tol.", "largest error", "tolerance", "digits", "remarks"]
    first = len(head) - 5
    several = len({record.config for record in records}) > 1
    rows = (
        [
            *([record.lane] if lane else []),
            code(record.tensor),
            badge(record.verdict),
            *_numbers(record),
            _remarks(record, [record.config] if several and record.config else []),
        ]
        for record in records
    )
    return table(head, rows, numbers=range(first, first + 4), kind="tensors")


def _numbers(record: Record) -> list[str]:
    ratio = record.excess
    if ratio == 0:
        return ["exact" if record.shape and record.verdict == PASS else "", "", "", ""]
    return [short(ratio), *map(short, (record.max_abs, record.tol or None, record.digits))]


def _remarks(record: Record, before: list[str]) -> Html:
    parts: list[object] = [*before, record.message] if record.message else [*before]
    if record.verdict != PASS and (record.ours_at is not None or record.ref_at is not None):
        at = f"at {record.max_index}: " if record.max_index else ""
        parts.append(f"{at}ours {record.ours_at!r}, reference {record.ref_at!r}")
    if record.verdict != PASS and record.blocks > 1:
        parts.append(f"graph {record.block} of {record.blocks}")
    if record.decisions:
        verdicts = ", ".join(f"{name} {number}" for name, number in record.decisions.items())
        parts.append(f"{verdicts}; margin {short(record.gap_delta)} δ")
    if record.divergence:
        parts.append(tag("a", record.divergence, href=f"#divergence-{record.divergence}"))
    return join([*parts, *(f"{flag}: {FLAGS[flag]}" for flag in record.flags)], "; ")


def _grouped(records: Iterable[Record], key: Callable[[Record], Any]) -> dict[Any, list[Record]]:
    found: dict[Any, list[Record]] = {}
    for record in records:
        found.setdefault(key(record), []).append(record)
    return found


def _cell(records: list[Record], places: dict[Cell, str]) -> Html:
    if not records:
        return tag("td")
    verdict = gravest(records)
    # What is declared may differ by anything; the colour speaks of the rest.
    judged = [r for r in records if r.verdict not in (DECLARED, UNJUDGED)]
    largest = max(judged, key=lambda record: record.excess, default=records[0])
    ratio = largest.excess if judged else 0.0
    where = " · ".join(filter(None, (largest.operator, largest.case, largest.lane)))
    title = f"{where}: {verdict}, {short(ratio)} of the tolerance in {largest.tensor}"
    place = places[largest.operator, largest.case]
    link = tag("a", SYMBOLS.get(verdict, _power(ratio)), href=f"#{place}", title=title)
    return tag("td", link, class_=f"{_shade(ratio)} {verdict.replace(' ', '-')}")


def _shade(ratio: float) -> str:
    if ratio == 0:
        return "s0"
    power = math.log10(ratio)
    return f"s{next(i for i, end in enumerate(STEPS, 1) if power <= end)}"


def _power(ratio: float) -> str:
    if ratio == 0:
        return EXACT
    return "∞" if math.isinf(ratio) else f"{math.log10(ratio):.1f}".replace("-", MINUS)


def _legend() -> Html:
    ends = [f"{end:g}".replace("-", MINUS) for end in STEPS[:-1]]
    names = ["exact", f"≤ {ends[0]}", *(f"to {end}" for end in ends[1:]), f"> {ends[-1]}"]
    swatches = (tag("span", tag("i", class_=f"s{i}"), name) for i, name in enumerate(names))
    symbols = {EXACT: "exact", **{SYMBOLS[v]: v for v in SEVERITY if v in SYMBOLS}}
    marks = (tag("span", tag("b", symbol), name) for symbol, name in symbols.items())
    scale = tag("p", "log₁₀(error / tolerance): ", *swatches, class_="legend")
    return join([scale, tag("p", *marks, "empty: not run", class_="legend")])


def _details(cells: dict[Cell, list[Record]], places: dict[Cell, str]) -> list[Html]:
    by_operator: dict[str, list[Html]] = {}
    for cell, records in cells.items():
        by_operator.setdefault(cell[0], []).append(_case(cell[1], records, places[cell]))
    return [
        fold(join([tag("b", operator), tag("small", count(len(cases), "case"))], " "), *cases)
        for operator, cases in by_operator.items()
    ]


def _case(case: str, records: list[Record], place: str) -> Html:
    """The worst tensors of every lane, and what is not a pass."""
    shown: list[Record] = []
    rest = Counter[str]()
    for mine in _grouped(records, lambda r: r.lane).values():
        mine.sort(key=lambda r: (SEVERITY.index(r.verdict), -r.excess))
        bad = sum(record.verdict not in (PASS, UNJUDGED) for record in mine)
        end = min(max(bad, WORST), MOST)
        shown += mine[:end]
        rest.update(record.verdict for record in mine[end:])
    configs = list(dict.fromkeys(record.config for record in records))
    small = configs[0] if len(configs) == 1 else count(len(configs), "configuration")
    left = " and ".join(f"{number} {verdict}" for verdict, number in rest.items())
    more = tag("p", f"Not shown: {left}.", class_="quiet") if left else None
    commands = dict.fromkeys(record.repro for record in shown if record.repro)
    title = tag("h4", case or "All cases", " ", tag("small", small))
    return tag(
        "section",
        title,
        tensor_table(shown),
        more,
        *map(command, commands),
        id=place,
        class_="case",
    )
