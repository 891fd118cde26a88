"""Rules may assign parameters to groups and use different values for each group."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx as gx
from gradtx.core import Real, Rule, as_transformation

PARAMS = {"a": jnp.ones((2, 2)), "b": jnp.ones(2), "c": jnp.ones(2), "none": None, "count": jnp.asarray(3)}
GRADS = {"a": jnp.ones((2, 2)), "b": jnp.ones(2), "c": jnp.ones(2), "none": None, "count": None}


class ScaleByRank(Rule):
    """A rule u = (s·ndim + offset)·g. s·ndim is an array argument of the function, and the offset is a constant."""

    scale: Real
    offset: Real = 0.0

    needs = frozenset({"param"})

    def groups(self, params: Any, where: str) -> Any:
        return {i: len(array.shape) for i, (_, array) in params.trained().items()}

    def for_group(self, group: Any) -> Any:
        return self.replace({"scale": jnp.asarray(self.scale * group), "offset": self.offset})

    def update(self, g: Any, slot: Any, at: Any) -> Any:
        return (self.scale + self.offset) * g, {}


scale_by_rank = as_transformation(ScaleByRank)


@pytest.mark.parametrize("scale", [3.0, gx.tunable(3.0), gx.schedules.constant(3.0), jnp.asarray(3.0)])
@pytest.mark.parametrize("jit", [False, True])
def test_each_group_has_its_rule(scale, jit):
    tx = gx.chain(
        scale_by_rank(scale, 1.0), gx.add_decayed_weights(10.0, mask="b"), gx.named("again", scale_by_rank(1.0))
    )
    updates, _ = (jax.jit(tx.update) if jit else tx.update)(GRADS, tx.init(PARAMS), PARAMS)
    assert [float(updates[name].ravel()[0]) for name in "abc"] == [14.0, 14.0, 4.0]
    assert updates["none"] is updates["count"] is None


def test_values_of_the_step_reach_the_groups():
    tx = scale_by_rank(gx.tunable(1.0))
    state = gx.set_hyperparams(tx, tx.init(PARAMS), scale=5.0)
    assert tx.update(GRADS, state, PARAMS)[0]["a"][0, 0] == 10
    _, state = tx.update(GRADS, state, PARAMS)
    ramp = scale_by_rank(gx.schedules.linear(0.0, 4.0, 4))
    assert ramp.update(GRADS, state, PARAMS)[0]["a"][0, 0] == 2


def test_vmap_over_what_a_group_scales():
    def step(scale):
        tx = scale_by_rank(scale)
        return tx.update(GRADS, tx.init(PARAMS), PARAMS)[0]["a"][0, 0]

    np.testing.assert_array_equal(jax.vmap(step)(jnp.arange(4.0)), 2 * np.arange(4.0))


def test_a_rule_with_groups_needs_the_parameters():
    with pytest.raises(TypeError, match=r"Bad: a rule with groups needs the parameters"):

        class Bad(Rule):
            def groups(self, params: Any, where: str) -> Any:
                return {}
