"""Mistakes in the comparer itself: its own tests must fail with each of them."""

import pathlib

import pytest

from jraphx_eqx.parity import Edit

HERE = pathlib.Path(__file__).parent
COMPARE, TOLERANCE, DECISIONS = (
    (f"jraphx_eqx.parity._{name}:") for name in ("compare", "tolerance", "decisions")
)
FAULTS = [
    (COMPARE + "_floats", "record.ratio > 1:", "record.ratio > 2:", "compare"),
    (COMPARE + "_floats", "record.rms_ratio > 1:", "False:", "compare"),
    (COMPARE + "_floats", "if not special or not", "if False and not", "compare"),
    (COMPARE + "_floats", "Blocks(ref.shape, ids)", "Blocks(ref.shape, None)", "compare"),
    (COMPARE + "_floats", "ratios.argmax()", "ratios.argmin()", "compare"),
    (COMPARE + "_structure", "ours.shape != ref.shape", "False", "compare"),
    (COMPARE + "_structure", "kinds[0] != kinds[1]", "False", "compare"),
    (COMPARE + "_structure", "ours.dtype != expected", "False", "compare"),
    (COMPARE + "_structure", "if ours is ref else", "if True else", "compare"),
    (COMPARE + "_exact", "np.array_equal(ours, ref)", "True", "compare"),
    (COMPARE + "_rms_ratio", "blocks.rms(error)", "0 * blocks.rms(error)", "compare"),
    (
        COMPARE + "_refuse_coarse",
        "lane.coarsest * largest:",
        "1.1 * lane.coarsest * largest:",
        "compare",
    ),
    (COMPARE + "_flags", "np.any(errors > COARSE_ERROR * scale)", "False", "compare"),
    (TOLERANCE + "_rounding", "0.5 * eps * scale", "50 * eps * scale", "compare"),
    (TOLERANCE + "_rounding", "(eps / EPS_32)", "1", "compare"),
    (TOLERANCE + "jitter", "reach + 1", "1", "compare"),
    (TOLERANCE + "Blocks.max", "np.maximum.at", "np.minimum.at", "compare"),
    (DECISIONS + "TopK._gap", "max(cut, order)", "cut", "decisions"),
    (DECISIONS + "TopK._gap", "max(cut, order)", "order", "decisions"),
    (DECISIONS + "Threshold._gap", "np.diff(ours) <= 0", "False", "decisions"),
    (DECISIONS + "verdict_of", "gap <= LIMIT", "True", "decisions"),
    (DECISIONS + "rank", "~np.isnan(scores), groups", "np.isnan(scores), groups", "decisions"),
]


@pytest.mark.parametrize("place, old, new, tests", FAULTS)
def test_a_comparer_with_a_mistake_fails_its_tests(place, old, new, tests):
    with Edit(place, old, new)():
        code = pytest.main([str(HERE / f"test_{tests}.py"), "-qx", "-p", "no:cacheprovider"])
    assert code == pytest.ExitCode.TESTS_FAILED


def test_a_comparer_without_one_passes_them():
    files = [str(HERE / f"test_{tests}.py") for tests in ("compare", "decisions")]
    assert pytest.main([*files, "-q", "-p", "no:cacheprovider"]) == pytest.ExitCode.OK
