"""Values as text, in error messages and as the code that makes them; and their equality."""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

LONGEST = 80


def summary(value: object) -> str:
    """An array as `float32[3, 2]`; any other value as code, with its type."""
    shape, dtype = getattr(value, "shape", None), getattr(value, "dtype", None)
    if shape is not None and dtype is not None:
        return f"{dtype}{list(shape)}"
    code = code_of(value)
    return f"{code if len(code) <= LONGEST else code[:LONGEST] + '…'} ({type(value).__name__})"


def code_of(value: Any) -> str:
    """The code that makes a value; a function by its name."""
    if isinstance(value, jax.Array) and not isinstance(value, Tracer):
        if is_key(value):
            return _key_code(value)
        if value.ndim == 0:
            return f"jnp.asarray({value.item()!r}, {str(value.dtype)!r})"
    if isinstance(value, float) and not math.isfinite(value):
        return f"float({str(value)!r})"  # `inf` is no name that Python knows
    if isinstance(value, Callable) and not hasattr(value, "label") and hasattr(value, "__qualname__"):
        return value.__qualname__
    return repr(value)


def is_key(array: Any) -> bool:
    """Whether an array holds PRNG keys."""
    return jnp.issubdtype(array.dtype, jax.dtypes.prng_key)


def same(a: Any, b: Any) -> bool:
    """Equality that is never an array: concrete arrays are equal by dtype, shape and values, tracers by identity."""
    if a is b:
        return True
    if type(a) is not type(b) or isinstance(a, Tracer):
        return False
    if isinstance(a, jax.Array | np.ndarray):
        if a.dtype != b.dtype or a.shape != b.shape:
            return False
        a, b = (jax.random.key_data(x) if is_key(x) else x for x in (a, b))
        return bool(np.array_equal(a, b))
    return bool(a == b)


def _key_code(key: jax.Array) -> str:
    """`jax.random.wrap_key_data` of the key's own numbers: unlike `Array((), dtype=key<fry>)`, it evaluates back."""
    data = jax.random.key_data(key)
    made = f"jnp.asarray({data.tolist()}, {str(data.dtype)!r})"
    return f"jax.random.wrap_key_data({made}, impl={str(jax.random.key_impl(key))!r})"
