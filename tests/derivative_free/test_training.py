"""A perceptron, a classifier of digits, and a policy that balances a pole are trained without derivatives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.datasets import load_digits

import gradtx as gx
from gradtx.derivative_free import ars, finite_differences, spsa


def trained(estimator, tx, value_fn, params, steps):
    def step(carry, _):
        params, state = carry
        value, grads = estimator.estimate(value_fn, params, state.step)
        return gx.apply_gradients(tx, grads, state, params), value

    (params, _), values = jax.jit(lambda p: jax.lax.scan(step, (p, tx.init(p)), length=steps))(params)
    return params, values


@pytest.mark.parametrize("make", [finite_differences, spsa, ars])
def test_a_perceptron(make):
    """The loss is the mean of -y·log σ(z) - (1 - y)·log(1 - σ(z)), where z = w·x + b."""
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.standard_normal((200, 2)), jnp.float32)
    y = (x[:, 0] + 2 * x[:, 1] > 0.5).astype(jnp.float32)

    def loss(params):
        z = x @ params["w"] + params["b"]
        return jnp.mean(jnp.logaddexp(0.0, z) - y * z)

    start = {"w": jnp.zeros(2), "b": jnp.zeros(())}
    params, values = trained(make(8, 0.05, key=0), gx.adam(0.1), loss, start, 300)
    assert values[-1] < 0.2 * values[0]
    assert jnp.mean((x @ params["w"] + params["b"] > 0) == (y > 0.5)) > 0.97


def test_a_linear_classifier_of_digits():
    data = load_digits()
    x, y = jnp.asarray(data.data / 16, jnp.float32), jnp.asarray(data.target)

    def loss(params):
        logits = jax.nn.log_softmax(x @ params["w"] + params["b"][None])
        return -jnp.mean(jnp.take_along_axis(logits, y[:, None], 1))

    start = {"w": jnp.zeros((64, 10)), "b": jnp.zeros(10)}
    params, _ = trained(spsa(16, 0.02, key=0), gx.adam(0.02), loss, start, 600)
    assert jnp.mean(jnp.argmax(x @ params["w"] + params["b"][None], 1) == y) > 0.9


def moved(state, action):
    """Move the cart and its pole by 0.02 s with Euler's method (Barto, Sutton & Anderson 1983)."""
    x, dx, angle, turn = state
    force = jnp.where(action > 0, 10.0, -10.0)
    sin, cos = jnp.sin(angle), jnp.cos(angle)
    pull = (force + 0.05 * turn**2 * sin) / 1.1
    turning = (9.8 * sin - cos * pull) / (0.5 * (4 / 3 - 0.1 * cos**2 / 1.1))
    return jnp.array([x + 0.02 * dx, dx + 0.02 * (pull - 0.05 * turning * cos / 1.1), angle + 0.02 * turn,
                      turn + 0.02 * turning])  # fmt: skip


def returned(policy, scaler, key, tx):
    """Return the number of steps, out of 500, until the pole falls, and the visited states."""

    def step(carry, _):
        state, up = carry
        seen, _ = tx.update(state[None], scaler, train=False)
        after = moved(state, seen[0] @ policy)
        still = up & (jnp.abs(after[0]) < 2.4) & (jnp.abs(after[2]) < 12 * jnp.pi / 180)
        return (after, still), (state, up)

    start = jax.random.uniform(key, (4,), minval=-0.05, maxval=0.05)
    _, (states, up) = jax.lax.scan(step, (start, jnp.asarray(True)), length=500)
    return jnp.sum(up, dtype=jnp.float32), (states, up)


@pytest.mark.parametrize("seed", range(3))
def test_a_pole_stands_on_its_cart(seed):
    """The method is version V2-t of ARS, which should reach the greatest return in this task, 500."""
    scale, search, tx = gx.inputs.standardize(), ars(8, 0.5, key=seed, maximize=True, top=4), gx.sgd(0.5)
    states = jax.random.normal(jax.random.key(seed), (16, 4))

    def step(carry, number):
        policy, state, scaler = carry
        key = jax.random.fold_in(jax.random.key(100 + seed), number)
        found, grads = search.estimate(returned, policy, state.step, scaler, key, scale, has_aux=True)
        value, (met, up) = found
        policy, state = gx.apply_gradients(tx, grads, state, policy)
        _, scaler = scale.update(met.reshape(-1, 4), scaler, mask=up.reshape(-1))
        return (policy, state, scaler), value

    policy = jnp.zeros(4)
    carry = policy, tx.init(policy), scale.update(states, scale.init(states))[1]
    (policy, _, scaler), _ = jax.jit(lambda c: jax.lax.scan(step, c, jnp.arange(40)))(carry)
    tests = jax.random.split(jax.random.key(1000 + seed), 20)
    returns = jax.vmap(lambda key: returned(policy, scaler, key, scale)[0])(tests)
    assert jnp.mean(returns) > 475
