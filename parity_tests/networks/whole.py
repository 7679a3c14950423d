"""Whole networks of PyG beside their ports, and the graphs that they are compared on."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from jraphx_eqx.fit import Network

from . import whole_ours as ours
from . import whole_theirs as theirs
from .whole_theirs import IN

GRAPHS = 5


@dataclass(frozen=True)
class Pair:
    """A network of PyG and its port: `ours(steps, **options)`."""

    theirs: Callable[[], Any]
    ours: Callable[..., Any]
    as_data: bool = False

    def their_network(self) -> Any:
        """PyG's network with random parameters. Running statistics stay as they are made: 0 and 1,
        where to ignore them changes nothing."""
        torch.manual_seed(0)
        network = self.theirs().eval()
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.copy_(0.6 * torch.randn_like(parameter))
        return network

    def our_network(self, steps: Mapping[str, Any], options: Mapping[str, Any]) -> Any:
        """Our network, with other steps and other options where these are not empty."""
        return self.ours(ours.Steps(**steps), **options)

    def network(self, features: str) -> Network:
        """The arguments of both."""
        names = ("x", "edge_index", "batch")
        return Network(graphs(features), names, num_graphs=GRAPHS, as_data=self.as_data)


PAIRS = {
    "pools": Pair(theirs.TheirPools, ours.OurPools),
    "isomorphism": Pair(theirs.TheirIsomorphism, ours.OurIsomorphism),
    "unet": Pair(theirs.TheirUNet, ours.OurUNet),
    "attention": Pair(theirs.TheirAttention, ours.OurAttention),
    "jumps": Pair(theirs.TheirJumps, ours.OurJumps, as_data=True),
    "residuals": Pair(theirs.TheirResiduals, ours.OurResiduals),
}
FEATURES = ("one-hot", "constant", "continuous")


def graphs(features: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The same five directed graphs with other features."""
    rng = np.random.default_rng(4)
    sizes = np.asarray([7, 9, 6, 8, 7])
    nodes, batch = int(sizes.sum()), np.repeat(np.arange(GRAPHS), sizes)
    first = np.repeat(np.cumsum(sizes) - sizes, sizes)
    degrees = rng.integers(0, 4, nodes)
    source = np.repeat(np.arange(nodes), degrees)
    target = first[source] + rng.integers(0, sizes[batch[source]])
    edges = np.unique(np.stack([source, target])[:, source != target], axis=1)
    x = {
        "one-hot": np.eye(IN)[rng.integers(0, IN, nodes)],
        "constant": np.ones((nodes, IN)),
        "continuous": rng.normal(size=(nodes, IN)),
    }
    return x[features].astype(np.float32), edges, batch


# For the command line, which calls what it is told without arguments.
their_pools, their_jumps = PAIRS["pools"].their_network, PAIRS["jumps"].their_network


def our_pools():
    return PAIRS["pools"].our_network({}, {})


def our_jumps():
    return PAIRS["jumps"].our_network({}, {})


def one_hot():
    return graphs("one-hot")
