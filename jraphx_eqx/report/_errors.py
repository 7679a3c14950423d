import functools
import math

from ..parity import Profile, Result
from ..parity.verdicts import DECLARED, FAIL
from ._markup import TIMES, Html, code, count, fold, join, tag
from ._plots import histogram, scatter

CLOSEST = 4

Name = tuple[str, str, str]


def errors(result: Result) -> Html | None:
    """The distribution of the errors of every tensor, and their size beside the tolerance."""
    profiles = result.profiles
    if not profiles:
        return None
    failed = {(r.operator, r.lane, r.tensor) for r in result.of(FAIL)}
    declared = {(r.operator, r.lane, r.tensor): r.divergence for r in result.of(DECLARED)}
    # Where a tensor differs as declared in one case and fails in another, the failure is told.
    declared = {name: divergence for name, divergence in declared.items() if name not in failed}
    figure = functools.partial(_figure, declared)
    keys = {"ours": "ours", "theirs": "PyTorch's own, in float32", "limit": "tolerance"}
    legend = (tag("span", tag("i", class_=f"key {kind}"), name) for kind, name in keys.items())
    cross = tag("span", tag("b", TIMES), "above the tolerance: a failure, unless declared")
    note = (
        "The histograms count signed errors in units in the last place of the largest number of "
        "the graph, on a logarithmic axis. The plots beside them have the size of the reference "
        "across and the error upwards."
    )
    shown = [profile for profile in profiles if profile.points and _name(profile) not in declared]
    closest = sorted(shown, key=lambda profile: -_closeness(profile))[:CLOSEST]
    parts = [tag("p", note, class_="quiet"), tag("p", *legend, cross, class_="legend")]
    parts.append(tag("h3", "Closest to the tolerance"))
    parts.append(tag("div", *(figure(p, p.operator) for p in closest), class_="figures"))
    for operator in dict.fromkeys(profile.operator for profile in profiles):
        # The lanes of one tensor side by side.
        tensors: dict[str, list[Profile]] = {}
        for profile in profiles:
            if profile.operator == operator:
                tensors.setdefault(profile.tensor, []).append(profile)
        figures = (figure(profile) for lanes in tensors.values() for profile in lanes)
        title = join([tag("b", operator), tag("small", count(len(tensors), "tensor"))], " ")
        parts.append(fold(title, tag("div", *figures, class_="figures")))
    return join(parts)


def _figure(declared: dict[Name, str], profile: Profile, operator: str = "") -> Html:
    above = sum(error > tolerance for _, error, tolerance in profile.points)
    where = " · ".join(filter(None, (operator, profile.lane)))
    parts = [code(profile.tensor), f"{where}, {sum(profile.ours):,} numbers"]
    divergence = declared.get(_name(profile))
    if divergence is not None:
        parts += ["declared:", tag("a", divergence, href=f"#divergence-{divergence}")]
    elif above:
        parts.append(tag("b", f"{TIMES} {above} above the tolerance"))
    if any(math.isnan(value) for point in profile.points for value in point):
        parts.append("NaN left out")
    caption = tag("figcaption", join(parts, " "))
    if not any(profile.ours) and not profile.points:
        return tag("figure", caption)
    nothing = not any(value for point in profile.points for value in point[:2])
    right = tag("p", "All exactly 0.", class_="quiet") if nothing else scatter(profile)
    return tag("figure", caption, histogram(profile), right)


def _name(profile: Profile) -> Name:
    return profile.operator, profile.lane, profile.tensor


def _closeness(profile: Profile) -> float:
    """The largest error over tolerance among the points."""
    ratios = [e / t if t else math.inf for _, e, t in profile.points if e > 0]
    return max((r for r in ratios if not math.isnan(r)), default=0.0)
