"""Turns formulas into MathML when the site is built, so that pages load no script for them."""

import html
import re

from latex2mathml.converter import convert

# What `pymdownx.arithmatex` writes with `generic: true`.
_INLINE = re.compile(r'<span class="arithmatex">\\\((.*?)\\\)</span>', re.DOTALL)
_BLOCK = re.compile(r'<div class="arithmatex">\\\[(.*?)\\\]</div>', re.DOTALL)


def on_page_content(content: str, **_) -> str:
    content = _INLINE.sub(lambda found: _mathml(found, "inline"), content)
    return _BLOCK.sub(lambda found: _mathml(found, "block"), content)


def _mathml(found: re.Match, display: str) -> str:
    formula = convert(html.unescape(found[1]).strip(), display=display)
    return f'<div class="formula">{formula}</div>' if display == "block" else formula
