"""What is changed in the pages when the site is built."""

import html
import re
import textwrap

from latex2mathml.converter import convert

import jraphx_eqx  # noqa: F401
from jraphx_eqx._twin import TWINS

# What `pymdownx.arithmatex` writes with `generic: true`.
_INLINE = re.compile(r'<span class="arithmatex">\\\((.*?)\\\)</span>', re.DOTALL)
_BLOCK = re.compile(r'<div class="arithmatex">\\\[(.*?)\\\]</div>', re.DOTALL)
# Shapes such as "nodes *features", which mkdocstrings takes for products.
_SHAPE = re.compile(
    r'<span class="n">(\w+)</span> <span class="o">\*</span> <span class="n">(\w+)</span>'
    r'(?=<span class="p">\])'
)


def on_page_markdown(markdown: str, **_) -> str:
    return markdown.replace("    <!-- twins -->", textwrap.indent(_twins(), "    "))


def _twins() -> str:
    """What `from_pyg` and `to_pyg` convert, by the data beside the layers."""
    rows = {theirs: twin.ours for twin in TWINS.values() for theirs in twin.theirs}
    lines = [f"| `{theirs}` | `{rows[theirs].__name__}` |" for theirs in sorted(rows)]
    return "\n".join(["| PyG or PyTorch | here |", "|---|---|", *lines])


def on_page_content(content: str, **_) -> str:
    # MathML, so that pages load no script for their formulas.
    content = _INLINE.sub(lambda found: _mathml(found, "inline"), content)
    content = _BLOCK.sub(lambda found: _mathml(found, "block"), content)
    return _SHAPE.sub(r'<span class="s2">&quot;\1 *\2&quot;</span>', content)


def _mathml(found: re.Match, display: str) -> str:
    formula = convert(html.unescape(found[1]).strip(), display=display)
    return f'<div class="formula">{formula}</div>' if display == "block" else formula
