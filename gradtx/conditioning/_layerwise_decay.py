"""Smaller steps for the layers nearer to the input."""

from collections.abc import Hashable, Mapping
from typing import Annotated, Any, NamedTuple, Self

import jax
import numpy as np

from gradtx.conditioning._layers import Depth, depths
from gradtx.conditioning._norms import times
from gradtx.core import Interval, Rule, as_transformation


class Layer(NamedTuple):
    """The depth of a parameter, and that of the last layer."""

    depth: int
    last: int

    def __str__(self) -> str:
        return f"depth {self.depth}"


class LayerwiseDecay(Rule):
    """u = d^(L - l)·g for a parameter of layer l = 0, …, L, from input to output; the last steps as without it.

    For the end of a chain: behind the learning rate, it makes one rate per layer, and decoupled weight decay shrinks
    alike, as in PyTorch's parameter groups. In front of a rule that divides by the size of gradients, such as Adam's,
    it has next to no effect.

    Args:
        decay: d in (0, 1]; 0.8 for ELECTRA's smaller models, 1/2.6 for ULMFiT.
        depth: The layer l of a parameter: a function of its path, or a sequence of globs and compiled regular
            expressions from input to output, of which the first that matches counts; None reads the paths. L is the
            largest that is found. See `gradtx.core.Selector` for paths.

    Layers are the names of the first level of the tree that is numbered: the indices of a list, or names like "block3",
    "Dense_0", and Haiku's "linear", "linear_1". The search goes down into a name that stands alone, or that alone has
    numbers further down. What is beside the numbers is a layer after them all, or, where a part of its path begins with
    "emb", "token", "patch", "stem", "pos", "wte" or "wpe", one before them all. Several kinds of numbered names are of
    the same layers if their numbers are the same and all kinds but one have vectors alone, as normalisation has.
    Whatever else does not tell the order of layers is an error without `depth`. `describe` shows what was found.
    Only layers that the transformation sees and trains are counted.

    Raises:
        ValueError: at `init`, if paths do not tell the layers, or no glob matches a parameter.

    Sources: Howard & Ruder 2018, arXiv:1801.06146, §3.2 (discriminative fine-tuning); Clark et al. 2020,
    arXiv:2003.10555, whose code leaves one more power between the head and the layer below it; Bao et al. 2021,
    arXiv:2106.08254, whose code has the same layers for its model. In optax, `optax.partition` does it, given labels.

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

    def groups(self, params: Any, where: str, check: bool) -> Mapping[int, Hashable]:
        del check
        found = depths(self.depth, params.trained(), where)
        last = max(found.values(), default=0)
        return {i: Layer(depth, last) for i, depth in sorted(found.items(), key=lambda item: item[1])}

    def for_group(self, group: Any) -> Self:
        factor = self.decay ** (group.last - group.depth)
        # An argument, so that equal arrays of all layers share a trace.
        return self.replace({"decay": np.float64(factor) if isinstance(factor, float) else factor, "depth": None})

    def update(self, g: jax.Array, slot: Any, at: Any) -> tuple[jax.Array, dict[str, jax.Array]]:
        return times(g, self.decay), {}


layerwise_decay = as_transformation(LayerwiseDecay)
