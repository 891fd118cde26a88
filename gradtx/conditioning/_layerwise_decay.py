"""Smaller steps for the layers nearer to the input."""

from collections.abc import Hashable, Mapping
from typing import Annotated, Any, NamedTuple, Self

import jax
import numpy as np

from gradtx._tools import Flat, Interval, times
from gradtx.conditioning._depths import Depth, depths
from gradtx.core import At, Rule, Slots, Updated, as_transformation


class Layer(NamedTuple):
    """The depth of a parameter, and that of the last layer."""

    depth: int
    last: int

    def __str__(self) -> str:
        return f"depth {self.depth}"


class LayerwiseDecay(Rule):
    """Makes smaller steps for the layers nearer to the input; the last layer is unaffected.

    u = d^(L - l)·g for a parameter of layer l = 0, …, L, counted from input to output. Put the stage at the end of a
    chain. After the learning rate, each layer has its own learning rate, and decoupled weight decay is scaled too, as
    with PyTorch's parameter groups. Before a rule that divides by the size of the gradients, such as Adam's, the stage
    has almost no effect.

    Args:
        decay: d in (0, 1]; 0.8 for ELECTRA's smaller models, 1/2.6 for ULMFiT.
        depth: The layer l of a parameter: a function from path to l, or a sequence of globs and compiled regular
            expressions from input to output, of which the first match counts. By default the layers are read off the
            paths. L is the largest l. `gradtx.core.Selector` explains paths.

    Layers are read off the first level of the tree that has numbered names: the indices of a list, or names like
    "block3", "Dense_0", and Haiku's "linear", "linear_1". The search descends into a name that has no siblings, or
    that is the only one with numbered names below it. A name beside the numbered ones belongs to a layer after them.
    If a part of its path begins with "emb", "token", "patch", "stem", "pos", "wte" or "wpe", it belongs to a layer
    before them. Several kinds of numbered names belong to the same layers if they have the same numbers and all kinds
    but one hold only vectors, as normalisation layers do. Any other tree is an error without `depth`. `describe` shows
    the layers. Only parameters that the transformation sees and trains are counted.

    Raises:
        ValueError: at `init`, if the paths do not show the layers, or if no glob matches a parameter.

    Sources: Howard & Ruder 2018, arXiv:1801.06146, §3.2 (discriminative fine-tuning); Clark et al. 2020,
    arXiv:2003.10555, whose code has one more power between the head and the layer below it; Bao et al. 2021,
    arXiv:2106.08254, whose code has the same layers for its model. In optax, `optax.partition` does this from labels.

    >>> import gradtx as gx, jax.numpy as jnp
    >>> tx = gx.chain(gx.sgd(1.0), gx.layerwise_decay(0.5))
    >>> params = {"embed": jnp.ones(1), "layers": [jnp.ones(1), jnp.ones(1)], "head": jnp.ones(1)}
    >>> tx.update(params, tx.init(params), params)[0]
    {'embed': Array([-0.125], dtype=float32), 'head': Array([-1.], dtype=float32),
     'layers': [Array([-0.25], dtype=float32), Array([-0.5], dtype=float32)]}
    """

    decay: Annotated[Any, Interval(0.0, 1.0, closed=True, above=True)]
    depth: Depth | None = None

    needs = frozenset({"param"})

    def groups(self, params: Flat, where: str) -> Mapping[int, Hashable]:
        depth_of = depths(self.depth, params.trained(), where)
        last = max(depth_of.values(), default=0)
        return {i: Layer(depth, last) for i, depth in sorted(depth_of.items(), key=lambda item: item[1])}

    def for_group(self, group: Layer) -> Self:
        factor = self.decay ** (group.last - group.depth)
        # An argument, so that equal arrays of all layers share a trace.
        return self.replace({"decay": np.float64(factor) if isinstance(factor, float) else factor, "depth": None})

    def update(self, g: jax.Array, slot: Slots, at: At) -> Updated:
        return times(g, self.decay), {}


layerwise_decay = as_transformation(LayerwiseDecay)
