"""Trains every network in PyG and writes its weights: `python -m parity_tests.networks.train`.

The accuracies it prints are recorded in `checkpoints/accuracies.json`.
"""

import json
import os
import sys
from typing import Any

import numpy as np
import torch

from jraphx_eqx.data import Batch
from jraphx_eqx.interop import write_state_dict

from .catalogue import FOLDER, NETWORKS, TU, Network, batches, graphs

EPOCHS = {"digits": 60, "ENZYMES": 60}


def tensors(batch: Batch) -> tuple[Any, Any, Any, Any]:
    """Features, edges, graph of each node, label of each graph."""
    x = torch.tensor(np.asarray(batch.x))
    edge_index = torch.tensor(np.asarray(batch.edge_index)).long()
    index, labels = np.asarray(batch.batch.index), np.asarray(batch.y)
    return x, edge_index, torch.tensor(index).long(), torch.tensor(labels).long()


def train(network: Network) -> tuple[Any, float]:
    """The trained module, and its accuracy on the graphs it has not seen."""
    torch.manual_seed(0)
    module = network.theirs()
    seen, unseen = graphs(network.data)
    given = [tensors(batch) for batch in batches(seen, 64)]
    optimizer = torch.optim.Adam(module.parameters(), lr=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, 0.02, epochs=EPOCHS[network.data], steps_per_epoch=len(given)
    )
    for epoch in range(EPOCHS[network.data]):
        for place in np.random.default_rng(epoch).permutation(len(given)):
            x, edge_index, batch, y = given[place]
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(module(x, edge_index, batch), y).backward()
            optimizer.step()
            schedule.step()
    return module, accuracy(module.eval(), unseen)


def accuracy(module: Any, found: list) -> float:
    """The fraction of graphs whose largest logit is at their label."""
    [batch] = batches(found, len(found))
    x, edge_index, index, y = tensors(batch)
    with torch.no_grad():
        return float((module(x, edge_index, index).argmax(dim=1) == y).double().mean())


def main() -> None:
    torch.set_num_threads(1)
    FOLDER.mkdir(exist_ok=True)
    path = FOLDER / "accuracies.json"
    found = json.loads(path.read_text()) if path.exists() else {}
    for network in NETWORKS:
        if sys.argv[1:] and network.name not in sys.argv[1:]:
            continue
        if network.data != "digits" and TU not in os.environ:
            print(f"{network.name}: skipped, {TU} is not set")
            continue
        module, found[network.name] = train(network)
        write_state_dict(module.state_dict(), network.checkpoint)
        print(f"{network.name}: accuracy {found[network.name]:.4f}", flush=True)
        path.write_text(json.dumps(found, indent=2, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
