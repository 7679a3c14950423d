import html
from collections import Counter
from collections.abc import Iterable
from importlib.resources import files
from typing import Any

from ..parity import Result
from ..parity.verdicts import FAIL, MISTRUSTED, NOT_VERIFIED, PASS, SEVERITY, SURVIVED
from ._decisions import decisions
from ._divergences import divergences
from ._drift import drift
from ._errors import errors
from ._failures import failures
from ._faults import faults
from ._markup import Html, code, count, join, plain, short, table, tag
from ._matrix import badge, matrix
from ._plots import definitions
from ._table import columns, killed, lanes, rows

CHANGES = 300
OUTCOMES = {0: PASS, 1: FAIL, 2: NOT_VERIFIED}


def to_html(result: Result, *, before: Result | None = None, title: str = "Parity report") -> str:
    """The report of a run as one HTML page, which needs no other file and no network.

    It is made of the result alone, so an old one, read by `Result.read`, gives the same page again.

    **Arguments:**

    - `result`: what is shown.
    - `before`: an earlier result; the page then says what changed since.
    - `title`: the heading of the page.

    **Returns:** the text of the file.
    """
    sections = {
        "failures": ("Needs attention", failures(result)),
        "summary": ("Summary", _summary(result)),
        "drift": ("Drift", _changes(before, result) if before else None),
        "matrix": ("Operators and cases", matrix(result) if result.records else None),
        "errors": ("Errors by tensor", errors(result)),
        "decisions": ("Decisions", decisions(result)),
        "faults": ("Injected faults", faults(result.kills)),
        "divergences": ("Declared divergences", divergences(result)),
        "environment": ("Environment", _environment(result.environment)),
    }
    shown = {name: (head, body) for name, (head, body) in sections.items() if body}
    links = (tag("a", head, href=f"#{name}") for name, (head, _) in shown.items())
    header = tag("header", tag("h1", title), _outcome(result), tag("nav", *links))
    bodies = (
        tag("section", tag("h2", head), body, id=name) for name, (head, body) in shown.items()
    )
    return _page(
        title, join([definitions() if result.profiles else None, header, tag("main", *bodies)])
    )


def _page(title: str, body: Html) -> str:
    here = files(__name__.rpartition(".")[0])
    page = here.joinpath("page.html").read_text(encoding="utf-8")
    for name in ("css", "js"):
        text = here.joinpath(f"page.{name}").read_text(encoding="utf-8")
        page = page.replace(f"@{name}@", text.strip())
    # Split first, because what comes from the result could contain these marks.
    top, bottom = page.split("@body@")
    return top.replace("@title@", html.escape(title)) + body + bottom


def _outcome(result: Result) -> Html:
    """The verdict on the whole run, in three sentences at most."""
    sentences = [_extent(result)]
    judged = [record for record in result.of(PASS, FAIL, MISTRUSTED) if record.kind != "run"]
    if judged:
        largest = max(judged, key=lambda record: record.excess)
        where = " / ".join(filter(None, (largest.operator, largest.case, largest.lane)))
        ratio = f"{short(largest.excess)} times its tolerance"
        sentences.append(f"The largest error is {ratio}: {largest.tensor} of {where}.")
    survivors = sum(kill.verdict == SURVIVED for kill in result.kills)
    if survivors:
        sentences.append(f"{count(survivors, 'injected fault')} survived.")
    verdict = badge(OUTCOMES[result.exit_code])
    return tag("p", verdict, " ", " ".join(sentences), class_="outcome")


def _extent(result: Result) -> str:
    if not result.records:
        return "Nothing was compared."
    operators = count(len(result.operators), "operator")
    text = f"{count(len(result.records), 'comparison')} of {operators}"
    cases = len({record.case for record in result.records if record.case})
    names = lanes(result)
    if cases and names:
        listed = " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))
        text += f" on {count(cases, 'case')}, {'lanes' if names[1:] else 'lane'} {listed}"
    return f"{text}."


def _summary(result: Result) -> Html:
    verdicts = Counter(record.verdict for record in result.records)
    tiles = [_tile(verdict, f"{verdicts[verdict]:,}") for verdict in reversed(SEVERITY)]
    if result.kills:
        tiles.append(_tile("FAULTS KILLED", killed(result.kills)))
    parts = [tag("dl", *tiles, class_="tiles")]
    found = rows(result)
    if found:
        heads = columns(result)
        cells = ([*(row[head] for head in heads[:-1]), badge(row["status"])] for row in found)
        note = "Under each lane: the worst error over its tolerance, and the tensor that has it."
        numbers = (heads.index("cases"), heads.index("digits"))
        parts += [table(heads, cells, numbers=numbers, kind="wide"), tag("p", note, class_="quiet")]
    return join(parts)


def _tile(name: str, number: str) -> Html:
    kind = "none" if number == "0" else name.replace(" ", "-")
    return tag("div", tag("dt", name), tag("dd", number), class_=kind)


def _environment(found: dict[str, Any]) -> Html:
    if not found:
        return tag("p", "Nothing was recorded.", class_="quiet")
    return table(("setting", "value"), ([name, code(plain(v))] for name, v in found.items()))


def _changes(before: Result, after: Result) -> Html:
    found = drift(before, after)
    if not found:
        return tag("p", "Nothing changed since the earlier run.")
    body: Iterable[list[Any]] = (
        [c.kind, c.where, c.before, c.after, tag("b", "worse") if c.worse else ""]
        for c in found[:CHANGES]
    )
    worse = sum(change.worse for change in found)
    text = f"{count(len(found), 'change')} since the earlier run, {worse:,} for the worse."
    left = len(found) - CHANGES
    more = tag("p", f"{left:,} more are not shown.", class_="quiet") if left > 0 else None
    listed = table(("what", "where", "before", "after", ""), body, kind="wide")
    return join([tag("p", text), listed, more])
