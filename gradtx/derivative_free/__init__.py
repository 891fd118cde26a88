"""Estimators: gradients from values only, for functions without a derivative, or with one that is too noisy.

`estimator.estimate(value_fn, params, step)` replaces `jax.value_and_grad(value_fn)(params)`. It returns the value and a
gradient, and any transformation takes this gradient. An estimator has no state: the step and the key of the estimator
determine the random directions, and `state.step` of the transformation is the step.

>>> import jax.numpy as jnp
>>> import gradtx as gx
>>> estimator, tx = gx.derivative_free.spsa(4, 0.1, key=0, maximize=True), gx.adam(0.1)
>>> def accuracy(params, x):  # it has no useful derivative
...     return jnp.mean(jnp.sign(x @ params), dtype=jnp.float32)
>>> params, x = jnp.array([-0.3, 0.1]), jnp.array([[1.0, 2.0], [2.0, 1.0]])
>>> state = tx.init(params)
>>> value, grads = estimator.estimate(accuracy, params, state.step, x)
>>> params, state = gx.apply_gradients(tx, grads, state, params)

Arguments of value_fn after the parameters follow the step. With `has_aux=True` value_fn returns (value, aux), as for
`jax.value_and_grad`. With `sharding` the directions are distributed over devices. `estimate` works under `jax.jit`,
`jax.vmap` and `jax.lax.scan`.

The distance `stddev` along the directions may be a schedule of `gx.schedules`. The estimators differ in the directions
and their weights:

- `finite_differences` has normal directions with equal weights: the gradient of the smoothed function, on average.
- `spsa` has directions of 1 and -1, and works with a single direction.
- `ars` uses the best directions, and divides by the standard deviation of their values.
"""

from gradtx.derivative_free._ars import ars as ars
from gradtx.derivative_free._finite_differences import finite_differences as finite_differences
from gradtx.derivative_free._spsa import spsa as spsa
