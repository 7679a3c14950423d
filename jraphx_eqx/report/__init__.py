"""Pages and tables made of a `Result` alone: in the terminal, as HTML, and what changed since."""

from ._drift import Drift as Drift
from ._drift import drift as drift
from ._drift import render_drift as render_drift
from ._html import to_html as to_html
from ._table import render as render
