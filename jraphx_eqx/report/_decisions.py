import math
from collections import Counter
from typing import Any

from ..parity import Record, Result
from ._markup import Html, count, fold, join, short, table, tag
from ._plots import bars

NEAR_TIES = 200
# The upper ends of the bars of margins, in units of the noise; 2 is the limit of a near tie.
MARGINS = (0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0)


def decisions(result: Result) -> Html | None:
    records = [record for record in result.records if record.decisions]
    if not records:
        return None
    names = list(dict.fromkeys(name for record in records for name in record.decisions))
    body = []
    for operator in dict.fromkeys(record.operator for record in records):
        mine = [record for record in records if record.operator == operator]
        counts = sum((Counter(record.decisions) for record in mine), Counter[str]())
        largest = max(record.gap_delta for record in mine)
        body.append([operator, *(f"{counts[name]:,}" for name in names), short(largest)])
    heads = ["operator", *names, "largest margin / δ"]
    note = (
        "Graphs by verdict. δ is the noise of the scores: beyond 2 δ their order means something, "
        "and choosing otherwise is a failure."
    )
    parts = [tag("p", note, class_="quiet"), table(heads, body, numbers=range(1, len(heads)))]
    gaps = [record.gap_delta for record in records if record.gap_delta > 0]
    if gaps:
        parts += [tag("h3", "Margins"), _margins(gaps, len(records))]
    return join([*parts, _near_ties(records)])


def _margins(gaps: list[float], total: int) -> Html:
    ends = (*MARGINS, math.inf)
    places = Counter(next(i for i, end in enumerate(ends) if gap <= end) for gap in gaps)
    counts = [places[place] for place in range(len(ends))]
    chart = bars(MARGINS, counts, "Histogram of margins")
    same = total - len(gaps)
    caption = tag(
        "figcaption", f"Largest margin of each batch in δ; {same:,} of {total:,} have none"
    )
    return tag("div", tag("figure", caption, chart), class_="figures")


def _near_ties(records: list[Record]) -> Html:
    pairs = [(record, pair) for record in records for pair in record.near_ties]
    if not pairs:
        return tag("p", "No pair of rows was chosen differently.", class_="quiet")
    names = list(dict.fromkeys(name for _, pair in pairs for name in pair))
    heads = ["operator", "case", "config", "lane", *names]
    body = (
        [r.operator, r.case, r.config, r.lane, *(_exact(pair.get(name)) for name in names)]
        for r, pair in pairs[:NEAR_TIES]
    )
    left = len(pairs) - NEAR_TIES
    more = tag("p", f"{left:,} more are not shown.", class_="quiet") if left > 0 else None
    listed = table(
        [*heads[:4], *(name.replace("_", " ") for name in names)],
        body,
        numbers=range(4, len(heads)),
        kind="wide",
    )
    return fold(
        join([tag("b", "Rows chosen differently"), tag("small", count(len(pairs), "pair"))], " "),
        listed,
        more,
    )


def _exact(value: Any) -> str:
    """A number with all its digits, because near ties differ in the last ones."""
    if isinstance(value, float):
        return repr(value)
    return "" if value is None else str(value)
