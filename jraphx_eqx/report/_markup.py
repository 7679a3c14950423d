import html
import json
from collections.abc import Iterable
from typing import Any

MINUS, TIMES = "\N{MINUS SIGN}", "\N{MULTIPLICATION SIGN}"


class Html(str):
    """Text that is markup already. All other text is escaped by `tag` and `join`."""


def tag(name: str, /, *children: Any, **attributes: Any) -> Html:
    """An HTML or SVG element.

    **Arguments:**

    - `name`: of the element.
    - `children`: text, which is escaped, or `Html`, which is not; `None` is left out.
    - `attributes`: `class_` means `class`, and `stroke_width` means `stroke-width`. `None` leaves
        an attribute out, and `True` gives it no value.
    """
    parts = [name]
    for key, value in attributes.items():
        key = key.rstrip("_").replace("_", "-")
        if value is True:
            parts.append(key)
        elif value is not None and value is not False:
            parts.append(f'{key}="{html.escape(str(value))}"')
    return Html(f"<{' '.join(parts)}>{join(children)}</{name}>")


def join(children: Iterable[Any], between: str = "") -> Html:
    """Elements and escaped text, one after the other."""
    given = (child for child in children if child is not None)
    texts = (child if isinstance(child, Html) else html.escape(str(child)) for child in given)
    return Html(html.escape(between).join(texts))


def table(
    head: Iterable[Any],
    rows: Iterable[Iterable[Any]],
    *,
    numbers: Iterable[int] = (),
    kind: str | None = None,
) -> Html:
    """A table that scrolls inside its own box.

    **Arguments:**

    - `head`, `rows`: the cells.
    - `numbers`: the columns to be set flush right.
    - `kind`: a class: `"wide"` for much text, `"tensors"` for `tensor_table`.
    """
    right = frozenset(numbers)

    def cells(name: str, row: Iterable[Any], **attributes: Any) -> Html:
        kinds = (("n" if place in right else None, cell) for place, cell in enumerate(row))
        return join(tag(name, cell, class_=kind, **attributes) for kind, cell in kinds)

    top = tag("thead", tag("tr", cells("th", head, scope="col")))
    body = tag("tbody", *(tag("tr", cells("td", row)) for row in rows))
    return scroll(tag("table", top, body, class_=kind))


def scroll(content: Html) -> Html:
    """A box of its own for what may be wider than the page; the keyboard can reach it."""
    return tag("div", content, class_="scroll", tabindex="0")


def fold(summary: Any, *children: Any, opened: bool = False) -> Html:
    """Content that opens on a click."""
    return tag("details", tag("summary", summary), *children, open=opened)


def code(text: Any) -> Html:
    """Text in a monospaced font."""
    return tag("code", text)


def prose(text: str) -> Html:
    """Text in which `backticks` mark code, as in our docstrings."""
    parts = text.split("`")
    if len(parts) % 2 == 0:
        return join([text])
    return join(code(part) if place % 2 else part for place, part in enumerate(parts))


def plain(value: Any) -> str:
    """Any JSON data as text; numbers in six digits."""
    return value if isinstance(value, str) else json.dumps(_rounded(value), default=str)


def command(text: str) -> Html:
    """A command to be copied, in which no option is broken across lines."""
    words = (tag("span", word) if word[:1] == "-" else word for word in text.split(" "))
    return tag("pre", join(words, " "))


def short(value: float | None) -> str:
    """A number in two or three digits."""
    if value is None:
        return ""
    mantissa, _, exponent = f"{value:.3g}".partition("e")
    text = f"{mantissa}e{int(exponent)}" if exponent else mantissa
    return text.replace("-", MINUS).replace("inf", "∞").replace("nan", "NaN")


def count(number: int, noun: str) -> str:
    """`1 case`, `1,024 cases`."""
    plural = noun if number == 1 else f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{number:,} {plural}"


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, list | tuple):
        return [_rounded(item) for item in value]
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    return value
