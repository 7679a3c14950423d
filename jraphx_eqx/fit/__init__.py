"""Networks of this package's layers beside their originals in PyTorch Geometric."""

from ._network import Network as Network
from ._verify import Verdict as Verdict
from ._verify import verify as verify
