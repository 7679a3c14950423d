"""Pictures of pooled graphs and of padding, by matplotlib and networkx (the extra `viz`)."""

from ._budget import draw_budget as draw_budget
from ._levels import draw_levels as draw_levels
from ._scores import draw_scores as draw_scores
