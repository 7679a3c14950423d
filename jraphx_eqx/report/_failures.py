from ..parity import Record, Result
from ..parity.verdicts import FAIL, MISTRUSTED, NOT_VERIFIED, SEVERITY
from ._markup import Html, command, join, tag
from ._matrix import tensor_table

FAILURES = 40


def failures(result: Result) -> Html | None:
    """What failed, was not verified or is mistrusted: one card per comparison of two modules."""
    trials: dict[tuple[str, ...], list[Record]] = {}
    for r in result.of(FAIL, NOT_VERIFIED, MISTRUSTED):
        trials.setdefault((r.operator, r.case, r.config, r.lane), []).append(r)
    if not trials:
        return None
    gravest_first = sorted(
        trials.items(), key=lambda item: min(SEVERITY.index(r.verdict) for r in item[1])
    )
    cards = [_failure(*item) for item in gravest_first[:FAILURES]]
    left = len(trials) - FAILURES
    if left > 0:
        text = f"{left:,} more are not shown here; the matrix leads to all of them."
        cards.append(tag("p", text, class_="quiet"))
    return join(cards)


def _failure(trial: tuple[str, ...], records: list[Record]) -> Html:
    operator, case, config, lane = trial
    title = " · ".join(filter(None, (operator, case, lane)))
    records = sorted(records, key=lambda r: (SEVERITY.index(r.verdict), -r.excess))
    commands = map(command, dict.fromkeys(r.repro for r in records if r.repro))
    small = tag("small", config) if config else None
    return tag(
        "article", tag("h3", title, " ", small), tensor_table(records, lane=False), *commands
    )
