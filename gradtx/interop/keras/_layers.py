"""`keras.layers.BatchNormalization`."""

from collections.abc import Mapping

from gradtx._tools import Interval
from gradtx.core import Transformation
from gradtx.inputs import batch_norm, batch_renorm
from gradtx.interop._arguments import NumberAboveZero, Share, Whole, drop_in, refuse_unsupported

_INFINITY = float("inf")
_BOUNDS = {"rmax": _INFINITY, "rmin": 0.0, "dmax": _INFINITY}
_RANGES = {
    "rmax": Interval(1.0, _INFINITY, closed=True, hyper=False),
    "rmin": Interval(0.0, 1.0, closed=True, hyper=False),
    "dmax": Interval(0.0, _INFINITY, closed=True, hyper=False),
}


@drop_in(needs={"renorm_clipping": "renorm", "renorm_momentum": "renorm"})
def BatchNormalization(
    axis: Whole = -1,
    momentum: Share = 0.99,
    epsilon: NumberAboveZero = 1e-3,
    center: bool = True,
    scale: bool = True,
    beta_initializer: object = "zeros",
    gamma_initializer: object = "ones",
    moving_mean_initializer: object = "zeros",
    moving_variance_initializer: object = "ones",
    beta_regularizer: object = None,
    gamma_regularizer: object = None,
    beta_constraint: object = None,
    gamma_constraint: object = None,
    renorm: bool = False,
    renorm_clipping: Mapping[str, float | None] | None = None,
    renorm_momentum: Share = 0.99,
    synchronized: bool = False,
    name: str | None = None,
) -> Transformation:
    """Batch normalisation as Keras's `BatchNormalization`.

    See `gradtx.inputs.batch_norm` for the equation, and `gradtx.inputs.batch_renorm` for that of `renorm`.

    Args:
        axis: The axis of the features, a whole number.
        momentum: The weight of the old running statistics, in [0, 1].
        epsilon: A number > 0.
        center: Have a bias, Keras's beta.
        scale: Have a scale, Keras's gamma.
        beta_initializer: Must be "zeros".
        gamma_initializer: Must be "ones".
        moving_mean_initializer: Must be "zeros".
        moving_variance_initializer: Must be "ones".
        beta_regularizer: Must be None.
        gamma_regularizer: Must be None.
        beta_constraint: Must be None.
        gamma_constraint: Must be None.
        renorm: Use batch renormalisation.
        renorm_clipping: "rmax" ≥ 1, "rmin" in [0, 1] and "dmax" ≥ 0; only with `renorm`. A bound that is missing or
            None is no bound. "rmin" must be 1 / "rmax": gradtx has one bound for r and 1 / r.
        renorm_momentum: Must be `momentum`; only with `renorm`. In gradtx one average serves training and inference.
        synchronized: Must be False.
        name: Changes no result.

    Raises:
        ValueError: An argument is out of its range or has no effect, or `renorm_clipping` has an unknown key.
        NotImplementedError: An argument has a value that gradtx does not have.

    Sources: Ioffe & Szegedy 2015, arXiv:1502.03167; for `renorm` Ioffe 2017, arXiv:1702.03275.

    >>> from gradtx.interop import keras
    >>> keras.BatchNormalization()
    batch_norm(eps=0.001)
    >>> keras.BatchNormalization(renorm=True, renorm_clipping={"rmax": 3, "rmin": 1 / 3, "dmax": 5})
    batch_renorm(eps=0.001)
    """
    fixed = {
        "beta_initializer": (beta_initializer, "zeros"),
        "gamma_initializer": (gamma_initializer, "ones"),
        "moving_mean_initializer": (moving_mean_initializer, "zeros"),
        "moving_variance_initializer": (moving_variance_initializer, "ones"),
        "beta_regularizer": (beta_regularizer, None),
        "gamma_regularizer": (gamma_regularizer, None),
        "beta_constraint": (beta_constraint, None),
        "gamma_constraint": (gamma_constraint, None),
    }
    for argument, (value, default) in fixed.items():
        if value != default:
            refuse_unsupported(
                "BatchNormalization",
                argument,
                "scale and bias are arrays that gradtx.inputs.parameters gives, mean and var are in the state",
            )
    if synchronized:
        refuse_unsupported(
            "BatchNormalization",
            "synchronized",
            "under jit the parts of a sharded batch share their statistics, and elsewhere "
            "gradtx.inputs.batch_norm(axis_name=...) makes them",
        )
    if not renorm:
        return batch_norm(axis=axis, momentum=momentum, eps=epsilon, scale=scale, bias=center)
    if momentum != renorm_momentum:
        raise NotImplementedError(
            f"BatchNormalization: renorm_momentum must be momentum, {momentum}, got {renorm_momentum}"
        )
    r_max, d_max = _bounds(renorm_clipping or {})
    return batch_renorm(axis=axis, momentum=momentum, eps=epsilon, scale=scale, bias=center, r_max=r_max, d_max=d_max)


def _bounds(clipping: Mapping[str, float | None]) -> tuple[float, float]:
    """The largest r and the largest |d|."""
    where = "BatchNormalization: renorm_clipping"
    if unknown := clipping.keys() - _BOUNDS:
        raise ValueError(
            f"{where} has unknown keys {', '.join(map(repr, unknown))}; the keys are 'rmax', 'rmin' and 'dmax'"
        )
    checked = {
        key: _RANGES[key].check(f"{where}[{key!r}]", bound) for key, bound in clipping.items() if bound is not None
    }
    r_max, r_min, d_max = (_BOUNDS | checked).values()
    if abs(r_min * r_max - 1.0) > 1e-6 and (r_min, r_max) != (0.0, _INFINITY):
        raise NotImplementedError(f"{where}: rmin must be 1 / rmax, got rmin={r_min:g} and rmax={r_max:g}")
    return r_max, d_max
