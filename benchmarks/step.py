"""The cost of a step of clip + AdamW beside optax and PyTorch: time, memory, tracing and import.

python benchmarks/step.py [--quick] [--json FILE]
"""

import functools
import os
import statistics
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

import _measure as m
import jax
import jax.numpy as jnp
import numpy as np
import optax
from _measure import Figures

import gradtx as gx

RATE, DECAY, MAX_NORM = 1e-3, 1e-2, 1.0
FUSED, UPDATE, OPTAX, TORCH, LIMIT = "gradtx", "gradtx, update", "optax", "torch fused", "scaling in place"
ONLY = "gradtx, only"  # every stage under a selector that selects all parameters
PASSES = 4  # passes of the scaling in place, which together have the memory traffic of a step
WARMUP = 2

Stepped = tuple[optax.Params, optax.OptState]
Step = Callable[[optax.Params, optax.OptState, optax.Updates], Stepped]


class Peer(NamedTuple):
    """An optimizer, and its step (tx, params, state, grads) → (params, state)."""

    tx: optax.GradientTransformation
    step: Callable[[optax.GradientTransformation, optax.Params, optax.OptState, optax.Updates], Stepped]


class Run(Protocol):
    """A peer that takes its next step in each call."""

    def __call__(self) -> object:
        """Take a step."""
        ...

    def sample(self) -> np.ndarray:
        """Give some of the parameters, to compare the peers."""
        ...


# Parameters and state are the first arguments, and the results have the same order. JAX gives a donated buffer to the
# next result of the same shape. In another order, parameters would become moments, and XLA would have to copy them.
def fused(
    tx: optax.GradientTransformation, params: optax.Params, state: optax.OptState, grads: optax.Updates
) -> Stepped:
    """Take a step by `apply_gradients`."""
    return gx.apply_gradients(tx, grads, state, params)


def separate(
    tx: optax.GradientTransformation, params: optax.Params, state: optax.OptState, grads: optax.Updates
) -> Stepped:
    """Take a step by `update` and `apply_updates`."""
    updates, state = tx.update(grads, state, params)
    return optax.apply_updates(params, updates), state


def jax_peers(clip: bool) -> dict[str, Peer]:
    """Make AdamW of both libraries, with the forms of a step."""
    ours, theirs = gx.adamw(RATE, weight_decay=DECAY), optax.adamw(RATE, weight_decay=DECAY)
    if clip:
        ours = gx.chain(gx.clip_by_global_norm(MAX_NORM), ours)
        theirs = optax.chain(optax.clip_by_global_norm(MAX_NORM), theirs)
    return {
        FUSED: Peer(ours, fused),
        UPDATE: Peer(ours, separate),
        ONLY: Peer(only(ours), fused),
        OPTAX: Peer(theirs, separate),
    }


def only(tx: gx.Transformation) -> gx.Transformation:
    """Put a selector of all parameters around each stage."""
    return gx.chain(*(gx.only("*", gx.Transformation((stage,))) for stage in tx._stages))


def compilation(peer: Peer, params: optax.Params, grads: optax.Updates) -> m.Phases:
    """Compile the step of a peer from scratch."""
    return m.phases(functools.partial(peer.step, peer.tx), params, peer.tx.init(params), grads, donate=(0, 1))


class JaxRun:
    """Parameters and a state of a peer, updated in place."""

    def __init__(self, compiled: Step, tx: optax.GradientTransformation, params: optax.Params, grads: optax.Updates):
        self.compiled, self.grads = compiled, grads
        self.params = jax.tree.map(lambda p: jnp.array(p, copy=True), params)  # the step donates its parameters
        self.state = tx.init(params)

    def __call__(self) -> Stepped:
        self.params, self.state = self.compiled(self.params, self.state, self.grads)
        return self.params, self.state

    def sample(self) -> np.ndarray:
        return np.asarray(jax.tree.leaves(self.params)[0]).ravel()[:10_000]


class TorchRun:
    """PyTorch's fused AdamW.

    PyTorch's clipping scales the gradients in place, so that after the first step their norm is 1. Each further step
    reads and writes as many bytes as the first one.
    """

    def __init__(self, clip: bool, params: jax.Array, grads: jax.Array):
        import torch  # optional

        torch.set_num_threads(os.cpu_count() or 1)
        self.param = torch.nn.Parameter(torch.from_numpy(np.array(params)))
        self.param.grad = torch.from_numpy(np.array(grads))
        self.optimizer = torch.optim.AdamW([self.param], lr=RATE, weight_decay=DECAY, fused=True)
        self.clip = functools.partial(torch.nn.utils.clip_grad_norm_, [self.param], MAX_NORM) if clip else None

    def __call__(self) -> None:
        if self.clip:
            self.clip()
        self.optimizer.step()

    def sample(self) -> np.ndarray:
        return self.param.detach().numpy()[:10_000]


class Scaling:
    """A scaling of one array in place, which shows how fast this machine moves memory with the same compiler."""

    def __init__(self, x: jax.Array):
        self.scale = jax.jit(lambda x: x * -1.0, donate_argnums=0)
        self.x = jnp.array(x, copy=True)

    def __call__(self) -> jax.Array:
        for _ in range(PASSES):
            self.x = self.scale(self.x)
        return self.x


def check_alike(runs: Mapping[str, Run], steps: int) -> None:
    """Raise an error if a peer computes something else: its time would mean nothing."""
    for name, run in runs.items():
        wanted, tolerance = runs[OPTAX].sample(), 0.01 * RATE * steps
        np.testing.assert_allclose(run.sample(), wanted, rtol=0, atol=tolerance, err_msg=name)


def one_leaf(clip: bool, size: int, rounds: int) -> Figures:
    """Measure a step on one large parameter, so that the memory traffic decides."""
    grads, params = jax.random.normal(jax.random.key(0), (2, size), jnp.float32) * jnp.array([[1.0], [0.02]])
    runs: dict[str, Run] = {}
    temporary: dict[str, int] = {}
    for name, peer in jax_peers(clip).items():
        done = compilation(peer, params, grads)
        temporary[name] = done.temporary
        runs[name] = JaxRun(done.compiled, peer.tx, params, grads)
    if m.HAS_TORCH:
        runs[TORCH] = TorchRun(clip, params, grads)
    times = m.interleaved(runs | {LIMIT: Scaling(grads)}, rounds, WARMUP)
    check_alike(runs, rounds + WARMUP)

    array = 4 * size
    step_bytes, scaling_bytes = (8 if clip else 7) * array, 2 * PASSES * array
    figures = {}
    for name in [*runs, LIMIT]:
        moved, seconds = scaling_bytes if name == LIMIT else step_bytes, statistics.median(times[name])
        figures[name] = {
            "seconds": seconds,
            "to optax": m.ratio(times, name, OPTAX),
            "to torch": m.ratio(times, name, TORCH),
            "bytes per second": moved / seconds,
            # The median of the ratios of the rounds, because the limit varies with the load of the machine.
            "of the limit": (m.ratio(times, LIMIT, name) or np.nan) * moved / scaling_bytes,
            "temporary": temporary.get(name),
            "temporary to gradients": temporary[name] / array if name in temporary else None,
        }
    needs = "read g, p, m, v, write p, m, v" + (", read g before that for the norm" if clip else "")
    m.table(
        f"(a) {'clip + ' * clip}AdamW, {size / 2**20:g} Mi float32 parameters in one leaf.\n"
        f"    A step must {needs}: {step_bytes / 1e9:.2f} GB. The limit is the rate of an array scaled in place.",
        ["", "step ms", "× optax", "× torch", "GB/s", "of the limit", "temporary MB", "of the gradients"],
        [
            [
                name,
                f"{1e3 * f['seconds']:.2f}",
                m.number(f["to optax"]),
                m.number(f["to torch"]),
                f"{f['bytes per second'] / 1e9:.1f}",
                f"{f['of the limit']:.0%}",
                m.number(f["temporary"] and f["temporary"] / 1e6, ".3f"),
                m.number(f["temporary to gradients"], ".1%"),
            ]
            for name, f in figures.items()
        ],
    )
    return figures


def transformer(blocks: int, width: int) -> tuple[optax.Params, optax.Updates]:
    """Give the parameters and gradients of `blocks` blocks of 12 leaves, of 5 shapes."""
    d, h = width, 4 * width
    shapes: dict[str, tuple[int, ...]] = dict.fromkeys(("wq", "wk", "wv", "wo"), (d, d))
    shapes |= {"mlp_in": (d, h), "mlp_in_bias": (h,), "mlp_out": (h, d), "mlp_out_bias": (d,)}
    shapes |= dict.fromkeys(("norm1_scale", "norm1_bias", "norm2_scale", "norm2_bias"), (d,))
    draw = np.random.default_rng(0).standard_normal
    tree = {f"block{i}": {name: draw(s, np.float32) for name, s in shapes.items()} for i in range(blocks)}
    return jax.tree.map(lambda x: jnp.asarray(0.02 * x), tree), jax.tree.map(jnp.asarray, tree)


def many_leaves(blocks: int, width: int, rounds: int, compilations: int) -> Figures:
    """Measure the costs of many small parameters: tracing, compiling and a step.

    Each repetition starts with another library, so that none always compiles on a cold machine, or on a hot one.
    """
    params, grads = transformer(blocks, width)
    peers = jax_peers(clip=True)
    m.warm_up_jax()
    done: defaultdict[str, list[m.Phases]] = defaultdict(list)
    for number in range(compilations):
        for name in m.turns(peers, number):
            done[name].append(compilation(peers[name], params, grads))
    runs = {name: JaxRun(done[name][-1].compiled, peer.tx, params, grads) for name, peer in peers.items()}
    steps = m.interleaved(runs, rounds, WARMUP)
    check_alike(runs, rounds + WARMUP)

    times: dict[str, m.Times] = {}
    for phase in done[OPTAX][0].seconds:
        times[phase] = {name: [past.seconds[phase] for past in done[name]] for name in peers}
    times["step"] = steps
    figures = {name: costs(name, times) | sizes(done[name][-1]) for name in peers}
    show_costs(figures, list(times), blocks, params)
    return figures


def costs(name: str, times: Mapping[str, m.Times]) -> Figures:
    """Give the median seconds of each phase for one peer, and its ratios to optax and to gradtx."""
    return {
        phase: {
            "seconds": statistics.median(t[name]),
            "to optax": m.ratio(t, name, OPTAX),
            "to gradtx": m.ratio(t, name, FUSED),
        }
        for phase, t in times.items()
    }


def sizes(phases: m.Phases) -> Figures:
    """Give the sizes of a compiled program."""
    return {"equations": phases.equations, "expanded": phases.expanded, "temporary": phases.temporary}


def show_costs(figures: Figures, phases: Sequence[str], blocks: int, params: optax.Params) -> None:
    """Print the figures of `many_leaves`."""
    size = sum(p.size for p in jax.tree.leaves(params))
    m.table(
        f"(b) clip + AdamW, {12 * blocks:,} leaves, {size / 1e6:.1f} M parameters: ms (× optax).\n"
        "    Equations are counted twice: with each inner jaxpr counted once, and with every call expanded.",
        ["", *phases, "equations", "expanded", "temporary MB"],
        [
            [
                name,
                *(f"{1e3 * f[phase]['seconds']:,.1f} ({f[phase]['to optax']:.2f})" for phase in phases),
                f"{f['equations']:,}",
                f"{f['expanded']:,}",
                f"{f['temporary'] / 1e6:.2f}",
            ]
            for name, f in figures.items()
        ],
    )


def imports(rounds: int) -> Figures:
    """Measure the start of Python with the import of one package, with the garbage collector and without.

    JAX makes so many objects that the import that crosses the next threshold of the collector pays for a full
    collection. This collection takes at least half of the difference between gradtx and optax.
    """

    def start(code: str) -> Callable[[], object]:
        env = dict(os.environ)
        env.pop("PYTHONDONTWRITEBYTECODE", None)  # bytecode is cached, as for an installed package
        return lambda: subprocess.run([sys.executable, "-c", code], check=True, env=env)

    peers = {}
    for suffix, prefix in (("", ""), (", no gc", "import gc; gc.disable(); ")):
        for name in ("gradtx", "optax", "jax"):
            peers[name + suffix] = start(f"{prefix}import {name}")
    times = m.interleaved(peers, rounds, 1)
    figures = {
        name: {
            "seconds": statistics.median(t),
            "to optax": m.ratio(times, name, "optax, no gc" if "no gc" in name else "optax"),
        }
        for name, t in times.items()
    }
    rows = [[n, f"{1e3 * f['seconds']:,.0f}", f"{f['to optax']:.2f}"] for n, f in figures.items()]
    m.table("(c) python -c 'import …', with the garbage collector and without", ["", "ms", "× optax"], rows)
    return figures


def bars(figures: Figures) -> list[Figures]:
    """Compare the measured ratios with their upper bounds."""
    clipped, plain, tree = figures["clip + AdamW"][FUSED], figures["AdamW"][FUSED], figures["tree"][FUSED]
    around = figures["tree"][ONLY]
    rows = [
        ("clip + AdamW: step / optax", clipped["to optax"], 0.5),
        ("clip + AdamW: step / torch fused", clipped["to torch"], 1.2),
        ("clip + AdamW: temporary memory / gradients", clipped["temporary to gradients"], 0.01),
        ("AdamW: step / optax (1.0, and 5 % of noise)", plain["to optax"], 1.05),
        ("tree: trace + lower / optax", tree["trace + lower"]["to optax"], 0.33),
        ("tree: compile / optax", tree["compile"]["to optax"], 1.1),
        ("tree: trace + lower + compile / optax", tree["to the first step"]["to optax"], 0.9),
        ("tree: step / optax", tree["step"]["to optax"], 1.0),
        ("tree: only around every stage, trace + lower / without", around["trace + lower"]["to gradtx"], 1.15),
        ("tree: only around every stage, step / without", around["step"]["to gradtx"], 1.03),
        ("import / optax", figures["import"]["gradtx"]["to optax"], 1.1),
    ]
    return m.verdicts(rows)


def measure(quick: bool) -> Figures:
    size, rounds = (2**20, 2) if quick else (64 * 2**20, 15)
    figures = {
        "clip + AdamW": one_leaf(True, size, rounds),
        "AdamW": one_leaf(False, size, rounds),
        "tree": many_leaves(5, 16, 2, 1) if quick else many_leaves(100, 128, 31, 4),
        "import": imports(2 if quick else 9),
    }
    return figures | {"bars": bars(figures)}


if __name__ == "__main__":
    m.main(__doc__, measure)
