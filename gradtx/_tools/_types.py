"""The types of arguments that are neither arrays nor records."""

from collections.abc import Mapping
from typing import Any, TypeAlias

import jax

Tree: TypeAlias = object
"""A tree of arrays, such as parameters or gradients: any value that `jax.tree.map` takes."""
Number: TypeAlias = float | jax.Array
"""A Python number, or a scalar array, concrete or traced."""
Extra: TypeAlias = Mapping[str, object]
"""The extra arguments of `update`, by name."""
Treedef: TypeAlias = Any
"""A `jax.tree_util.PyTreeDef`, which is not a type for type checkers."""
