"""A small PointNet++: which points of a cloud are on a ball, and which on the stick below it."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, PRNGKeyArray

from jraphx_eqx.data import BatchVector
from jraphx_eqx.nn.conv import PointNetConv
from jraphx_eqx.nn.models import MLP
from jraphx_eqx.nn.pool import fps, knn_interpolate, radius
from jraphx_eqx.ops import gather

CLOUDS, POINTS = 8, 32


class PartsOfClouds(eqx.Module):
    conv: PointNetConv
    head: MLP

    def __init__(self, hidden: int = 16, *, key: PRNGKeyArray):
        conv_key, head_key = jax.random.split(key)
        local = MLP([3, hidden, hidden], norm=None, key=conv_key)
        self.conv = PointNetConv(local, add_self_loops=False)
        self.head = MLP([hidden + 3, hidden, 1], norm=None, key=head_key)

    def __call__(
        self, pos: Float[Array, "points 3"], batch: BatchVector
    ) -> Float[Array, " points"]:
        # A quarter of the points, far from each other, look at those around them ...
        kept = fps(pos, batch, ratio=0.25)
        centres = gather(pos, kept)
        graph = gather(batch.index, kept, fill_value=batch.num_graphs)
        centre_batch = BatchVector(graph, batch.num_graphs)
        centre, point = radius(pos, centres, 0.6, batch, centre_batch, max_num_neighbors=16)
        mask = centre_batch.node_mask
        x = self.conv(None, (pos, centres), jnp.stack([point, centre]), node_mask=mask)
        # ... and all points get what the nearest of them have seen.
        x = knn_interpolate(x, centres, pos, centre_batch, batch, k=3)
        return self.head(jnp.concatenate([x, pos], axis=1), batch)[:, 0]


def lollipop(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Positions, and whether they are on the ball. It stands anywhere, and may be tilted."""
    half = POINTS // 2
    ball = rng.normal(size=(half, 3))
    ball = 0.5 * ball / np.linalg.norm(ball, axis=1, keepdims=True) + [0, 0, 0.5]
    stick = np.stack([np.zeros(half), np.zeros(half), -rng.uniform(0, 1.5, half)], axis=1)
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)) * 0.3 + np.eye(3))
    return np.concatenate([ball, stick]) @ turn + rng.normal(size=3), np.arange(POINTS) < half


def clouds(seed: int) -> tuple[Array, BatchVector, Array]:
    """A batch of clouds with room for three points more, which are NaN."""
    rng = np.random.default_rng(seed)
    pos, on_ball = zip(*(lollipop(rng) for _ in range(CLOUDS)), strict=True)
    pos = np.pad(np.concatenate(pos), ((0, 3), (0, 0)), constant_values=np.nan)
    index = np.pad(np.repeat(np.arange(CLOUDS), POINTS), (0, 3), constant_values=CLOUDS)
    batch = BatchVector(jnp.asarray(index, jnp.int32), CLOUDS, POINTS)
    return (
        jnp.asarray(pos, jnp.float32),
        batch,
        jnp.asarray(np.pad(np.concatenate(on_ball), (0, 3))),
    )


@eqx.filter_jit
def step(model, state, pos, batch, on_ball):
    def loss(model):
        losses = optax.sigmoid_binary_cross_entropy(model(pos, batch), on_ball.astype(pos.dtype))
        return jnp.sum(jnp.where(batch.node_mask, losses, 0)) / (CLOUDS * POINTS)

    gradient = eqx.filter_grad(loss)(model)
    updates, state = OPTIMISER.update(gradient, state)
    return eqx.apply_updates(model, updates), state


OPTIMISER = optax.adam(2e-2)


def main():
    model = PartsOfClouds(key=jax.random.key(0))
    state = OPTIMISER.init(eqx.filter(model, eqx.is_inexact_array))
    for seed in range(60):
        model, state = step(model, state, *clouds(seed))
    pos, batch, on_ball = clouds(1000)
    logits = eqx.filter_jit(lambda model, *given: model(*given))(model, pos, batch)
    right = (logits > 0) == on_ball
    share = jnp.sum(right & batch.node_mask) / (CLOUDS * POINTS)
    print("points of new clouds:", CLOUDS * POINTS)
    print("four of five are told apart:", bool(share > 0.8))


if __name__ == "__main__":
    main()
