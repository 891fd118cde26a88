"""Conversion of fitted scalers from and to scikit-learn."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias, Union

import jax
import jax.numpy as jnp
import numpy as np

from gradtx.core import State, Transformation, chain
from gradtx.inputs import max_abs, min_max, robust, standardize

if TYPE_CHECKING:
    from sklearn.preprocessing import (  # type: ignore[import-not-found]
        MaxAbsScaler,
        MinMaxScaler,
        RobustScaler,
        StandardScaler,
    )

Scaler: TypeAlias = Union["StandardScaler", "MinMaxScaler", "MaxAbsScaler", "RobustScaler"]
Slots: TypeAlias = Mapping[str, jax.Array]
Values: TypeAlias = dict[str, Any]
"""Slot → its values; or an attribute of a fitted scaler → its value."""
Converted: TypeAlias = tuple[str, Values, Values]
"""The class of a scaler, its arguments, and the attributes that fitting gives it."""


def from_sklearn(scaler: Scaler) -> tuple[Transformation, State]:
    """Convert a fitted scaler of scikit-learn to a transformation and its state.

    The state continues to learn from where the scaler was. A `RobustScaler` does not store its examples, so its state
    has two examples with the same median and quartiles: right for inference and `inverse`, but not a sample to
    continue to learn from.

    Args:
        scaler: A `StandardScaler`, `MinMaxScaler`, `MaxAbsScaler` or `RobustScaler`, fitted.

    Returns:
        The transformation and the state, for one array of shape (examples, features).

    Raises:
        TypeError: The scaler is of another class.
        ValueError: The scaler is not fitted, or is a `MaxAbsScaler` that clips: gradtx's `max_abs` does not clip.

    >>> from sklearn.preprocessing import StandardScaler
    >>> tx, state = from_sklearn(StandardScaler().fit([[1.0], [3.0]]))
    >>> tx.update(jnp.array([[5.0]]), state, train=False)[0]
    Array([[3.]], dtype=float32)
    """
    kind = type(scaler).__name__
    if kind not in _FROM:
        raise TypeError(f"from_sklearn: expected one of {', '.join(_FROM)}, got {kind}")
    features = getattr(scaler, "n_features_in_", None)
    if features is None:
        raise ValueError(f"from_sklearn: this {kind} is not fitted")
    if kind == "MaxAbsScaler" and scaler.get_params().get("clip"):
        raise ValueError("from_sklearn: this MaxAbsScaler clips; use clip=False, and gx.clip(1.0) after max_abs")
    tx, values = _FROM[kind](scaler)
    state: Any = tx.init(jnp.zeros((1, features)))
    (name,) = tx.stages
    slots = {
        slot: jnp.broadcast_to(jnp.asarray(values.get(slot, old), old.dtype), old.shape)
        for slot, old in state.stages[name].items()
    }
    return tx, state._replace(step=jnp.ones_like(state.step), stages={name: slots})


def to_sklearn(tx: Transformation, state: State) -> Scaler:
    """Convert a transformation and its state to the scaler of scikit-learn that does the same.

    The scaler continues to learn from where the state was. scikit-learn has neither `missing` nor `axis_name`, and
    takes NaN as missing.

    Args:
        tx: One of `standardize`, `min_max`, `max_abs` and `robust`, and no chain of several.
        state: The state for one array of shape (examples, features).

    Returns:
        A `StandardScaler`, `MinMaxScaler`, `MaxAbsScaler` or `RobustScaler`.

    Raises:
        TypeError: `tx` is another transformation.
        ValueError: The inputs were not one array of shape (examples, features), or the state has learnt from no
            examples.

    >>> import gradtx as gx
    >>> tx = gx.inputs.max_abs()
    >>> to_sklearn(tx, gx.inputs.fit(tx, [jnp.array([[2.0], [-4.0]])])).transform([[1.0]])
    array([[0.25]])
    """
    from sklearn import preprocessing  # type: ignore[import-not-found]

    stages = list(chain(tx).stages.items())
    name, rule = stages[0]
    if len(stages) != 1 or rule.label not in _TO:
        raise TypeError(f"to_sklearn: expected one of {', '.join(_TO)}, got {tx}")
    slots = state.stages[name]
    features = slots["sample"][0] if rule.label == "robust" else slots["count"]
    if not isinstance(features, jax.Array) or features.ndim != 1:
        raise ValueError("to_sklearn: the state must be that of one array of shape (examples, features)")
    if not np.any(slots["count"]):
        raise ValueError(f"to_sklearn: this {rule.label} has learnt from no examples yet")
    kind, arguments, fitted = _TO[rule.label](rule, slots)
    scaler = getattr(preprocessing, kind)(**arguments)
    for attribute, value in ({"n_features_in_": len(features)} | fitted).items():
        setattr(scaler, attribute, value)
    return scaler


def _from_standard(scaler: "StandardScaler") -> tuple[Transformation, Values]:
    tx = standardize(centering=scaler.with_mean, scaling=scaler.with_std)
    count = np.asarray(scaler.n_samples_seen_, np.float64)
    mean, var = (np.float64(0) if x is None else x for x in (scaler.mean_, scaler.var_))
    tiny = np.finfo(np.float32).tiny
    scale = np.exp2(np.floor(np.log2(np.maximum(np.sqrt(var), tiny))))
    sums = {"count": count, "mean": mean, "m2": var / scale**2 * count}
    dtype = np.dtype(jnp.result_type(float))
    low = {f"{name}_low": value - np.asarray(value, dtype).astype(np.float64) for name, value in sums.items()}
    return tx, sums | low | {"scale": scale}


def _to_standard(rule: Any, slots: Slots) -> Converted:
    sums = {n: _double(slots[n]) + _double(slots[f"{n}_low"]) for n in ("count", "mean", "m2")}
    var = sums["m2"] * _double(slots["scale"]) ** 2 / sums["count"]
    fitted: Values = {"n_samples_seen_": _number(sums["count"])}
    fitted["mean_"] = sums["mean"] if rule.centering or rule.scaling else None
    fitted |= {"var_": var, "scale_": _nonzero(np.sqrt(var))} if rule.scaling else {"var_": None, "scale_": None}
    return "StandardScaler", {"with_mean": rule.centering, "with_std": rule.scaling}, fitted


def _from_min_max(scaler: "MinMaxScaler") -> tuple[Transformation, Values]:
    tx = min_max(feature_range=tuple(scaler.feature_range), clip=scaler.clip)
    return tx, {"count": scaler.n_samples_seen_, "min": scaler.data_min_, "max": scaler.data_max_}


def _to_min_max(rule: Any, slots: Slots) -> Converted:
    (a, b), low, high = rule.feature_range, _double(slots["min"]), _double(slots["max"])
    scale = (b - a) / _nonzero(high - low)
    fitted = {"data_min_": low, "data_max_": high, "data_range_": high - low, "scale_": scale, "min_": a - low * scale}
    seen = {"n_samples_seen_": int(slots["count"].max())}
    return "MinMaxScaler", {"feature_range": (a, b), "clip": rule.clip}, fitted | seen


def _from_max_abs(scaler: "MaxAbsScaler") -> tuple[Transformation, Values]:
    return max_abs(), {"count": scaler.n_samples_seen_, "max_abs": scaler.max_abs_}


def _to_max_abs(rule: Any, slots: Slots) -> Converted:
    largest = _double(slots["max_abs"])
    seen = {"n_samples_seen_": int(slots["count"].max())}
    return "MaxAbsScaler", {}, {"max_abs_": largest, "scale_": _nonzero(largest)} | seen


def _from_robust(scaler: "RobustScaler") -> tuple[Transformation, Values]:
    low, high = scaler.quantile_range
    # Without scaling the other two arguments have no effect, and `robust` refuses them.
    scaling = {"quantile_range": (low, high), "unit_variance": scaler.unit_variance} if scaler.with_scaling else {}
    tx = robust(centering=scaler.with_centering, scaling=scaler.with_scaling, sample_size=2, **scaling)
    center, scale = (0.0 if x is None else x for x in (scaler.center_, scaler.scale_))
    (unit,) = {rule.unit() for rule in tx.stages.values()}
    half = 50 / (high - low) * scale * unit
    sample = np.stack([np.atleast_1d(center - half), np.atleast_1d(center + half)])
    return tx, {"count": 2, "sample": sample, "priority": 0}


def _to_robust(rule: Any, slots: Slots) -> Converted:
    low, high = rule.quantile_range
    sample = _double(slots["sample"])
    first, center, third = np.nanpercentile(sample, [low, 50, high], axis=0)
    arguments = {"with_centering": rule.centering, "with_scaling": rule.scaling, "quantile_range": (low, high)}
    fitted = {
        "center_": center if rule.centering else None,
        "scale_": _nonzero(third - first) / rule.unit() if rule.scaling else None,
    }
    return "RobustScaler", arguments | {"unit_variance": rule.unit_variance}, fitted


def _double(x: jax.Array) -> np.ndarray:
    return np.asarray(x, np.float64)


def _nonzero(scale: np.ndarray) -> np.ndarray:
    return np.where(scale == 0, 1.0, scale)


def _number(count: np.ndarray) -> np.number | np.ndarray:
    """The number of examples as scikit-learn stores it: one number if all features have the same, an int if whole."""
    count = count.astype(np.int64) if np.all(count == np.round(count)) else count
    return count[0] if np.all(count == count[0]) else count


_FROM: Mapping[str, Any] = {
    "StandardScaler": _from_standard,
    "MinMaxScaler": _from_min_max,
    "MaxAbsScaler": _from_max_abs,
    "RobustScaler": _from_robust,
}
_TO: Mapping[str, Any] = {
    "standardize": _to_standard,
    "min_max": _to_min_max,
    "max_abs": _to_max_abs,
    "robust": _to_robust,
}
