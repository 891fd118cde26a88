"""`keras.layers.BatchNormalization`."""

from collections.abc import Mapping
from typing import Any

from gradtx.core import Interval, Transformation
from gradtx.inputs import batch_norm, batch_renorm
from gradtx.interop._arguments import checked

_MOMENTUM = Interval(0.0, 1.0, closed=True, hyper=False)
_BOUNDS = {"rmax": float("inf"), "rmin": 0.0, "dmax": float("inf")}
_DEFAULTS = {
    "beta_initializer": "zeros",
    "gamma_initializer": "ones",
    "moving_mean_initializer": "zeros",
    "moving_variance_initializer": "ones",
    "beta_regularizer": None,
    "gamma_regularizer": None,
    "beta_constraint": None,
    "gamma_constraint": None,
}


@checked(
    {
        "axis": Interval(hyper=False, whole=True),
        "momentum": _MOMENTUM,
        "epsilon": Interval(0.0, above=True, hyper=False),
        "renorm_momentum": _MOMENTUM,
    }
)
def BatchNormalization(
    axis: int = -1,
    momentum: float = 0.99,
    epsilon: float = 1e-3,
    center: bool = True,
    scale: bool = True,
    beta_initializer: Any = "zeros",
    gamma_initializer: Any = "ones",
    moving_mean_initializer: Any = "zeros",
    moving_variance_initializer: Any = "ones",
    beta_regularizer: Any = None,
    gamma_regularizer: Any = None,
    beta_constraint: Any = None,
    gamma_constraint: Any = None,
    renorm: bool = False,
    renorm_clipping: Mapping[str, float | None] | None = None,
    renorm_momentum: float = 0.99,
    synchronized: bool = False,
    name: str | None = None,
) -> Transformation:
    """Keras's `BatchNormalization`; see `gradtx.inputs.batch_norm`, and `batch_renorm` for `renorm`.

    `renorm_momentum` must be `momentum`, and of `renorm_clipping` "rmin" 1 / "rmax": here one average serves training
    and inference, and r is bound alike on both sides.

    >>> from gradtx.interop import keras
    >>> keras.BatchNormalization()
    batch_norm(eps=0.001)
    >>> keras.BatchNormalization(renorm=True, renorm_clipping={"rmax": 3, "rmin": 1 / 3, "dmax": 5})
    batch_renorm(eps=0.001)
    """
    given = locals()
    for argument, default in _DEFAULTS.items():
        if given[argument] != default:
            raise NotImplementedError(
                f"BatchNormalization: {argument} is not supported; scale and bias are arrays that "
                "gradtx.inputs.parameters gives, mean and var are in the state"
            )
    if synchronized:
        raise NotImplementedError(
            "BatchNormalization: synchronized is not supported; under jit the parts of a sharded batch share their "
            "statistics, and elsewhere gradtx.inputs.batch_norm(axis_name=...) makes them"
        )
    if not renorm:
        return batch_norm(axis, momentum, epsilon, scale=scale, bias=center)
    if momentum != renorm_momentum:
        raise NotImplementedError(
            f"BatchNormalization: renorm_momentum must be momentum, {momentum}, got {renorm_momentum}"
        )
    clipping = {key: bound for key, bound in (renorm_clipping or {}).items() if bound is not None}
    if unknown := clipping.keys() - _BOUNDS:
        raise ValueError(f"BatchNormalization: renorm_clipping has unknown keys {', '.join(map(repr, unknown))}")
    r_max, r_min, d_max = (_BOUNDS | clipping).values()
    if abs(r_min * r_max - 1.0) > 1e-6 and (r_min, r_max) != (0.0, float("inf")):
        raise NotImplementedError(
            f"BatchNormalization: of renorm_clipping rmin must be 1 / rmax, got rmin={r_min:g} and rmax={r_max:g}"
        )
    return batch_renorm(axis, momentum, epsilon, scale=scale, bias=center, r_max=r_max, d_max=d_max)
