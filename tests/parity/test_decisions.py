"""Selections are judged by their margin: what rounding can change passes, what it cannot fails."""

import numpy as np
import pytest

from jraphx_eqx.parity import Threshold, TopK
from jraphx_eqx.parity._decisions import rank

SCORES = np.array([0.9, 0.5, 0.7, 0.1])
DELTA = 1e-6


def judged(choice, ours):
    """The verdict and the margin of a choice in a single group."""
    judgement = choice.judge(np.array(ours, int), np.array([DELTA]))
    [verdict] = judgement.counts
    return verdict, judgement.gap


def topk(ours, theirs=(0, 2), scores=SCORES):
    return judged(TopK(np.array(theirs), scores, np.zeros(len(scores), int)), ours)


def test_the_same_nodes_in_the_same_order_are_exact():
    assert topk([0, 2]) == ("EXACT", 0.0)


@pytest.mark.parametrize(
    "ours",
    [[2, 0], [0, 1], [0, 3], [0], [0, 2, 1], [0, 0], [0, 7], [0, -1]],
    ids=["order", "set", "lowest", "k-1", "k+1", "twice", "past the end", "negative"],
)
def test_a_wrong_selection_fails(ours):
    assert topk(ours)[0] == "FAIL"


def test_equal_scores_in_another_order_are_a_tie():
    scores = np.array([0.9, 0.7, 0.7, 0.1])
    assert topk([0, 1], [0, 2], scores) == ("TIE", 0.0)


def test_scores_within_rounding_are_a_near_tie_and_just_beyond_it_a_failure():
    near = np.array([0.9, 0.7 + 1.9 * DELTA, 0.7, 0.1])
    verdict, gap = topk([0, 2], [0, 1], near)
    assert verdict == "NEAR-TIE" and gap == pytest.approx(1.9, rel=1e-6)
    beyond = np.array([0.9, 0.7 + 2.1 * DELTA, 0.7, 0.1])
    assert topk([0, 2], [0, 1], beyond)[0] == "FAIL"


def test_many_small_steps_do_not_excuse_a_large_disorder():
    # Each neighbour is within the margin of the next, but first and last are not.
    scores = 0.5 + 1.5 * DELTA * np.arange(4)
    assert topk([0, 1, 2, 3], [3, 2, 1, 0], scores)[0] == "FAIL"


def test_nan_scores_rank_first():
    scores = np.array([0.9, np.nan, 0.7, 0.1])
    assert topk([1, 0], [1, 0], scores)[0] == "EXACT"
    assert topk([0, 2], [1, 0], scores)[0] == "FAIL"


def threshold(ours, theirs, scores=SCORES, limit=0.6):
    groups = np.zeros(len(scores), int)
    return judged(Threshold(np.array(theirs, int), scores, groups, limit, 1e-7), ours)


def test_a_threshold_selection_fails_where_a_clear_score_is_on_the_wrong_side():
    assert threshold([0, 2], [0, 2])[0] == "EXACT"
    assert threshold([0, 1, 2], [0, 2])[0] == "FAIL"
    assert threshold([0], [0, 2])[0] == "FAIL"
    assert threshold([2, 0], [0, 2])[0] == "FAIL"
    assert threshold([0, 0, 2], [0, 2])[0] == "FAIL"


def test_a_score_at_the_threshold_may_be_on_either_side():
    scores = np.array([0.9, 0.6 + DELTA, 0.7])
    verdict, gap = threshold([0, 2], [0, 1, 2], scores)
    assert verdict == "NEAR-TIE" and gap == pytest.approx(1, rel=1e-6)


CHOICE = TopK(np.array([0, 2]), SCORES, np.array([0, 0, 1, 1]))
DELTAS = np.full(2, DELTA)


def test_groups_are_judged_one_by_one():
    judgement = CHOICE.judge(np.array([0, 3]), DELTAS)
    assert judgement.counts == {"EXACT": 1, "FAIL": 1}
    assert "group 1" in judgement.message


def test_groups_out_of_order_fail():
    judgement = CHOICE.judge(np.array([2, 0]), DELTAS)
    assert judgement.counts == {"FAIL": 1}


def test_a_row_past_the_end_fails():
    judgement = CHOICE.judge(np.array([0, 4]), DELTAS)
    assert judgement.counts == {"FAIL": 1}


def test_rank_is_by_group_then_score_then_row_with_nan_first():
    scores = np.array([0.5, 0.5, np.nan, 1.0, -0.0, 0.0, 0.0])
    groups = np.array([1, 1, 1, 1, 0, 0, 0])
    kept = np.array([2, 3])
    assert rank(scores, groups, kept).tolist() == [4, 5, 2, 3, 0]


def test_a_choice_says_what_is_right_for_other_scores():
    assert CHOICE.expected(np.array([0.1, 0.2, 0.3, 0.4])).tolist() == [1, 3]
    above = Threshold(np.array([0]), SCORES, np.array([0, 0, 1, 1]), 0.8, 1e-7)
    # No row of the second group exceeds 0.8, so its highest stays.
    assert above.expected(SCORES).tolist() == [0, 2]


def test_rows_above_a_threshold_are_in_their_own_order():
    above = Threshold(np.array([0, 2]), SCORES, np.array([0, 0, 1, 1]), 0.6, 1e-7)
    assert above.judge(np.array([0, 2]), DELTAS).counts == {"EXACT": 2}
    assert above.judge(np.array([2, 0]), DELTAS).counts == {"FAIL": 1}
    assert above.judge(np.array([0, 1, 2]), DELTAS).counts == {"FAIL": 1, "EXACT": 1}
