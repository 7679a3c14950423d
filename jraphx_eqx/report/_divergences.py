from collections import Counter
from typing import Any

from ..parity import Result
from ._markup import Html, code, count, join, plain, prose, tag


def divergences(result: Result) -> Html | None:
    """Every declared divergence with the values of both sides, and how often it was met."""
    used = Counter(record.divergence for record in result.records if record.divergence)
    entries = {entry["id"]: entry for entry in result.divergences}
    unknown = {
        name: {"id": name, "reason": "The result says no more about it."}
        for name in used
        if name not in entries
    }
    found = [_divergence(entry, used[name]) for name, entry in {**entries, **unknown}.items()]
    return join(found) if found else None


def _divergence(entry: dict[str, Any], used: int) -> Html:
    name, link = entry["id"], str(entry.get("link", ""))
    seen = f"It covers {count(used, 'comparison')} of this run." if used else "Not met in this run."
    condition = entry.get("condition", "")
    when = join(["When ", prose(condition), ". ", seen]) if condition else seen
    sides = (
        tag("div", tag("dt", side), tag("dd", code(plain(entry[key]))))
        for side, key in (("PyG", "pyg"), ("ours", "ours"))
        if key in entry
    )
    return tag(
        "article",
        tag("h3", name, " ", tag("small", ", ".join(entry.get("operators", ())))),
        tag("p", when),
        tag("dl", *sides, class_="sides"),
        tag("p", prose(entry.get("reason", ""))),
        tag("p", _link(link)) if link else None,
        id=f"divergence-{name}",
    )


def _link(address: str) -> Any:
    # Anything else, such as javascript:, stays text.
    if address.startswith(("https://", "http://")):
        return tag("a", address, href=address, rel="noreferrer")
    return address
