import abc
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import numpy as np

# Neither framework is right where two scores are closer than their own rounding errors: JAX
# differs from itself between eager and jit there. So a choice is judged by its margin.
LIMIT = 2.0
PAIRS = 8
Verdict = Literal["EXACT", "TIE", "NEAR-TIE", "FAIL"]


@dataclass
class Judgement:
    """How the choices of all groups compare with the reference's."""

    counts: dict[str, int] = field(default_factory=dict)
    gap: float = 0.0
    message: str = ""
    pairs: list[dict[str, float]] = field(default_factory=list)

    def add(self, verdict: str, gap: float, message: str = "") -> None:
        """Counts the verdict of one group; `gap` is its margin in units of the noise."""
        self.counts[verdict] = self.counts.get(verdict, 0) + 1
        self.gap = max(self.gap, gap)
        if verdict == "FAIL" and not self.message:
            self.message = message

    def list_pairs(self, ours: np.ndarray, theirs: np.ndarray, scores: np.ndarray) -> None:
        """Lists the first rows about which the two sides disagree, with their scores."""
        shared = min(len(ours), len(theirs))
        for place in np.flatnonzero(ours[:shared] != theirs[:shared])[: PAIRS - len(self.pairs)]:
            mine, other = int(ours[place]), int(theirs[place])
            pair = {"row_ours": mine, "row_theirs": other, "score_ours": float(scores[mine])}
            self.pairs.append({**pair, "score_theirs": float(scores[other])})


def verdict_of(gap: float) -> Verdict:
    """The verdict on a choice that violates the order of the scores by so many units of noise."""
    return "TIE" if gap <= 0 else "NEAR-TIE" if gap <= LIMIT else "FAIL"


@dataclass(frozen=True, eq=False)
class AbstractChoice(abc.ABC):
    """What PyTorch chose at one call: some of several rows, by their scores.

    **Arguments:**

    - `rows`: the chosen rows.
    - `scores`: the score of each row.
    - `groups`: the group (graph) of each row, in which it is ranked.
    """

    rows: np.ndarray
    scores: np.ndarray
    groups: np.ndarray

    kind: ClassVar[str]
    # What padding scores in a test of the selection: it would be chosen first.
    padding_score: ClassVar[float]

    @abc.abstractmethod
    def expected(self, scores: np.ndarray) -> np.ndarray:
        """The only right choice for exactly these scores."""

    @abc.abstractmethod
    def in_order(self, rows: np.ndarray) -> np.ndarray:
        """Rows that were chosen group by group, in the order of a choice."""

    @abc.abstractmethod
    def judge(self, ours: np.ndarray, deltas: np.ndarray) -> Judgement:
        """Judges another choice by the margin of the scores.

        **Arguments:**

        - `ours`: the rows that the other side chose.
        - `deltas`: for each group, how far apart scores must be for their order to mean something.
        """

    @abc.abstractmethod
    def near_cut(self, deltas: np.ndarray) -> list[float]:
        """For each group that is cut, the fraction of its rows within `2 delta` of a row on the
        other side. Empty where a cut says nothing about the choice."""


@dataclass(frozen=True, eq=False)
class AbstractGroupChoice(AbstractChoice):
    """A choice that is made in each group alone."""

    @abc.abstractmethod
    def _order(self, rows: np.ndarray) -> np.ndarray:
        """What ascends along a choice."""

    @abc.abstractmethod
    def _gap(self, ours: np.ndarray, theirs: np.ndarray, inside: np.ndarray) -> float:
        """By how much a choice in the group whose rows are `inside`, and from which they are
        counted, violates the order of the scores; infinite for what is no choice."""

    def judge(self, ours: np.ndarray, deltas: np.ndarray) -> Judgement:
        judgement, groups = Judgement(), self.groups
        if len(ours) and (ours.min() < 0 or ours.max() >= len(groups)):
            message = f"row {ours.max()} is not one of {len(groups)} rows"
            judgement.add("FAIL", float("inf"), message)
            return judgement
        if np.any(np.diff(self._order(ours)) < 0):
            message = "the chosen rows are not in order of their groups"
            judgement.add("FAIL", float("inf"), message)
            return judgement
        for group in np.unique(groups):
            inside = np.flatnonzero(groups == group)
            mine, other = ours[groups[ours] == group], self.rows[groups[self.rows] == group]
            if np.array_equal(mine, other):
                judgement.add("EXACT", 0.0)
                continue
            # Global to local numbers; each choice was checked to lie in this group.
            local = np.searchsorted(inside, mine), np.searchsorted(inside, other)
            gap = self._gap(local[0], local[1], inside) / float(deltas[group])
            message = f"group {group}: ours {mine[:8]}, theirs {other[:8]}, gap {gap:.3g}"
            judgement.add(verdict_of(gap), max(gap, 0.0), message)
            judgement.list_pairs(mine, other, self.scores)
        return judgement


@dataclass(frozen=True, eq=False)
class TopK(AbstractGroupChoice):
    """The rows of each group with the highest scores, in descending order."""

    kind = "topk"
    padding_score = np.nan

    def expected(self, scores: np.ndarray) -> np.ndarray:
        size = int(self.groups.max(initial=0)) + 1
        return rank(scores, self.groups, np.bincount(self.groups[self.rows], minlength=size))

    def in_order(self, rows: np.ndarray) -> np.ndarray:
        return rows

    def _order(self, rows: np.ndarray) -> np.ndarray:
        return self.groups[rows]

    def _gap(self, ours, theirs, inside) -> float:
        if len(ours) != len(theirs) or len(set(ours.tolist())) != len(ours):
            return np.inf
        big = np.finfo(np.float64).max / 4
        scores = self.scores[inside]
        scores = np.clip(np.where(np.isnan(scores), big, scores), -big, big)
        kept = np.zeros(len(scores), bool)
        kept[ours] = True
        chosen = scores[ours]
        cut = scores[~kept].max() - chosen.min() if (~kept).any() else 0.0
        highest_after = np.maximum.accumulate(chosen[::-1])[::-1][1:]
        order = (highest_after - chosen[:-1]).max(initial=0.0)
        return float(max(cut, order))

    def near_cut(self, deltas: np.ndarray) -> list[float]:
        chosen = np.zeros(len(self.groups), bool)
        chosen[self.rows] = True
        close = []
        for group in np.unique(self.groups):
            mine = self.groups == group
            top, rest = self.scores[mine & chosen], self.scores[mine & ~chosen]
            if len(top) and len(rest):
                reach = LIMIT * deltas[group]
                near = np.sum(top <= rest.max() + reach) + np.sum(rest >= top.min() - reach)
                close.append(float(near / np.sum(mine)))
        return close


@dataclass(frozen=True, eq=False)
class Threshold(AbstractGroupChoice):
    """The rows that score above `min_score`, or just below the highest of their group where that is
    lower, in their original order."""

    min_score: float
    tol: float

    kind = "threshold"
    padding_score = np.inf

    def thresholds(self, scores: np.ndarray) -> np.ndarray:
        """The threshold of each row, in the dtype of the scores."""
        highest = np.full(int(self.groups.max(initial=0)) + 1, -np.inf, scores.dtype)
        np.maximum.at(highest, self.groups, scores)
        number = scores.dtype.type
        return np.minimum(highest[self.groups] - number(self.tol), number(self.min_score))

    def expected(self, scores: np.ndarray) -> np.ndarray:
        return np.flatnonzero(scores > self.thresholds(scores))

    def in_order(self, rows: np.ndarray) -> np.ndarray:
        return np.sort(rows)

    def _order(self, rows: np.ndarray) -> np.ndarray:
        return rows

    def _gap(self, ours, theirs, inside) -> float:
        disputed = inside[np.setxor1d(ours, theirs)]
        if np.any(np.diff(ours) <= 0):  # a row twice
            return np.inf
        limits = self.thresholds(self.scores)
        return float(np.abs(self.scores[disputed] - limits[disputed]).max())

    def near_cut(self, deltas: np.ndarray) -> list[float]:
        return []


@dataclass(frozen=True, eq=False)
class Matching(AbstractChoice):
    """The edges that are taken by going down the scores, leaving out those with an end that is
    taken.

    **Arguments:**

    - `ends`: the two nodes of each edge, shape `(2, edges)`.
    """

    ends: np.ndarray

    kind = "matching"
    padding_score = np.nan

    def expected(self, scores: np.ndarray) -> np.ndarray:
        taken, used = [], set()
        everything = rank(scores, np.zeros(len(scores), int), np.array([len(scores)]))
        for edge in everything.tolist():
            pair = set(self.ends[:, edge].tolist())
            if not pair & used:
                taken.append(edge)
                used |= pair
        return np.array(taken, np.int64)

    def in_order(self, rows: np.ndarray) -> np.ndarray:
        return rows[np.argsort(-self.scores[rows], kind="stable")]

    def judge(self, ours: np.ndarray, deltas: np.ndarray) -> Judgement:
        judgement = Judgement()
        if np.array_equal(ours, self.rows):
            judgement.add("EXACT", 0.0)
            return judgement
        message = f"ours {ours[:8]}, theirs {self.rows[:8]}"
        if not self._is_matching(ours):
            judgement.add("FAIL", float("inf"), f"not a matching: {message}")
            return judgement
        gap = self._disorder(ours) / float(deltas.max())
        judgement.add(verdict_of(gap), max(gap, 0.0), f"{message}, gap {gap:.3g}")
        judgement.list_pairs(ours, self.rows, self.scores)
        return judgement

    def near_cut(self, deltas: np.ndarray) -> list[float]:
        return []

    def _is_matching(self, rows: np.ndarray) -> bool:
        if len(rows) and (rows.min() < 0 or rows.max() >= len(self.scores)):
            return False
        nodes = [node for row in rows for node in set(self.ends[:, row].tolist())]
        return len(nodes) == len(set(nodes))

    def _disorder(self, rows: np.ndarray) -> float:
        """By how much a matching violates the order of the scores: that of edges which are left
        out beside worse ones, or of edges taken after worse ones."""
        best = np.full(int(self.ends.max(initial=0)) + 1, -np.inf)
        # NumPy 2.4 reads past the end of values that are not given for each index.
        np.maximum.at(best, self.ends[:, rows].ravel(), np.tile(self.scores[rows], 2))
        left = np.setdiff1d(np.arange(len(self.scores)), rows)
        beaten = self.scores[left] - best[self.ends[:, left]].max(axis=0)
        chosen = self.scores[rows]
        later = np.maximum.accumulate(chosen[::-1])[::-1][1:] - chosen[:-1]
        return float(max(beaten.max(initial=-np.inf), later.max(initial=-np.inf)))


CHOICES = {choice.kind: choice for choice in (TopK, Threshold, Matching)}


def rank(scores: np.ndarray, groups: np.ndarray, kept_of: np.ndarray) -> np.ndarray:
    """The first `kept_of[group]` rows of each group in descending order of score, ties by lowest
    row, NaN first: what a selection must return for exactly these scores."""
    descending = -np.where(np.isnan(scores), np.inf, scores)
    order = np.lexsort((np.arange(len(scores)), descending, ~np.isnan(scores), groups))
    starts = np.searchsorted(groups[order], groups[order])
    place = np.arange(len(order)) - starts
    return order[place < kept_of[groups[order]]]
