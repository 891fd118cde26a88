"""How large a learning rate may be: training in which the learning rate grows with every step."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
import optax

from gradtx._tools import Interval, Number, Tree, check_real_scalar, checked, summary, widen
from gradtx.core import Transforms
from gradtx.inspection._axes import Figure, OptionalAxes, add_legend, new_axes
from gradtx.inspection._styles import styles
from gradtx.inspection._trajectory import informed_step


class RangeTest(NamedTuple):
    """The result of `range_test`.

    Attributes:
        rates: The learning rate of each step, (T,).
        losses: The loss of each step's mini-batch before the step, as computed, (T,).
        smoothed: The smoothed losses, (T,); NaN from the step on at which the training diverged.
        suggested: The learning rate at which the smoothed loss falls most steeply, a scalar; NaN if the loss does not
            fall.
    """

    rates: jax.Array
    losses: jax.Array
    smoothed: jax.Array
    suggested: jax.Array


@runtime_checkable
class Batches(Protocol):
    """Mini-batches that a compiled loop can draw, such as `gx.inputs.minibatches`."""

    def init(self) -> Any: ...
    def scan(self, step: Callable[..., Any], carry: Any, state: Any, *, length: int) -> Any: ...


@checked
def range_test(
    make: Callable[..., optax.GradientTransformation],
    loss: Callable[..., Number],
    params: Tree,
    batches: Batches | Callable[[jax.Array], Tree],
    *,
    low: Annotated[float, Interval(0.0, above=True, hyper=False)] = 1e-6,
    high: Annotated[float, Interval(0.0, above=True, hyper=False)] = 10.0,
    steps: Annotated[int, Interval(3, hyper=False, whole=True)] = 100,
    smoothing: Annotated[float, Interval(0.0, 1.0, hyper=False)] = 0.9,
    skip_begin: Annotated[int, Interval(0, hyper=False, whole=True)] | None = None,
    skip_end: Annotated[int, Interval(0, hyper=False, whole=True)] = 1,
) -> RangeTest:
    """Trains with a learning rate that grows with every step, and suggests a learning rate.

    The rate of step t < T is ηₜ = low·(high/low)^(t/(T - 1)). All T steps run as one compiled loop. The loss ℓₜ of
    step t is the loss of the mini-batch before the step. Single mini-batches are noisy, so the losses are smoothed in
    two ways, with β = `smoothing`:

    - mₜ = Σβ^(t - i)·ℓᵢ / Σβ^(t - i) over i ≤ t is the exponential mean of the past with bias correction. The
      training has diverged at the first loss that is not finite, or at the first mₜ that is more than 4 times the
      least m so far (for a negative least m, 3 times its size above it).
    - sₜ = Σβ^|t - i|·ℓᵢ / Σβ^|t - i| weights the past and the future alike. `smoothed` is s over all steps before the
      divergence. m lags β/(1 - β) steps behind, in which the rate has grown; s does not lag.

    The suggested rate is the rate at which s falls most steeply, that is at which ds/d(log η) is least. For this
    choice, s is computed over the steps up to the least m, so that the climb to the divergence does not hide the fall
    before. The first `skip_begin` steps have no say in the least m and in the choice: their means have few losses. The
    last `skip_end` steps up to the least m are not suggested.

    Under `jax.vmap` over `params`, many tests run at once.

    PyTorch Lightning and fastai smooth by m with β = 0.98, and stop at 4 times the least m. Lightning suggests the
    rate at which dm/dη is least, without the first 10 steps and the last step. fastai's `steep` suggests the rate at
    which dm/d(log η) is least, without the first tenth of the steps and the last 5 steps, and fastai's default
    `valley` suggests a point two thirds down the longest descent. The slopes of m depend strongly on the first
    mini-batches, and their least value lies too late, so the suggestion here uses s. Raw losses are not smoothed with
    `smoothing=0`.

    Args:
        make: A function from the rate to a transformation, where the rate is a function of the step: `gx.adam`, or
            `lambda rate: gx.sgd(rate, momentum=0.9)`.
        loss: A function (params, batch) → a real scalar.
        params: The parameters before the first step, a tree of arrays. They are not changed.
        batches: `gx.inputs.minibatches(…)`, of which the first T are used, over as many epochs as necessary; or a
            function from the step, a scalar int32, to a batch.
        low: The first rate, > 0.
        high: The last rate, > low.
        steps: T ≥ 3.
        smoothing: β in [0, 1).
        skip_begin: The number of steps at the beginning whose rates are not suggested, ≥ 0. By default a tenth of T,
            rounded down.
        skip_end: The number of steps before the least mean whose rates are not suggested, ≥ 0.

    Raises:
        TypeError: `loss` does not return a real scalar, `make` does not return a transformation, or `batches` are of
            another kind.
        ValueError: A number is out of its range, or `skip_begin` and `skip_end` leave no step.

    Source: Smith 2017, arXiv:1506.01186, section 3.3, where the rate grows linearly.

    >>> import gradtx as gx, jax.numpy as jnp
    >>> result = gx.inspection.range_test(gx.sgd, lambda x, batch: (x - batch) ** 2, jnp.zeros(()), lambda t: 1.0)
    >>> bool(0.01 < result.suggested < 1.0), bool(jnp.isnan(result.smoothed[-1]))
    (True, True)
    """
    skip_begin = steps // 10 if skip_begin is None else skip_begin
    _check_range(low, high, steps, skip_begin, skip_end)
    if not isinstance(batches, Batches) and not callable(batches):
        raise TypeError(f"range_test: batches must be mini-batches or a function of the step, got {summary(batches)}")
    rates = jnp.asarray(np.geomspace(low, high, steps), float)
    tx = Transforms().check("range_test: make(rate)", make(lambda step: rates[step]))

    def step(carry: tuple[Tree, Tree], batch: Tree) -> tuple[tuple[Tree, Tree], jax.Array]:
        params, state = carry
        check_real_scalar("range_test: loss", jax.eval_shape(loss, params, batch))
        params, state, value = informed_step(lambda params: loss(params, batch), tx, params, state)
        return (params, state), value

    @jax.jit
    def test(params: Tree, stored: Batches | None) -> RangeTest:
        carry = params, tx.init(params)  # type: ignore[arg-type]
        if stored is not None:
            _, losses, _ = stored.scan(step, carry, stored.init(), length=steps)
        else:
            _, losses = jax.lax.scan(lambda carry, t: step(carry, batches(t)), carry, jnp.arange(steps))  # type: ignore[operator]
        smoothed, index = _fall(widen(losses), smoothing, skip_begin, skip_end)
        return RangeTest(rates, losses, smoothed, jnp.where(index < 0, jnp.nan, rates[index]))

    return test(params, batches if isinstance(batches, Batches) else None)


def _check_range(low: float, high: float, steps: int, skip_begin: int, skip_end: int) -> None:
    """Checks the numbers that depend on one another."""
    if not low < high:
        raise ValueError(f"range_test: high must be greater than low={low!r}, got {high!r}")
    if skip_begin + skip_end > steps - 2:
        raise ValueError(
            f"range_test: skip_begin={skip_begin} and skip_end={skip_end} leave no step of {steps}; "
            "skip fewer steps or run more"
        )


def _fall(losses: jax.Array, beta: float, skip_begin: int, skip_end: int) -> tuple[jax.Array, jax.Array]:
    """The smoothed losses, and the index of their steepest fall, or -1 if they do not fall."""
    at, finite = jnp.arange(len(losses)), jnp.isfinite(losses)
    mean = _mean_of_past(jnp.where(finite, losses, 0.0), beta)
    settled = jnp.where(at < skip_begin, jnp.inf, mean)
    least = jax.lax.cummin(settled)
    used = jnp.cumsum(~finite | (mean > least + 3 * jnp.abs(least))) == 0

    bottom = jnp.argmin(jnp.where(used, settled, jnp.inf))
    falling = used & (at <= bottom)
    level = _mean_around(losses, falling, beta)
    before, after = jnp.roll(level, 1).at[0].set(level[0]), jnp.where(at < bottom, jnp.roll(level, -1), level)
    distance = jnp.where((at == 0) | (at == bottom), 1.0, 2.0)  # differences are one-sided at the ends
    slopes = (after - before) / distance.astype(level.dtype)
    slopes = jnp.where((skip_begin <= at) & (at <= bottom - skip_end) & falling, slopes, jnp.inf)
    index = jnp.where(jnp.min(slopes) < 0, jnp.argmin(slopes), -1)
    return jnp.where(used, _mean_around(losses, used, beta), jnp.nan), index


def _sum_of_past(x: jax.Array, beta: float, reverse: bool = False) -> jax.Array:
    """Σβ^(t - i)·xᵢ over i ≤ t; over i ≥ t, with β^(i - t), if `reverse`."""

    def step(total: jax.Array, new: jax.Array) -> tuple[jax.Array, jax.Array]:
        total = beta * total + new
        return total, total

    return jax.lax.scan(step, jnp.zeros_like(x[0]), x, reverse=reverse)[1]


def _mean_of_past(x: jax.Array, beta: float) -> jax.Array:
    return _sum_of_past(x, beta) / _sum_of_past(jnp.ones_like(x), beta)


def _mean_around(x: jax.Array, used: jax.Array, beta: float) -> jax.Array:
    """The mean of the `used` entries of x with the weights β^|t - i|."""

    def total(x: jax.Array) -> jax.Array:
        return _sum_of_past(x, beta) + _sum_of_past(x, beta, reverse=True) - x

    return total(jnp.where(used, x, 0.0)) / total(used.astype(x.dtype))


@checked
def plot_range_test(results: RangeTest | Mapping[str, RangeTest], *, ax: OptionalAxes = None) -> "Figure":
    """Draws the losses of one or several range tests over the learning rate, on a logarithmic axis.

    The smoothed losses are thick lines, and the raw losses are thin lines. A marker stands at the suggested rate, and
    the legend states this rate. A cross marks the last step before the loss diverged.

    Args:
        results: A result of `range_test`, or several under labels in a dict.
        ax: Matplotlib's axes to draw into. By default a new figure is made that pyplot does not manage.

    Raises:
        ImportError: matplotlib is not installed.
        TypeError: A result is not a `RangeTest`.
        ValueError: There is no result, or a result holds many tests.

    >>> import gradtx as gx, jax.numpy as jnp
    >>> result = gx.inspection.range_test(gx.sgd, lambda x, batch: (x - batch) ** 2, jnp.zeros(()), lambda t: 1.0)
    >>> gx.inspection.plot_range_test({"sgd": result}).axes[0].get_xlabel()
    'learning rate'
    """
    named = results if isinstance(results, Mapping) else {"": results}
    _check_results(named)
    labels = [_legend_entry(str(label), float(result.suggested)) for label, result in named.items()]
    above = ax is None
    ax = new_axes("plot_range_test", labels) if ax is None else ax
    ax.set(xlabel="learning rate", ylabel="loss", xscale="log")
    lines = []
    for result, style in zip(named.values(), styles(), strict=False):
        rates, losses, smoothed = (np.asarray(x, float) for x in result[:3])
        used = int(np.isfinite(smoothed).sum())  # the steps before the divergence
        lines += ax.plot(
            rates[:used], smoothed[:used], color=style.colour, linestyle=style.dashes, linewidth=style.width,
            marker=style.marker, markersize=9, markeredgecolor="1", markevery=rates[:used] == float(result.suggested),
        )  # fmt: skip
        ax.plot(rates[:used], losses[:used], color=style.colour, linewidth=0.7, alpha=0.5)
        if 0 < used < len(rates):
            ax.plot(rates[used - 1], smoothed[used - 1], "x", color=style.colour, markersize=9, markeredgewidth=2.5)
    add_legend([ax], lines, labels, above=above)
    return ax.figure  # type: ignore[return-value]


def _check_results(results: Mapping[str, RangeTest]) -> None:
    if not results:
        raise ValueError("plot_range_test: results is empty; give at least one result of range_test")
    for label, result in results.items():
        if not isinstance(result, RangeTest):
            raise TypeError(
                f"plot_range_test: results must be results of range_test, got {summary(result)} for {label!r}"
            )
        if jnp.ndim(result.losses) != 1:
            raise ValueError(
                f"plot_range_test: results[{label!r}] holds {len(result.losses)} tests; give one result for each test"
            )


def _legend_entry(label: str, suggested: float) -> str:
    state = "never falls" if np.isnan(suggested) else f"suggested {suggested:.2g}"
    return f"{label}: {state}" if label else state
