import math
from collections.abc import Iterable, Sequence

from ..parity import ULP_EDGES, Profile
from ._markup import MINUS, Html, tag

WIDTH, HEIGHT = 320, 150
LEFT, RIGHT, TOP, BOTTOM = 42, 306, 8, 126
LABELLED_ULPS = (-256.0, -16.0, -2.0, -0.25, 0.25, 2.0, 16.0, 256.0)
# Zero has no logarithm; it gets a strip of its own beside the axis.
ZERO_STRIP = 24


def definitions() -> Html:
    """The axis that all histograms of errors share, so that the page holds it once."""
    step = (RIGHT - LEFT) / (len(ULP_EDGES) + 1)
    parts = [_line(LEFT, BOTTOM, RIGHT, BOTTOM, "axis")]
    for place, edge in enumerate(ULP_EDGES):
        if edge in LABELLED_ULPS:
            x = round(LEFT + (place + 1) * step, 1)
            parts += [_line(x, BOTTOM, x, BOTTOM + 3, "axis"), _text(x, BOTTOM + 14, f"{edge:g}")]
    axis = tag("g", *parts, id="ulp-axis")
    return tag("svg", tag("defs", axis), width=0, height=0, aria_hidden="true", class_="defs")


def histogram(profile: Profile) -> Html:
    """Signed errors in ulp: ours as a filled area, PyTorch's as an outline; counts on a log axis,
    so that a single large error shows."""
    most = max((*profile.ours, *profile.theirs, 1))
    parts = [tag("use", href="#ulp-axis"), *_count_axis(most)]
    parts.append(tag("path", class_="ours", d=_steps(profile.ours, most, closed=True)))
    if any(profile.theirs):
        parts.append(tag("path", class_="theirs", d=_steps(profile.theirs, most)))
    return _svg(parts, f"Histogram of the errors of {profile.tensor} in ulp")


def scatter(profile: Profile) -> Html:
    """Error against the size of the reference, both logarithmic, with the tolerance as a line."""
    points = sorted((r, e, t) for r, e, t in profile.points if not math.isnan(r + e + t))
    across = _LogAxis([point[0] for point in points], LEFT, RIGHT)
    # Where all of a graph is 0 the tolerance is next to nothing, far below the rest.
    limits = [tolerance for reference, _, tolerance in points if reference > 0]
    up = _LogAxis([error for _, error, _ in points] + limits, BOTTOM, TOP)
    parts = [_line(LEFT, BOTTOM, RIGHT, BOTTOM, "axis"), _line(LEFT, TOP, LEFT, BOTTOM, "axis")]
    for at, text in across.ticks():
        parts += [_line(at, BOTTOM, at, BOTTOM + 3, "axis"), _text(at, BOTTOM + 14, text)]
    for at, text in up.ticks():
        parts += [_line(LEFT, at, RIGHT, at, "grid"), _text(LEFT - 4, at + 3.5, text, "end")]
    placed = [(across.at(r), up.at(e), up.at(t), e > t) for r, e, t in points]
    line = "".join(f"{'L' if i else 'M'}{x} {y}" for i, (x, _, y, _) in enumerate(placed))
    if line:
        # A horizontal line of no length shows where there is only one point.
        parts.append(tag("path", class_="limit", d=line + "h0"))
    inside = "".join(f"M{x} {y}h0" for x, y, _, above in placed if not above)
    outside = "".join(f"M{x - 3} {y - 3}l6 6m-6 0l6-6" for x, y, _, above in placed if above)
    for kind, path in (("dots", inside), ("above", outside)):
        if path:
            parts.append(tag("path", class_=kind, d=path))
    return _svg(parts, f"Errors of {profile.tensor} against the size of the reference")


def bars(ends: Sequence[float], counts: Sequence[int], what: str) -> Html:
    """A small histogram with a count above every bar. The last bar is for what is beyond the last
    of `ends`, which is drawn as the limit."""
    most, step = max((*counts, 1)), (RIGHT - LEFT) / max(len(counts), 1)
    parts = [_line(LEFT, BOTTOM, RIGHT, BOTTOM, "axis")]
    for place, end in enumerate((0.0, *ends)):
        if place % 2 == 0:
            parts.append(_text(_number(LEFT + place * step), BOTTOM + 14, f"{end:g}"))
    for place, number in enumerate(counts):
        height = (BOTTOM - TOP - 14) * number / most
        x, y = LEFT + place * step, BOTTOM - height
        kind = "bar over" if place == len(ends) else "bar"
        size = {"width": _number(step - 2), "height": _number(height)}
        parts.append(tag("rect", class_=kind, x=_number(x + 1), y=_number(y), **size))
        if number:
            parts.append(_text(_number(x + step / 2), _number(y - 4), f"{number:,}"))
    at = _number(LEFT + len(ends) * step)
    parts.append(_line(at, TOP, at, BOTTOM, "limit"))
    return _svg(parts, what)


class _LogAxis:
    """Whole decades between two pixels. Zeros lie in a strip before them, infinities and what is
    larger than the axis at its end."""

    def __init__(self, values: Iterable[float], start: float, end: float):
        values = list(values)
        found = [math.log10(value) for value in values if 0 < value < math.inf]
        self.low = math.floor(min(found, default=0.0))
        self.high = max(math.ceil(max(found, default=1.0)), self.low + 1)
        self.zero = any(value <= 0 for value in values)
        self.origin, self.end = start, end
        strip = math.copysign(ZERO_STRIP, end - start) if self.zero else 0
        self.start = start + strip

    def at(self, value: float) -> float:
        if value <= 0:
            return self.origin
        if math.isinf(value):
            return self.end
        return self._place(min(max(math.log10(value), self.low), self.high))

    def _place(self, logarithm: float) -> float:
        part = (logarithm - self.low) / (self.high - self.low)
        return _number(self.start + part * (self.end - self.start))

    def ticks(self) -> list[tuple[float, str]]:
        """Positions and labels of at most six decades."""
        step = math.ceil((self.high - self.low) / 5)
        decades = range(self.low, self.high + 1, step)
        ticks = [(self._place(decade), f"1e{decade}".replace("-", MINUS)) for decade in decades]
        return [(self.at(0.0), "0"), *ticks] if self.zero else ticks


def _count_axis(most: int) -> list[Html]:
    decades = range(int(math.log10(most)) + 1)
    every = math.ceil(len(decades) / 4)
    found = []
    for decade in decades[::every]:
        y = _height(10**decade, most)
        found.append(_line(LEFT, y, RIGHT, y, "grid"))
        found.append(
            _text(LEFT - 4, y + 3.5, f"{10**decade:,}" if decade < 4 else f"1e{decade}", "end")
        )
    return found


def _height(number: int, most: int) -> float:
    """The pixel of a count: 0 is on the axis, 1 clearly above it."""
    part = math.log10(2 * number) / math.log10(2 * most) if number else 0.0
    return _number(BOTTOM - part * (BOTTOM - TOP))


def _steps(counts: Sequence[int], most: int, closed: bool = False) -> str:
    step, path, before = (RIGHT - LEFT) / len(counts), f"M{LEFT} {BOTTOM}", float(BOTTOM)
    for place, number in enumerate(counts):
        y = _height(number, most)
        if y != before:
            path += f"H{_number(LEFT + place * step)}V{y}"
        before = y
    return path + f"H{RIGHT}V{BOTTOM}" + ("Z" if closed else "")


def _svg(parts: Iterable[Html], label: str) -> Html:
    return tag("svg", *parts, viewBox=f"0 0 {WIDTH} {HEIGHT}", role="img", aria_label=label)


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> Html:
    return tag("path", class_=kind, d=f"M{x1} {y1}L{x2} {y2}")


def _text(x: float, y: float, text: str, anchor: str | None = None) -> Html:
    return tag("text", text, x=x, y=_number(y), text_anchor=anchor)


def _number(value: float) -> float:
    """A tenth of a pixel is enough, and keeps the page small."""
    rounded = round(value, 1)
    return int(rounded) if rounded == int(rounded) else rounded
