"""A transformation for each group of parameters."""

from collections.abc import Mapping
from typing import Any

import optax

from gradtx._tools import Labelled, Tree, labels_of, summary
from gradtx.core import Only, Transformation, chain, names_of


def partition(transformations: Mapping[str, optax.GradientTransformation], labels: Tree) -> Transformation:
    """Applies another transformation to each group of parameters.

    The transformations become one chain, with one counter, in which each stage sees the parameters of its label. A
    stage is named "label.stage". A stage that measures all gradients measures those of its label. If groups differ only
    in hyperparameters, `per_group` is shorter, and keeps one norm.

    Args:
        transformations: Label → transformation. `freeze()` is for parameters that are not trained.
        labels: A function `(path, array) → label`; a dictionary label → selector, see `gradtx.core.Selector`; a tree of
            labels, for the parameters or the upper levels of their tree; or a function from the parameters to one.

    Raises:
        ValueError: At `init`, if a parameter has no label, two labels, or one without a transformation; the error lists
            all such parameters. Also if a label has no parameter.

    optax has `optax.partition`, once `multi_transform`; Keras has `MultiOptimizer`.

    >>> import gradtx as gx, jax.numpy as jnp
    >>> tx = gx.partition({"matrices": gx.sgd(1.0), "rest": gx.adam(0.1)}, {"matrices": "*kernel", "rest": "*bias"})
    >>> params = {"kernel": jnp.ones((1, 2)), "bias": jnp.ones(2)}
    >>> tx.update(params, tx.init(params))[0]
    {'bias': Array([-0.1, -0.1], dtype=float32), 'kernel': Array([[-1., -1.]], dtype=float32)}
    >>> list(tx.stages)
    ['matrices.scale_by_learning_rate', 'rest.scale_by_adam', 'rest.scale_by_learning_rate']
    """
    if not isinstance(transformations, Mapping) or not all(isinstance(label, str) for label in transformations):
        raise TypeError(
            f"partition: transformations must be a dictionary from labels, which are strings, to transformations, got "
            f"{summary(transformations)}"
        )
    if not transformations:
        raise ValueError("partition: transformations is empty; give at least one label with its transformation")
    made = labels_of("partition: labels", tuple(transformations), labels)
    return chain(*(_of_label(label, chain(tx), Only(Labelled(made, label))) for label, tx in transformations.items()))


def _of_label(label: str, tx: Transformation, view: Any) -> Transformation:
    named = zip(tx._stages, names_of(tx._stages), strict=True)
    return Transformation(tuple(s._replace(name=f"{label}.{n}", views=(view, *s.views)) for s, n in named))
