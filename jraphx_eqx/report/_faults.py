from collections import Counter

from ..parity import Kill
from ..parity.verdicts import EQUIVALENT, KILLED, SURVIVED
from ._markup import TIMES, Html, fold, join, prose, scroll, table, tag
from ._matrix import badge
from ._table import killed

MARKS = {KILLED: "•", SURVIVED: TIMES, EQUIVALENT: "="}


def faults(kills: list[Kill]) -> Html | None:
    """Faults by operators, and which check killed each."""
    if not kills:
        return None
    verdicts = Counter(kill.verdict for kill in kills)
    text = f"{killed(kills)} of the faults that change a result were killed."
    if verdicts[EQUIVALENT]:
        text += f" {verdicts[EQUIVALENT]} change nothing: all results were bit-equal."
    marks = (tag("span", tag("b", mark), verdict.lower()) for verdict, mark in MARKS.items())
    listed = fold(tag("b", "What killed each"), _listed(kills), opened=bool(verdicts[SURVIVED]))
    legend = tag("p", *marks, "empty: not tried", class_="legend")
    return join([tag("p", text), _kill_matrix(kills), legend, listed])


def _kill_matrix(kills: list[Kill]) -> Html:
    operators = list(dict.fromkeys(kill.operator for kill in kills))
    places = {(kill.fault, kill.operator): number for number, kill in enumerate(kills)}
    lines = []
    for fault in dict.fromkeys(kill.fault for kill in kills):
        numbers = (places.get((fault, operator)) for operator in operators)
        cells = (tag("td") if n is None else _cell(kills[n], n) for n in numbers)
        lines.append(tag("tr", tag("th", fault, scope="row"), *cells))
    tops = (tag("th", tag("span", operator), scope="col") for operator in operators)
    head = tag("thead", tag("tr", tag("th", "fault", scope="col"), *tops))
    return scroll(tag("table", head, tag("tbody", *lines), class_="matrix"))


def _cell(kill: Kill, number: int) -> Html:
    mark = MARKS.get(kill.verdict, kill.verdict)
    title = f"{kill.fault}, {kill.operator}: {kill.verdict}" + (f" by {kill.by}" if kill.by else "")
    return tag("td", tag("a", mark, href=f"#fault-{number}", title=title), class_=kill.verdict)


def _listed(kills: list[Kill]) -> Html:
    """One row per fault and operator; survivors first."""
    numbered = sorted(enumerate(kills), key=lambda pair: pair[1].verdict != SURVIVED)
    body = (
        [
            tag("span", kill.fault, id=f"fault-{number}"),
            kill.operator,
            badge(kill.verdict),
            prose(kill.description),
            kill.by,
            kill.message,
        ]
        for number, kill in numbered
    )
    heads = ("fault", "operator", "verdict", "what was changed", "killed by", "remarks")
    return table(heads, body, kind="wide")
