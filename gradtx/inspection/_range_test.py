"""How large a learning rate may be: training in which it grows with every step."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gradtx._tools import check_real_scalar, summary, widen
from gradtx.core import Interval, Transforms
from gradtx.inspection._axes import axes, legend
from gradtx.inspection._styles import styles
from gradtx.inspection._trajectory import descend

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


class RangeTest(NamedTuple):
    """What `range_test` found.

    Attributes:
        rates: The learning rate of each step.
        losses: The loss of each step's mini-batch, before the step.
        smoothed: The same, smoothed; NaN from where it has diverged.
        suggested: The rate at which the smoothed loss falls most steeply; NaN if it never falls below its first value.
    """

    rates: jax.Array
    losses: jax.Array
    smoothed: jax.Array
    suggested: jax.Array


def range_test(
    make: Callable[[Callable[[Any], Any]], Any],
    loss: Callable[[Any, Any], Any],
    params: Any,
    batches: Any,
    *,
    low: float = 1e-6,
    high: float = 10.0,
    steps: int = 100,
    smoothing: float = 0.8,
) -> RangeTest:
    """ηₜ = low·(high/low)^(t/(T - 1)) for t < T, the loss ℓₜ of each step, and the rate at which it falls fastest.

    The smoothed loss is sₜ = Σβ^|t - i|·ℓᵢ / Σβ^|t - i| with β = `smoothing`, over the steps before the divergence: the
    first step with a loss that is not finite, or where the mean of those so far, weighted alike, is over 4 times the
    least such mean (for a negative one, 3 times its size above it). All T steps are run, as one compiled loop. Both
    sides count in sₜ, for a mean of the past lags behind by β/(1 - β) steps, in which the rate has grown.

    It is suggested to train with the rate where, up to the least s, ds/d(log η) is least: that of fastai's `steep`, and
    of PyTorch Lightning, which divides by dη. fastai's default, `valley`, takes a point two thirds down the longest
    descent.

    Under `jax.vmap` over `params` it is many tests at once.

    Args:
        make: Takes the rate, a function of the step, and gives a transformation: `gx.adam`, or
            `lambda rate: gx.sgd(rate, momentum=0.9)`.
        loss: (params, batch) → a real scalar.
        params: Where each test begins, a tree of arrays; they are not changed.
        batches: `gx.inputs.minibatches(…)`, of which the first T are used, however many epochs that is, or a function
            of the step that gives a batch.
        low: The first rate, > 0.
        high: The last rate, > low.
        steps: T ≥ 3.
        smoothing: β in [0, 1).

    Raises:
        TypeError: `loss` gives no real scalar, `make` no transformation, or `batches` are of another kind.
        ValueError: A number is out of its range.

    Source: Smith 2015, arXiv:1506.01186, section 3.3, with rates that grow linearly.

    >>> import gradtx as gx, jax.numpy as jnp
    >>> found = gx.inspection.range_test(gx.sgd, lambda x, batch: (x - batch) ** 2, jnp.zeros(()), lambda t: 1.0)
    >>> bool(0.01 < found.suggested < 1.0), bool(jnp.isnan(found.smoothed[-1]))
    (True, True)
    """
    where = "range_test"
    low = float(Interval(0.0, above=True, hyper=False).check(f"{where}: low", low))
    high = float(Interval(low, above=True, hyper=False).check(f"{where}: high", high))
    steps = int(Interval(3, hyper=False, whole=True).check(f"{where}: steps", steps))
    smoothing = Interval(0.0, 1.0, hyper=False).check(f"{where}: smoothing", smoothing)
    stored = hasattr(batches, "scan") and hasattr(batches, "init")
    if not (stored or callable(batches)):
        raise TypeError(f"{where}: batches must be minibatches or a function of the step, got {summary(batches)}")
    rates = jnp.asarray(np.geomspace(low, high, steps), float)
    tx = Transforms().check(f"{where}: make(rate)", make(lambda step: rates[step]))

    def step(carry: Any, batch: Any) -> tuple[Any, Any]:
        params, state = carry
        check_real_scalar(f"{where}: loss", jax.eval_shape(loss, params, batch))
        params, state, value = descend(lambda params: loss(params, batch), tx, params, state)
        return (params, state), value

    @jax.jit
    def test(params: Any, data: Any) -> RangeTest:
        carry = params, tx.init(params)
        if stored:
            _, losses, _ = data.scan(step, carry, data.init(), length=steps)
        else:
            _, losses = jax.lax.scan(lambda carry, t: step(carry, batches(t)), carry, jnp.arange(steps))
        smoothed = _smoothed(widen(losses), smoothing)
        slopes: Any = jnp.gradient(smoothed)  # over log η, in which the steps are even
        # Beyond its minimum the loss may fall again from a peak, to where nothing is learned.
        falling = jnp.arange(steps) <= jnp.argmin(jnp.where(jnp.isnan(smoothed), jnp.inf, smoothed))
        slopes = jnp.where(falling & ~jnp.isnan(slopes), slopes, jnp.inf)
        falls = (jnp.nanmin(smoothed) < smoothed[0]) & (jnp.min(slopes) < 0)
        return RangeTest(rates, losses, smoothed, jnp.where(falls, rates[jnp.argmin(slopes)], jnp.nan))

    return test(params, batches if stored else None)


def _smoothed(losses: jax.Array, beta: float) -> jax.Array:
    def past(x: jax.Array, reverse: bool = False) -> jax.Array:
        def step(total: Any, new: Any) -> tuple[Any, Any]:
            return (total := beta * total + new), total

        return jax.lax.scan(step, jnp.zeros_like(x[0]), x, reverse=reverse)[1]

    def around(x: jax.Array) -> jax.Array:
        return past(x) + past(x, reverse=True) - x

    finite = jnp.isfinite(losses)
    mean = past(jnp.where(finite, losses, 0.0)) / past(jnp.ones_like(losses))
    least = jax.lax.cummin(mean)
    used = jnp.cumsum(~finite | (mean > least + 3 * jnp.abs(least))) == 0
    return jnp.where(used, around(jnp.where(used, losses, 0.0)) / around(used.astype(losses.dtype)), jnp.nan)


def plot_range_test(results: Any, *, ax: "Axes | None" = None) -> "Figure":
    """A figure of the losses of one or several range tests over the learning rate, on a logarithmic axis.

    The smoothed losses are lines, the losses of the steps thin ones. A marker stands at the suggested rate, which the
    legend tells, and a cross at the last step before the loss diverged.

    Args:
        results: What `range_test` returned; several under labels in a dict.
        ax: Axes of matplotlib to draw into; otherwise a figure is made, which pyplot does not know of.

    Raises:
        ImportError: matplotlib is not installed.
        TypeError: A result is not of `range_test`.
        ValueError: There is no result, or it is one of many tests at once.

    >>> import gradtx as gx, jax.numpy as jnp
    >>> found = gx.inspection.range_test(gx.sgd, lambda x, batch: (x - batch) ** 2, jnp.zeros(()), lambda t: 1.0)
    >>> gx.inspection.plot_range_test({"sgd": found}).axes[0].get_xlabel()
    'learning rate'
    """
    results = results if isinstance(results, Mapping) else {"": results}
    if not results:
        raise ValueError("plot_range_test: results is empty")
    for label, result in results.items():
        if not isinstance(result, RangeTest):
            raise TypeError(f"plot_range_test: results must be of range_test, got {summary(result)} for {label!r}")
        if jnp.ndim(result.losses) != 1:
            raise ValueError(f"plot_range_test: give the tests one by one, got {len(result.losses)} as {label!r}")
    labels = [_label(str(label), float(result.suggested)) for label, result in results.items()]
    own = ax is None
    ax = axes("plot_range_test", labels) if ax is None else ax
    ax.set(xlabel="learning rate", ylabel="loss", xscale="log")
    lines = []
    for result, style in zip(results.values(), styles(), strict=False):
        rates, losses, smoothed = (np.asarray(x, float) for x in result[:3])
        used = int(np.isfinite(smoothed).sum())  # the first ones
        lines += ax.plot(
            rates[:used], smoothed[:used], color=style.colour, linestyle=style.dashes, linewidth=style.width,
            marker=style.marker, markersize=9, markeredgecolor="1", markevery=rates[:used] == float(result.suggested),
        )  # fmt: skip
        ax.plot(rates[:used], losses[:used], color=style.colour, linewidth=0.7, alpha=0.5)
        if 0 < used < len(rates):
            ax.plot(rates[used - 1], smoothed[used - 1], "x", color=style.colour, markersize=9, markeredgewidth=2.5)
    legend([ax], lines, labels, own)
    return ax.figure  # type: ignore[return-value]


def _label(label: str, suggested: float) -> str:
    found = "never falls" if np.isnan(suggested) else f"suggested {suggested:.2g}"
    return f"{label}: {found}" if label else found
