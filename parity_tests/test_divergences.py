"""Every declared divergence still diverges, by exactly the values that are written down."""

import numpy as np
import pytest

from .catalogue import DIVERGENCES, SPECS


@pytest.mark.parametrize("entry", DIVERGENCES, ids=lambda entry: entry.id)
def test_a_declared_divergence_has_not_changed(entry):
    pyg, ours = entry.probe()
    for found, expected in ((pyg, entry.pyg), (ours, entry.ours)):
        if isinstance(expected, list) and isinstance(expected[0], float):
            np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-7)
        else:
            assert found == expected
    assert pyg != ours


@pytest.mark.parametrize("entry", DIVERGENCES, ids=lambda entry: entry.id)
def test_a_divergence_says_what_why_and_where(entry):
    assert set(entry.operators) <= set(SPECS)
    assert entry.condition and entry.reason and entry.link.startswith("https://")


def test_ids_are_unique():
    assert len({entry.id for entry in DIVERGENCES}) == len(DIVERGENCES)
