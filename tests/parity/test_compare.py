"""The comparer passes what it should and, above all, fails what it should."""

import numpy as np
import pytest

from jraphx_eqx.parity import Blocks, Record, compare, jitter, tolerance
from jraphx_eqx.parity._tolerance import SAFETY

REF = np.array([[1.0, -2.0], [1e-3, 2e-3], [0.0, 0.0]])
IDS = np.array([0, 1, 2])
ULP = 2.0**-52


def judge(ours, ref=REF, lane="f64", **options):
    record = Record("operator", "", "case", lane, "out.x", options.pop("kind", "value"))
    return compare(record, ours, ref, **{"ids": IDS, **options})


def changed(index, value):
    ours = REF.copy()
    ours[index] = value
    return ours


def test_equal_arrays_pass_with_ratio_0():
    record = judge(REF.copy())
    assert (record.verdict, record.ratio, record.blocks) == ("PASS", 0.0, 3)


def test_an_error_of_four_half_ulps_is_half_of_the_tolerance_without_noise():
    record = judge(changed((0, 1), -2.0 - 4 * ULP))
    assert record.verdict == "PASS"
    assert record.ratio == pytest.approx(0.5)


def test_an_error_of_twelve_half_ulps_is_one_and_a_half_of_it_and_fails():
    record = judge(changed((0, 1), -2.0 - 12 * ULP))
    assert record.verdict == "FAIL"
    assert record.ratio == pytest.approx(1.5)


def test_a_perturbed_value_fails_and_is_located():
    record = judge(changed((1, 0), 1e-3 + 1e-14))
    assert record.verdict == "FAIL"
    assert (record.max_index, record.block) == ([1, 0], 1)
    assert record.ours_at == 1e-3 + 1e-14 and record.ref_at == 1e-3


def test_each_block_has_its_own_scale():
    # The same error is within the rounding of block 0, so without blocks nobody would notice it.
    ours = changed((1, 0), 1e-3 + 4 * ULP)
    assert judge(ours).verdict == "FAIL"
    assert judge(ours, ids=None).verdict == "PASS"


def test_a_block_of_zeros_must_be_zero():
    assert judge(changed((2, 0), 1e-30)).verdict == "FAIL"


def test_the_noise_of_the_reference_widens_the_tolerance_of_its_block_only():
    ours = changed((0, 0), 1 + 1e-13)
    noise = 1e-13 * 2**29
    assert judge(ours).verdict == "FAIL"
    assert judge(ours, tau=np.array([noise, 0, 0])).verdict == "PASS"
    assert judge(ours, tau=np.array([0, noise, 0])).verdict == "FAIL"


def test_noise_far_above_rounding_is_flagged():
    assert judge(REF.copy(), tau=np.array([1.0, 0, 0])).flags == ["IMPRECISE"]


def test_an_error_above_1e_12_of_the_scale_is_flagged_even_within_the_tolerance():
    record = judge(changed((0, 0), 1 + 1e-11), tau=np.array([1e-2, 0, 0]))
    assert record.verdict == "PASS"
    assert "COARSE" in record.flags


@pytest.mark.parametrize("kind", SAFETY)
@pytest.mark.parametrize(("lane", "limit", "scaled"), [("f64", 1e-3, 2.0**29), ("f32", 1e-1, 1)])
def test_a_tolerance_above_its_limit_is_no_pass(lane, limit, scaled, kind):
    """The limit is a part of the tensor's largest number, 2, in whichever block it is exceeded."""
    noise = limit * 2 / SAFETY[kind] * scaled
    ours = REF.astype(np.float64 if lane == "f64" else np.float32)
    for block in range(3):
        below, above = (part * noise * (block == IDS) for part in (0.99, 1.01))
        assert judge(ours, lane=lane, kind=kind, tau=below).verdict == "PASS"
        record = judge(ours, lane=lane, kind=kind, tau=above)
        assert (record.verdict, record.scale) == ("UNJUDGED", 2)
        assert f"which is above {limit:g} of the largest number, 2.0e+00" in record.message
    assert judge(ours + ours.dtype.type(9), lane=lane, kind=kind, tau=above).verdict == "FAIL"


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_a_nan_or_infinity_out_of_place_fails(wrong):
    assert judge(changed((0, 0), wrong)).verdict == "FAIL"
    assert judge(REF.copy(), changed((0, 0), wrong)).verdict == "FAIL"


def test_nans_and_infinities_in_the_same_places_pass():
    special = np.array([[np.nan, np.inf], [-np.inf, 1.0], [0.0, 0.0]])
    assert judge(special.copy(), special).verdict == "PASS"
    assert judge(-special, special).verdict == "FAIL"


def test_the_rest_is_still_compared_where_a_block_has_a_nan():
    special = np.array([[np.nan, 1.0], [1.0, 1.0], [0.0, 0.0]])
    ours = special.copy()
    ours[0, 1] = 1.1
    assert judge(ours, special).verdict == "FAIL"


@pytest.mark.parametrize(
    "ours, part",
    [
        (REF[:2], "shape"),
        (REF.T, "shape"),
        (REF.astype(np.float32), "float32"),
        (np.zeros((3, 2), np.int32), "kind"),
        (None, "None"),
    ],
)
def test_a_wrong_structure_fails(ours, part):
    record = judge(ours)
    assert record.verdict == "FAIL"
    assert part in record.message


def test_a_missing_output_must_be_missing_on_both_sides():
    assert judge(None, None).verdict == "PASS"
    assert judge(REF, None).verdict == "FAIL"


def test_a_64_bit_result_in_the_32_bit_lane_fails():
    assert judge(REF.copy(), lane="f32").verdict == "FAIL"
    assert judge(REF.astype(np.float32), lane="f32").verdict == "PASS"


def test_integers_must_be_equal_whatever_their_width():
    perm = np.array([2, 0, 1])
    assert judge(perm.astype(np.int32), perm).verdict == "PASS"
    record = judge(np.array([0, 2, 1], np.int32), perm)
    assert record.verdict == "FAIL"
    assert (record.max_index, record.ours_at, record.ref_at) == ([0], 0.0, 2.0)


def test_many_small_errors_fail_by_their_rms_though_none_is_large():
    rng = np.random.default_rng(0)
    ref = rng.uniform(1, 2, 1000)
    eps = 2.0**-23
    ours = (ref + 7 * eps).astype(np.float32)
    noise = {"ids": None, "tau": np.array([2 * eps]), "rms": np.array([0.3 * eps])}
    record = judge(ours, ref, "f32", **noise)
    assert record.ratio < 1 < record.rms_ratio
    assert record.verdict == "FAIL"


def test_blocks_reduce_rows_and_broadcast_ids():
    values = np.array([[3.0, 4.0], [1.0, 1.0], [0.0, 2.0]])
    rows = Blocks((3, 2), np.array([0, 0, 2]))
    assert rows.max(values).tolist() == [4, 0, 2]
    assert rows.rms(values) == pytest.approx([np.sqrt(27 / 4), 0, np.sqrt(2)])
    columns = Blocks((3, 2), np.array([[0, 1]]))
    assert columns.max(values).tolist() == [3, 4]


def test_jitter_moves_by_two_ulps_at_most_and_keeps_zeros():
    values = np.array([0.0, 1.0, -3.0] * 100, np.float32)
    moved = jitter(np.random.default_rng(0), values)
    assert np.all(moved[values == 0] == 0)
    assert 0 < np.abs(moved - values).max() <= 3 * 2 * 2.0**-23
    assert np.any(np.abs(moved) > np.abs(values)) and np.any(np.abs(moved) < np.abs(values))
    assert moved.dtype == np.float32


def test_the_tolerance_of_float64_is_that_of_float32_scaled_by_their_precisions():
    scale, tau = np.array([1.0]), np.array([1e-6])
    ratio = tolerance(scale, tau, "f32") / tolerance(scale, tau, "f64")
    assert ratio == pytest.approx(2.0**29)
