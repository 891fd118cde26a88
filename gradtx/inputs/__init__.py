"""Transformations of the data: feature scaling, batch normalisation and mini-batches.

A transformation of inputs has the interface of a gradient transformation. `init` makes a state, and `update` gives the
transformed inputs and the next state:

    state = tx.init(x)                              # x has shape (examples, …features), or is a tree of such arrays
    y, state = tx.update(x, state)                  # training: learn from x, then transform x
    y, _ = tx.update(x, state, train=False)         # inference: transform x, and leave the state unchanged

Everything that works for gradient transformations works here too: `gx.chain`, `jax.jit`, sharding, and saving the
state. The pieces fit together in this order.

Scalers are fitted, then applied. `standardize`, `min_max`, `max_abs` and `robust` learn the statistics of each feature.
`fit` learns from all training batches and returns the state. `update(..., train=False)` applies the state to training
and test data alike, and `inverse` undoes it.

>>> import gradtx as gx, jax, jax.numpy as jnp
>>> x = jnp.array([[1.0, 100.0], [2.0, 300.0], [3.0, 500.0], [4.0, 700.0]])
>>> y = jnp.array([1.0, 3.0, 5.0, 7.0])
>>> scaler = gx.inputs.standardize()
>>> fitted = gx.inputs.fit(scaler, [x[:2], x[2:]])
>>> scaled, _ = scaler.update(x, fitted, train=False)

`minibatches` shuffles the scaled data and divides them. `scan` runs a training step on each mini-batch, and
`batch.mean` averages a loss over the examples without the padding of the last mini-batch.

Batch normalisation is a layer of a network. `parameters` makes its scale and bias, which are trained with the other
parameters. Its state holds running statistics and goes through the training step beside the optimizer's state:

>>> norm, adam, hidden = gx.inputs.batch_norm(momentum=0.9), gx.adam(0.05), jnp.zeros((1, 8))
>>> params = {"in": jax.random.normal(jax.random.key(0), (2, 8)), "norm": gx.inputs.parameters(norm, hidden)}
>>> params |= {"out": jnp.zeros(8)}
>>> def network(params, state, x, **extra):
...     h, state = norm.update(x @ params["in"], state, params["norm"], **extra)
...     return jax.nn.relu(h) @ params["out"], state
>>> def step(carry, batch):
...     params, state, slots = carry
...     def loss(params):
...         out, after = network(params, state, batch.data["x"], mask=batch.mask)
...         return batch.mean((out - batch.data["y"]) ** 2), after
...     (value, state), grads = jax.value_and_grad(loss, has_aux=True)(params)
...     params, slots = gx.apply_gradients(adam, grads, slots, params)
...     return (params, state, slots), value
>>> batches = gx.inputs.minibatches({"x": scaled, "y": y}, batch_size=3, key=0)
>>> train = jax.jit(lambda batches, carry, place: batches.scan(step, carry, place, 300))
>>> (params, state, _), losses, place = train(batches, (params, norm.init(hidden), adam.init(params)), batches.init())
>>> bool(losses[-1] < 0.1 * losses[0])
True

After training, `refresh` computes the running statistics again, which averaged weights need. `fold_into` replaces a
layer and its batch normalisation by one layer:

>>> kernel, bias = gx.inputs.fold_into(norm, state, params["norm"], params["in"])
>>> folded = jax.nn.relu(scaled @ kernel + bias[None]) @ params["out"]
>>> bool(jnp.allclose(folded, network(params, state, scaled, train=False)[0], atol=1e-4))
True

`InputRule` is the base class for new transformations of inputs.
"""

from gradtx.inputs._after_training import fold_into as fold_into
from gradtx.inputs._after_training import refresh as refresh
from gradtx.inputs._batch import Batch as Batch
from gradtx.inputs._batch_norm import batch_norm as batch_norm
from gradtx.inputs._batch_renorm import batch_renorm as batch_renorm
from gradtx.inputs._fit import fit as fit
from gradtx.inputs._fit import inverse as inverse
from gradtx.inputs._fit import parameters as parameters
from gradtx.inputs._minibatches import minibatches as minibatches
from gradtx.inputs._order import MiniBatchState as MiniBatchState
from gradtx.inputs._ranges import max_abs as max_abs
from gradtx.inputs._ranges import min_max as min_max
from gradtx.inputs._robust import robust as robust
from gradtx.inputs._rule import InputAt as InputAt
from gradtx.inputs._rule import InputRule as InputRule
from gradtx.inputs._standardize import standardize as standardize
