"""Schedules: the values of a hyperparameter over a training run.

A schedule is a function from the step, which counts from 0, to a value. It goes wherever a hyperparameter goes, and
every hyperparameter of a transformation takes one. The transformation counts the steps and calls the schedule.

>>> import jax.numpy as jnp
>>> import gradtx as gx
>>> from gradtx import schedules
>>> rate = schedules.warmup_cosine(0.0, 0.1, 10, 100)
>>> tx = gx.sgd(rate, momentum=schedules.linear(0.5, 0.9, 100))
>>> tx
chain(trace(linear(0.5, 0.9, 100)), scale_by_learning_rate(warmup_cosine(0.0, 0.1, 10, 100)))

Any function of the step is a schedule too: one of optax, or one of the user. The step is then a traced int32 scalar. A
schedule of this package is data besides: it prints as the code that makes it, compares by its arguments, and can be
called with an array of steps, which is useful for a plot.

>>> rate(jnp.asarray([0, 5, 10, 100]))
Array([0.  , 0.05, 0.1 , 0.  ], dtype=float32)

Schedules are made of schedules. The functions for this take numbers as well, if a number makes sense.

- `join([a, b], [n])` is a for n steps, and then b from its step 0.
- `warmup(a, n)` is a rise to a(0) in n steps, and then a from its step 0.
- `scaled(a, c)` is c·a, `product(a, b)` is a·b, and `floor(a, m)` is max(a, m).
- `offset(a, n)` is a from its step n on. A new run with it continues a run that stopped after n steps.
- `delayed(a, n)` is a from step n of the chain on. Fine-tuning from a checkpoint begins a schedule anew with it.
- `per_epoch(a, n)` is a with epochs of n steps in place of steps, and `of_run(a, n)` with parts of a run of n steps.

>>> rise_and_fall = schedules.join([schedules.linear(0.0, 1.0, 4), schedules.exponential_decay(1.0, 2, 0.5)], [4])
>>> schedules.scaled(rise_and_fall, 0.1)(jnp.asarray([0, 2, 4, 6]))
Array([0.  , 0.05, 0.1 , 0.05], dtype=float32)
>>> schedules.offset(rise_and_fall, 4)(0)
Array(1., dtype=float32)

`cyclic` and `one_cycle` come with a schedule of the momentum, which falls while the rate rises. The attributes
`learning_rate` and `momentum` are the two schedules.

>>> cycle = schedules.one_cycle(0.1, 100)
>>> tx = gx.adamw(cycle.learning_rate, b1=cycle.momentum)

`reduce_on_plateau`, `plateau` and `target` are no functions of the step: they follow a metric, which every `update`
takes as `value=`, and they have a place in the state. `reduce_on_plateau(a)` goes where a schedule goes, and a may be a
schedule. `plateau` and `target` are steps, for `switch`.

>>> tx = gx.switch(gx.adam(schedules.reduce_on_plateau(rate, factor=0.5)), gx.sgd(0.1), at=schedules.target(0.2))

An argument that another argument makes useless is an error, such as `staircase` for a decay rate of 1. An argument
without a default cannot be left out, and is therefore never an error of this kind: `warmup_cosine(0.0, 1.0, 0, 100)`
has no warm-up, and its first value is 1.
"""

from gradtx.schedules._combine import delayed as delayed
from gradtx.schedules._combine import floor as floor
from gradtx.schedules._combine import join as join
from gradtx.schedules._combine import of_run as of_run
from gradtx.schedules._combine import offset as offset
from gradtx.schedules._combine import per_epoch as per_epoch
from gradtx.schedules._combine import product as product
from gradtx.schedules._combine import scaled as scaled
from gradtx.schedules._cosine import cosine_decay as cosine_decay
from gradtx.schedules._cosine import warmup_cosine as warmup_cosine
from gradtx.schedules._curves import constant as constant
from gradtx.schedules._curves import exponential_decay as exponential_decay
from gradtx.schedules._curves import inverse_time_decay as inverse_time_decay
from gradtx.schedules._curves import linear as linear
from gradtx.schedules._cyclic import cyclic as cyclic
from gradtx.schedules._one_cycle import one_cycle as one_cycle
from gradtx.schedules._pieces import piecewise_constant as piecewise_constant
from gradtx.schedules._pieces import piecewise_interpolate as piecewise_interpolate
from gradtx.schedules._plateau import plateau as plateau
from gradtx.schedules._plateau import reduce_on_plateau as reduce_on_plateau
from gradtx.schedules._plateau import target as target
from gradtx.schedules._powers import inverse_sqrt as inverse_sqrt
from gradtx.schedules._powers import polynomial as polynomial
from gradtx.schedules._powers import power_decay as power_decay
from gradtx.schedules._restarts import cosine_restarts as cosine_restarts
from gradtx.schedules._schedule import Schedule as Schedule
from gradtx.schedules._warmup import warmup as warmup
from gradtx.schedules._warmup import warmup_stable_decay as warmup_stable_decay
