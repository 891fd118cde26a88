"""Values by name. The error about a missing name lists the names that exist."""

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

from jax.typing import ArrayLike


class Slots(SimpleNamespace):
    """The slots of one parameter by name, as in `slot.mu`. In `measure`, each slot is a list over the gradients."""

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"there is no slot {name} here; the slots are {', '.join(vars(self)) or 'none'}")


class Scalars(dict[str, Any]):
    """Scalars by name. `where` is the beginning of errors."""

    def __init__(self, where: str, scalars: Mapping[str, ArrayLike]):
        super().__init__(scalars)
        self.where = where

    def __missing__(self, name: str) -> Any:
        raise KeyError(f"{self.where} has no {name}; it has {', '.join(self) or 'nothing'}")
