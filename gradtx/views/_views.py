"""The parameters that a transformation sees, and how it sees them: `only`, `stacked` and `by_parts`."""

import optax

from gradtx._tools import Selector, Selects, checked
from gradtx.core import Foreign, Only, Stacked, Stage, Transformation, stages_of, with_parts


@checked
def only(selector: Selector, transformation: optax.GradientTransformation) -> Transformation:
    """Applies a transformation to the selected parameters. The other gradients pass unchanged, and have no slots.

    The stages still share the chain's counter. A stage that measures all gradients measures those of the selected
    parameters. `only(a, only(b, tx))` is for parameters that both select.

    Args:
        selector: The selection of parameters; see `gradtx.core.Selector`.
        transformation: A chain, a single stage, or a transformation of optax.

    Raises:
        ValueError: At `init`, if the selector selects no parameter; the error lists the paths.

    >>> import gradtx as gx, jax.numpy as jnp
    >>> tx = gx.chain(gx.only("*kernel", gx.scale_by_adam()), gx.scale_by_learning_rate(0.1))
    >>> params = {"kernel": jnp.ones((2, 2)), "bias": jnp.ones(2)}
    >>> tx.init(params).stages["scale_by_adam"]["mu"]
    {'bias': None, 'kernel': Array([[0., 0.],
           [0., 0.]], dtype=float32)}
    >>> tx.update(params, tx.init(params))[0]["bias"]
    Array([-0.1, -0.1], dtype=float32)
    """
    view = Only(Selects().check("only: selector", selector))
    return Transformation(tuple(s._replace(views=(view, *s.views)) for s in stages_of(transformation)))


@checked
def stacked(selector: Selector, transformation: optax.GradientTransformation, *, axis: int = 0) -> Transformation:
    """Applies a transformation to each layer of parameters that hold many layers on one axis.

    It is for the arrays of `flax.linen.scan`, of `nnx.vmap` over layers, of `jax.lax.scan` over blocks, and of stacked
    experts. Norms, trust ratios, factored moments and orthogonalisation are then computed per layer. Rules that update
    each element by itself give the same result with and without `stacked`, and global measures include all layers. Two
    axes of layers are `stacked(s, stacked(s, tx))`. A selector inside sees the shape of one layer:
    `stacked(s, only(matrices_only, tx))` is for layers that are matrices.

    Args:
        selector: The stacked parameters; the other parameters are seen whole. See `gradtx.core.Selector`.
        transformation: A chain or stage with at least one rule that needs whole arrays.
        axis: The axis of the layers in each selected parameter, an integer.

    Raises:
        TypeError: `transformation` gives the same result without `stacked`, or is an optax transformation.
        ValueError: At `init`, if the selector selects no parameter, or one without that axis.

    >>> import gradtx as gx, jax.numpy as jnp
    >>> tx, layers = gx.stacked("layers", gx.clip_by_norm(1.0)), {"layers": jnp.array([[3.0, 4.0], [0.3, 0.4]])}
    >>> tx.update(layers, tx.init(layers))[0]
    {'layers': Array([[0.6, 0.8],
           [0.3, 0.4]], dtype=float32)}
    """
    if isinstance(axis, bool) or not isinstance(axis, int):
        raise TypeError(f"stacked: axis must be an integer, got {axis!r}")
    view = Stacked(Selects().check("stacked: selector", selector), axis)
    stages = stages_of(transformation)
    if not any(map(_sees_layers, stages)):
        raise TypeError(f"stacked: it has no effect on {transformation!r}, because no rule in it needs whole arrays")
    return Transformation(tuple(s._replace(views=(view, *s.views)) for s in stages))


@checked
def by_parts(transformation: optax.GradientTransformation) -> Transformation:
    """Shows complex parameters to a transformation as pairs of real ones, as PyTorch's optimizers see them.

    Without it, rules compute with complex numbers: Adam divides by the root of the averaged |g|², as optax's does.
    Rules that need whole arrays or trees, such as norms, give the same result with and without it.

    Raises:
        TypeError: `transformation` contains an optax transformation, which gradtx cannot look into.

    >>> import gradtx as gx, jax.numpy as jnp
    >>> tx = gx.by_parts(gx.adam(0.1))
    >>> tx.update(jnp.array([3 - 4j]), tx.init(jnp.zeros(1, complex)))[0]
    Array([-0.1+0.1j], dtype=complex64)
    """
    return Transformation(tuple(map(_split, stages_of(transformation))))


def _split(stage: Stage) -> Stage:
    _refuse_foreign("by_parts", stage)
    return stage._replace(split=True) if stage.splittable else with_parts(stage, by_parts)


def _sees_layers(stage: Stage) -> bool:
    """Whether `stacked` changes the result of the stage, or of a stage in a transformation that it holds."""
    _refuse_foreign("stacked", stage)
    return stage.sees_layers or any(_sees_layers(s) for part in stage.technique.parts().values() for s in part._stages)


def _refuse_foreign(where: str, stage: Stage) -> None:
    if isinstance(stage.technique, Foreign):
        raise TypeError(f"{where}: gradtx cannot look into {stage.technique!r}; use a transformation of gradtx")
