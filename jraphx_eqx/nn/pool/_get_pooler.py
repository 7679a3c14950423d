import inspect
from typing import Any

from ._asap import ASAPooling
from ._bnpool import BNPool
from ._cheeger import AsymCheegerCutPooling
from ._contraction import EdgeContractionPooling
from ._dense import AbstractMembershipPool
from ._diff import DiffPooling
from ._dmon import DMoNPooling
from ._edge import EdgePooling
from ._eigen import EigenPooling
from ._graclus import GraclusPooling
from ._hosc import HOSCPooling
from ._joined import ClusterPooling
from ._just_balance import JustBalancePooling
from ._kmis import KMISPooling
from ._lapool import LaPooling
from ._maxcut import MaxCutPooling
from ._mem import MemPooling
from ._mincut import MinCutPooling
from ._ndp import NDPPooling
from ._nmf import NMFPooling
from ._nopool import NoPool
from ._pan import PANPooling
from ._pool import AbstractPool
from ._sag import SAGPooling
from ._sep import SEPPooling
from ._topk import TopKPooling

_POOLERS: dict[str, type[AbstractPool]] = {
    "acc": AsymCheegerCutPooling,
    "asap": ASAPooling,
    "bnpool": BNPool,
    "cluster": ClusterPooling,
    "diff": DiffPooling,
    "dmon": DMoNPooling,
    "ec": EdgeContractionPooling,
    "edge": EdgePooling,
    "eigen": EigenPooling,
    "graclus": GraclusPooling,
    "hosc": HOSCPooling,
    "jb": JustBalancePooling,
    "kmis": KMISPooling,
    "lap": LaPooling,
    "maxcut": MaxCutPooling,
    "mem": MemPooling,
    "mincut": MinCutPooling,
    "ndp": NDPPooling,
    "nmf": NMFPooling,
    "nopool": NoPool,
    "pan": PANPooling,
    "sag": SAGPooling,
    "sep": SEPPooling,
    "topk": TopKPooling,
}


def get_pooler(name: str, **options: Any) -> AbstractPool:
    """A pooling by a short name, for experiments that compare several.

    The names are torch-geometric-pool's, and the options those of the class here. An option that
    the class does not have is an error; there it is dropped. The page *Coming from PyG* has a table
    of them.

    **Arguments:**

    - `name`: of torch-geometric-pool, or `"cluster"`, `"edge"` or `"mem"` for what PyG has besides.
        Those of poolings by memberships may end in `_u`, which there asks for the edge list instead
        of dense batches.
    - `options`: the arguments of the class, by their names.

    **Raises:** `ValueError` for an unknown name, an unknown option, or one that is missing.
    """
    if name.endswith("_u") and issubclass(_POOLERS.get(name[:-2], NoPool), AbstractMembershipPool):
        name = name[:-2]
    if name not in _POOLERS:
        names = ", ".join(map(repr, _POOLERS))
        raise ValueError(f"name must be one of {names}, got {name!r}")
    made = _POOLERS[name]
    known = inspect.signature(made).parameters
    if unknown := [option for option in options if option not in known]:
        raise ValueError(
            f"{made.__name__} has no option {', '.join(map(repr, unknown))}; it has "
            f"{', '.join(known) or 'none'}"
        )
    needed = [option for option, value in known.items() if value.default is value.empty]
    if missing := [option for option in needed if option not in options]:
        raise ValueError(f"{made.__name__} needs {', '.join(missing)} as well")
    return made(**options)
