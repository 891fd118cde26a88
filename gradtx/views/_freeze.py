"""Parameters that are not trained."""

from typing import Annotated, Any, TypeVar

import jax
import jax.numpy as jnp

from gradtx._tools import Selector, Selects, Tree, check_structure, checked, flatten, select
from gradtx.core import At, Rule, Slots, Stage, Transformation, Updated
from gradtx.views._views import only

T = TypeVar("T")


class Freeze(Rule):
    """Makes the updates zero. Later stages of the chain do not see the parameters."""

    hides = True

    def update(self, g: jax.Array, slot: Slots, at: At) -> Updated:
        return jnp.zeros_like(g), {}


@checked
def freeze(selector: Annotated[Any, Selects()] | None = None) -> Transformation:
    """Freezes parameters: their updates are zero, and later stages of the chain neither see them nor keep slots.

    Put the stage first. Stages before it, such as a clip by the global norm, see the frozen gradients. Gradients of
    frozen parameters may be None, so that nobody computes them; `trainable` helps with that.

    Args:
        selector: The frozen parameters, see `gradtx.core.Selector`. By default, all that the stage sees, as for a label
            of `partition`.

    Raises:
        ValueError: At `init`, if the selector selects no parameter, or if a later stage has no parameter left.

    With optax, this is `optax.set_to_zero` as a label of `optax.partition`.

    >>> import gradtx as gx, jax.numpy as jnp
    >>> tx = gx.chain(gx.freeze("embed"), gx.adam(0.1))
    >>> params = {"embed": jnp.ones(2), "head": jnp.ones(2)}
    >>> tx.init(params).stages["scale_by_adam"]["mu"]
    {'embed': None, 'head': Array([0., 0.], dtype=float32)}
    >>> tx.update({"embed": None, "head": jnp.ones(2)}, tx.init(params), params)[0]
    {'embed': None, 'head': Array([-0.1, -0.1], dtype=float32)}
    """
    tx = Transformation((Stage(Freeze()),))
    return tx if selector is None else only(selector, tx)


@checked
def trainable(params: T, selector: Selector) -> tuple[T, T]:
    """Splits parameters in two trees: the selected ones, and all others.

    Each tree has None in the place of the leaves of the other one, and `merge` joins them. A gradient with respect to
    the first tree costs nothing for the others, as for the adapters of LoRA or the head of a pretrained model.

    Args:
        params: The parameters.
        selector: The trained parameters, see `gradtx.core.Selector`.

    Returns:
        (trained, frozen). Leaves that cannot be trained, such as integers, are in the second tree.

    Raises:
        ValueError: The selector selects no parameter.

    `equinox.partition` and `nnx.split` do the same for their modules.

    >>> import gradtx as gx, jax, jax.numpy as jnp
    >>> params = {"body": jnp.array(2.0), "head": jnp.array(3.0)}
    >>> head, body = gx.trainable(params, "head")
    >>> jax.grad(lambda head: gx.merge(head, body)["head"] ** 2)(head)
    {'body': None, 'head': Array(6., dtype=float32, weak_type=True)}
    """
    flat = flatten(params)
    chosen = select(selector, flat, "trainable: selector")
    yes = [leaf if chosen.get(i) else None for i, leaf in enumerate(flat.leaves)]
    no = [None if chosen.get(i) else leaf for i, leaf in enumerate(flat.leaves)]
    return flat.unflatten(yes), flat.unflatten(no)


def merge(trained: T, frozen: Tree) -> T:
    """Joins the two trees of `trainable`.

    Args:
        trained: A tree of parameters, with None in the place of the others.
        frozen: The other parameters, with None in the place of the trained ones.

    Raises:
        ValueError: The trees have different structures, or both have a value at one place.

    `equinox.combine` does the same.

    >>> import gradtx as gx
    >>> gx.merge({"body": None, "head": 3.0}, {"body": 2.0, "head": None})
    {'body': 2.0, 'head': 3.0}
    """
    first, second = flatten(trained), flatten(frozen)
    check_structure("merge", first, second, "second tree", "first tree")
    both = zip(first.paths(), first.leaves, second.leaves, strict=True)
    if twice := [path for path, a, b in both if a is not None and b is not None]:
        raise ValueError(f"merge: both trees have a value for {', '.join(map(repr, twice[:5]))}")
    return first.unflatten([b if a is None else a for a, b in zip(first.leaves, second.leaves, strict=True)])
