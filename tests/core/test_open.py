"""Authors can write these five techniques in less than forty lines each, with public names only."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradtx as gx
from gradtx.core import Decay, LearningRate, Role, Rule, Scope, Slot, abs_sq, as_transformation
from tests.helpers import assert_close, gradients, relaxed


# Muon (Jordan 2024): Newton-Schulz orthogonalises each matrix of a stack of layers. Adam steps the other parameters.
class Orthogonalize(Rule):
    """A rule that approximates U·Vᵀ of g's singular value decomposition by five steps of a quintic iteration."""

    scope = Scope.LEAF

    def update(self, g, slot, at):
        x = g.T if g.shape[0] > g.shape[1] else g
        x = x / (jnp.linalg.norm(x) + 1e-8)
        for _ in range(5):
            a = x @ x.T
            x = 3.4445 * x + (-4.775 * a + 2.0315 * a @ a) @ x
        return x.T if g.shape[0] > g.shape[1] else x, {}


orthogonalize = as_transformation(Orthogonalize)


def muon(learning_rate, matrices=gx.matrices_only):
    direction = gx.chain(gx.trace(0.95, nesterov=True), orthogonalize())
    rest = gx.scale_by_adam()

    def others(path, array):
        return not matrices(path, array)

    return gx.chain(gx.only(matrices, direction), gx.only(others, rest), gx.scale_by_learning_rate(learning_rate))


def test_muon_layer_by_layer_with_adam_for_the_rest():
    rng = np.random.RandomState(0)
    layers = {"w": rng.standard_normal((3, 4, 6)), "b": rng.standard_normal((3, 6))}
    params = {"blocks": layers, "head": rng.standard_normal((6, 2)), "scale": rng.standard_normal(6)}
    params = jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), params)
    tx = gx.stacked("blocks/*", muon(0.1))
    state = tx.init(params)
    momentum, adam = state.stages["trace"]["buffer"], state.stages["scale_by_adam"]["mu"]
    assert [momentum["blocks"]["b"], momentum["scale"], adam["blocks"]["w"], adam["head"]] == [None] * 4
    updates, _ = jax.jit(tx.update)(params, state)
    for i in range(3):  # equal to orthogonalising each layer separately
        layer = {"blocks": jax.tree.map(lambda x, i=i: x[i], layers)} | {k: params[k] for k in ("head", "scale")}
        layer = jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), layer)
        alone, _ = muon(0.1).update(layer, muon(0.1).init(layer))
        assert_close(jax.tree.map(lambda x, i=i: x[i], updates["blocks"]), alone["blocks"], rtol=2e-5, atol=1e-6)
    singular = np.linalg.svd(np.asarray(updates["blocks"]["w"]), compute_uv=False)
    assert (abs(singular / 0.1 - 1) < 0.35).all()
    np.testing.assert_allclose(abs(updates["scale"]), 0.1, rtol=1e-4)
    assert {"scale_by_adam", "orthogonalize"} <= set(str(gx.describe(tx, params)).split())


# Adafactor (Shazeer & Stern 2018, arXiv:1804.04235) stores the second moment of a matrix by rows and by columns.
class ScaleByFactoredRms(Rule):
    """A rule u = g / √v̂, where v̂ = r·cᵀ / mean(r) for matrices, and β₂ = 1 - t^-0.8."""

    decay_rate: float = 0.8
    scope = Scope.LEAF
    slots = {
        "row": Slot(Role.SECOND_MOMENT, like=lambda p: jnp.mean(p.real, -1) if p.ndim > 1 else None),
        "col": Slot(Role.SECOND_MOMENT, like=lambda p: jnp.mean(p.real, -2) if p.ndim > 1 else None),
        "nu": Slot(Role.SECOND_MOMENT, like=lambda p: p.real if p.ndim < 2 else None),
    }

    def prepare(self, at):
        return {"b2": 1 - jnp.asarray(at.count, jnp.float32) ** -self.decay_rate}

    def update(self, g, slot, at):
        b2, square = at.measured["b2"], abs_sq(g) + 1e-30
        if g.ndim < 2:
            nu = b2 * slot.nu + (1 - b2) * square
            return g / jnp.sqrt(nu), {"nu": nu}
        row = b2 * slot.row + (1 - b2) * square.mean(-1)
        col = b2 * slot.col + (1 - b2) * square.mean(-2)
        factor = row / row.mean(-1, keepdims=True)
        u = g * jnp.expand_dims(1 / jnp.sqrt(factor), -1) * jnp.expand_dims(1 / jnp.sqrt(col), -2)
        return u, {"row": row, "col": col}


scale_by_factored_rms = as_transformation(ScaleByFactoredRms)


def test_adafactor_keeps_rows_and_columns():
    grads = [{"w": g["w"], "b": g["deep"][0]} for g in gradients(6)]
    tx, theirs = scale_by_factored_rms(), optax.scale_by_factored_rms(min_dim_size_to_factor=1)
    state, peer = tx.init(grads[0]), theirs.init(grads[0])
    sizes = {slot: jax.tree.map(jnp.size, tree) for slot, tree in state.stages["scale_by_factored_rms"].items()}
    assert sizes == {"row": {"w": 4, "b": None}, "col": {"w": 3, "b": None}, "nu": {"w": None, "b": 5}}
    for g in grads:
        u, state = jax.jit(tx.update)(g, state)
        with relaxed():
            expected, peer = theirs.update(g, peer, g)
        assert_close(u, expected, rtol=1e-5, atol=1e-6)


# L-BFGS (Liu & Nocedal 1989) stores steps and gradient differences. Their inner products are over all arrays.
class ScaleByLbfgs(Rule):
    """A rule with the two-loop recursion on the Gram matrix of the gradient and the last differences s and y."""

    memory: int = 3
    scope, needs = Scope.TREE, frozenset({"param"})
    slots = {
        "s": Slot(Role.HISTORY, like="history"),
        "y": Slot(Role.HISTORY, like="history"),
        "param": Slot(Role.ANCHOR, fill="param"),
        "grad": Slot(Role.PREVIOUS_GRADIENT),
    }

    def history(self, p):
        return jnp.stack([p] * self.memory)

    def pushed(self, slot, g, p, count):
        new = [jnp.where(count > 1, x, jnp.zeros_like(x))[None] for x in (p - slot.param, g - slot.grad)]
        return tuple(jnp.concatenate([old[1:], x]) for old, x in zip((slot.s, slot.y), new, strict=True))

    def measure(self, grads, slots, at):
        gram, m = 0.0, self.memory
        for i, (g, p) in enumerate(zip(grads, at.param, strict=True)):
            slot = type(slots)(**{name: leaves[i] for name, leaves in vars(slots).items()})
            basis = jnp.concatenate([*self.pushed(slot, g, p, at.count), g[None]]).reshape(2 * m + 1, -1)
            gram = gram + basis @ basis.T
        c, alphas = jnp.zeros(2 * m + 1).at[-1].set(1.0), {}
        inverse = [1 / jnp.where(gram[k, m + k] > 0, gram[k, m + k], jnp.inf) for k in range(m)]
        for k in reversed(range(m)):
            alphas[k] = inverse[k] * (gram[k] @ c)
            c = c.at[m + k].add(-alphas[k])
        curvature = gram[m - 1, 2 * m - 1] / jnp.where(at.count > 1, gram[2 * m - 1, 2 * m - 1], 1.0)
        c = c * jnp.where(at.count > 1, curvature, 1.0)
        for k in range(m):
            c = c.at[k].add(alphas[k] - inverse[k] * (gram[m + k] @ c))
        return {"weights": c}

    def update(self, g, slot, at):
        s, y = self.pushed(slot, g, at.param, at.count)
        u = jnp.tensordot(at.measured["weights"], jnp.concatenate([s, y, g[None]]), 1)
        return u, {"s": s, "y": y, "param": at.param, "grad": g}


scale_by_lbfgs = as_transformation(ScaleByLbfgs)


def test_lbfgs_direction_equals_optax():
    def loss(p):
        return jnp.sum(jnp.asarray([1.0, 4.0, 9.0]) * p["a"] ** 2) + jnp.sum((p["b"] - p["a"][0]) ** 2)

    params = {"a": jnp.asarray([1.0, -2.0, 3.0]), "b": jnp.asarray([0.5])}
    tx, theirs = scale_by_lbfgs(), optax.scale_by_lbfgs(3)
    state, peer = tx.init(params), theirs.init(params)
    for _ in range(8):
        grads = jax.grad(loss)(params)
        updates, state = tx.update(grads, state, params)
        with relaxed():
            expected, peer = theirs.update(grads, peer, params)
        if state.step > 1:  # optax scales the first step by the norm of the gradient
            assert_close(updates, expected, rtol=2e-3, atol=2e-5)
        params = jax.tree.map(lambda p, u: p - 0.1 * u, params, updates)


# Schedule-free SGD (Defazio et al. 2024, arXiv:2405.15682): y is the parameters, z is a slot, and x is for evaluation.
class ScheduleFree(Rule):
    """A rule z ← z - η·g(y), x ← (1 - 1/t)·x + 1/t·z, y = (1 - β)·z + β·x."""

    learning_rate: LearningRate
    b1: Decay = 0.9
    slots = {"z": Slot(Role.ANCHOR, fill="param")}
    needs = frozenset({"param"})

    def evaluated(self, param, slot, at):
        return (param - (1 - self.b1) * slot.z) / self.b1

    def update(self, g, slot, at):
        x, c = self.evaluated(at.param, slot, at), 1 / jnp.asarray(at.count, g.dtype)
        z = slot.z - self.learning_rate * g
        x = (1 - c) * x + c * z
        return (1 - self.b1) * z + self.b1 * x - at.param, {"z": z}


schedule_free = as_transformation(ScheduleFree)


def test_schedule_free_equals_optax():
    params = {"w": jnp.asarray([1.0, -2.0]), "n": None}
    with relaxed():
        theirs = optax.contrib.schedule_free(optax.sgd(0.5), 0.5, b1=0.9, weight_lr_power=0.0)
        mine, other, peer = params, params, theirs.init(params)
    tx = schedule_free(0.5)
    state = tx.init(params)
    for _ in range(6):
        grads = jax.tree.map(lambda p: p - 0.5, mine)
        mine, state = gx.apply_gradients(tx, grads, state, mine)
        with relaxed():
            updates, peer = theirs.update(jax.tree.map(lambda p: p - 0.5, other), peer, other)
            other = optax.apply_updates(other, updates)
            expected = optax.contrib.schedule_free_eval_params(peer, other)
        assert_close((mine, gx.evaluation_params(tx, state, mine)), (other, expected), rtol=1e-5)


# A line search halves the rate until Armijo's rule holds. It calls the user's function with the user's arguments.
class Backtrack(Rule):
    """A rule u = -η·g with the largest η = η₀·2^-k for which f(θ + u) ≤ f(θ) - c·η·‖g‖²."""

    learning_rate: LearningRate = 1.0
    scope = Scope.TREE
    slots = {"rate": Slot(Role.SCALAR, fill="learning_rate")}
    needs = frozenset({"param", "value", "value_fn"})

    def measure(self, grads, slots, at):
        square = sum(jnp.sum(abs_sq(g)) for g in grads)

        def too_high(rate):
            moved = [p - rate * g for p, g in zip(at.param, grads, strict=True)]
            return at.value_fn(moved) > at.value - 1e-4 * rate * square

        return {"rate": jax.lax.while_loop(too_high, lambda rate: rate / 2, 2 * at.scalars["rate"])}

    def update(self, g, slot, at):
        return -at.measured["rate"] * g, {}


backtrack = as_transformation(Backtrack)


@pytest.mark.parametrize("jit", [False, True])
def test_line_search_on_a_dictionary_of_parameters(jit):
    def loss(params, scale):
        return scale * jnp.sum(params["layer"]["w"] ** 2) + 25.0 * jnp.sum((params["b"] - 1) ** 2)

    params = {"layer": {"w": jnp.ones((2, 2)), "n": jnp.asarray(3)}, "b": jnp.zeros(3)}
    tx = gx.only(lambda path, array: True, backtrack())

    def step(params, state):
        value, grads = jax.value_and_grad(loss, allow_int=True)(params, 4.0)
        extra = {"value": value, "value_fn": loss, "scale": 4.0}
        return *gx.apply_gradients(tx, grads, state, params, **extra), value

    step = jax.jit(step) if jit else step
    state, values = tx.init(params), []
    for _ in range(25):
        params, state, value = step(params, state)
        values.append(float(value))
    assert values == sorted(values, reverse=True)
    assert values[-1] < 1e-4 * values[0]
    assert params["layer"]["n"] == 3
