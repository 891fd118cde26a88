"""The types of arguments that are neither arrays nor records."""

from typing import TypeAlias

import jax

Tree: TypeAlias = object
"""A tree of arrays, such as parameters or gradients: any value that `jax.tree.map` takes."""
Number: TypeAlias = float | jax.Array
"""A Python number, or a scalar array, concrete or traced."""
