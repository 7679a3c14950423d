"""Compares an Equinox module with its PyTorch original: decisions, values, structure, gradients.

It needs jax, equinox and numpy; PyTorch only where the original is run. It knows nothing of the
layers of this package.
"""

from .._decide import decide as decide
from .._decide import deciding as deciding
from . import graphs as graphs
from ._bisect import Bisection as Bisection
from ._bisect import bisect as bisect
from ._case import Case as Case
from ._compare import compare as compare
from ._decisions import Matching as Matching
from ._decisions import Threshold as Threshold
from ._decisions import TopK as TopK
from ._fault import Edit as Edit
from ._fault import Fault as Fault
from ._lanes import LANES as LANES
from ._lanes import Lane as Lane
from ._layers import bisect_layers as bisect_layers
from ._layers import call_layer as call_layer
from ._layers import compare_layers as compare_layers
from ._layers import layer_calls as layer_calls
from ._mutate import UnreachedFault as UnreachedFault
from ._mutate import mutate as mutate
from ._pair import assert_parity as assert_parity
from ._pair import pair as pair
from ._profile import merge_profiles as merge_profiles
from ._record import ULP_EDGES as ULP_EDGES
from ._record import Kill as Kill
from ._record import Profile as Profile
from ._record import Record as Record
from ._record import Result as Result
from ._record import describe as describe
from ._references import BadReferences as BadReferences
from ._references import References as References
from ._references import check as check
from ._references import record as record
from ._references import trusted as trusted
from ._run import lanes_of as lanes_of
from ._run import pairs as pairs
from ._run import run as run
from ._run import vacuity as vacuity
from ._runner import Runner as Runner
from ._session import Live as Live
from ._spec import Config as Config
from ._spec import Decision as Decision
from ._spec import Divergence as Divergence
from ._spec import Rows as Rows
from ._spec import Spec as Spec
from ._spec import Stage as Stage
from ._suite import Suite as Suite
from ._tensor import Tensor as Tensor
from ._tolerance import Blocks as Blocks
from ._tolerance import jitter as jitter
from ._tolerance import tolerance as tolerance
from ._torch import stable_sort as stable_sort
from ._torch import watch_choices as watch_choices
from ._weights import WeightMismatch as WeightMismatch
from ._weights import leaf_name as leaf_name
from ._weights import match as match
