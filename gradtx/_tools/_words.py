"""Values as text, in error messages and as the code that makes the values, and equality of values."""

import math
from collections.abc import Callable, Sequence

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


def code_of(value: object) -> str:
    """The code that makes a value; a function by its name."""
    if isinstance(value, jax.Array) and not isinstance(value, Tracer):
        if is_key(value):
            return _key_code(value)
        if value.ndim == 0:
            return f"jnp.asarray({value.item()!r}, {str(value.dtype)!r})"
    if isinstance(value, float) and not math.isfinite(value):
        return f"float({str(value)!r})"  # Python knows no name `inf`
    if isinstance(value, Callable) and not hasattr(value, "label") and hasattr(value, "__qualname__"):
        return value.__qualname__
    return repr(value)


def listed(items: Sequence[str], most: int) -> str:
    """At most `most` items, joined by commas, and the number of items that are not shown: "a, b and 7 more"."""
    shown = ", ".join(items[:most])
    return f"{shown} and {len(items) - most} more" if len(items) > most else shown


def is_key(array: jax.Array) -> bool:
    """Whether an array holds PRNG keys."""
    return jnp.issubdtype(array.dtype, jax.dtypes.prng_key)


def same(a: object, b: object) -> bool:
    """Whether two values are equal. The answer is a bool, also for arrays.

    Concrete arrays are equal if their dtypes, shapes and values are. A tracer equals only itself.
    """
    if a is b:
        return True
    if type(a) is not type(b) or isinstance(a, Tracer):
        return False
    if isinstance(a, jax.Array | np.ndarray) and isinstance(b, jax.Array | np.ndarray):
        if a.dtype != b.dtype or a.shape != b.shape:
            return False
        a, b = (jax.random.key_data(x) if isinstance(x, jax.Array) and is_key(x) else x for x in (a, b))
        return bool(np.array_equal(a, b))
    return bool(a == b)


def _key_code(key: jax.Array) -> str:
    """A call of `jax.random.wrap_key_data`, which evaluates to the key, unlike its repr `Array((), dtype=key<fry>)`."""
    data = jax.random.key_data(key)
    made = f"jnp.asarray({data.tolist()}, {str(data.dtype)!r})"
    return f"jax.random.wrap_key_data({made}, impl={str(jax.random.key_impl(key))!r})"
