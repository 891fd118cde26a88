"""What a step of clip + AdamW costs against optax and PyTorch: time, memory, tracing, and the import.

python benchmarks/step.py [--quick] [--json FILE]
"""

import functools
import os
import statistics
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import _measure as m
import jax
import jax.numpy as jnp
import numpy as np
import optax
from _measure import Figures

import gradtx as gx

RATE, DECAY, MAX_NORM = 1e-3, 1e-2, 1.0
FUSED, UPDATE, OPTAX, TORCH, LIMIT = "gradtx", "gradtx, update", "optax", "torch fused", "scaling in place"
ONLY = "gradtx, only"  # every stage under a selector that selects all
PASSES = 4  # of the scaling in place: as much memory traffic as a step
WARMUP = 2


# Parameters and state come first and are returned in that order: JAX gives donated buffers to the results of the same
# shape one after the other, and where that turns parameters into moments, XLA has to copy all of them.
def fused(tx: Any, params: Any, state: Any, grads: Any) -> Any:
    return gx.apply_gradients(tx, grads, state, params)


def separate(tx: Any, params: Any, state: Any, grads: Any) -> Any:
    updates, state = tx.update(grads, state, params)
    return optax.apply_updates(params, updates), state


def jax_peers(clip: bool) -> dict[str, tuple[Any, Callable[..., Any]]]:
    """Name → (transformation, step)."""
    ours, theirs = gx.adamw(RATE, weight_decay=DECAY), optax.adamw(RATE, weight_decay=DECAY)
    if clip:
        ours = gx.chain(gx.clip_by_global_norm(MAX_NORM), ours)
        theirs = optax.chain(optax.clip_by_global_norm(MAX_NORM), theirs)
    return {FUSED: (ours, fused), UPDATE: (ours, separate), ONLY: (only(ours), fused), OPTAX: (theirs, separate)}


def only(tx: Any) -> Any:
    """Each stage under a selector of its own."""
    return gx.chain(*(gx.only("*", gx.Transformation((stage,))) for stage in tx._stages))


def compilation(tx: Any, step: Callable[..., Any], params: Any, grads: Any) -> m.Phases:
    return m.phases(functools.partial(step, tx), params, tx.init(params), grads, donate=(0, 1))


class JaxRun:
    """A peer's own parameters and state, stepped in place."""

    def __init__(self, compiled: Any, tx: Any, params: Any, grads: Any):
        self.compiled, self.grads = compiled, grads
        self.params = jax.tree.map(lambda p: jnp.array(p, copy=True), params)  # the step takes it over
        self.state = tx.init(params)

    def __call__(self) -> Any:
        self.params, self.state = self.compiled(self.params, self.state, self.grads)
        return self.params, self.state

    def sample(self) -> np.ndarray:
        return np.asarray(jax.tree.leaves(self.params)[0]).ravel()[:10_000]


class TorchRun:
    """PyTorch's fused AdamW. Its clipping scales the gradients in place, hence again and again: their norm is then 1,
    and each step reads and writes all of them as the first did.
    """

    def __init__(self, clip: bool, params: Any, grads: Any):
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
    """Reads and writes one array in place: as fast as this machine moves memory, with the same compiler."""

    def __init__(self, x: jax.Array):
        self.scale = jax.jit(lambda x: x * -1.0, donate_argnums=0)
        self.x = jnp.array(x, copy=True)

    def __call__(self) -> jax.Array:
        for _ in range(PASSES):
            self.x = self.scale(self.x)
        return self.x


def check_alike(runs: dict[str, Any], steps: int) -> None:
    """A peer that does other work is no peer."""
    for name, run in runs.items():
        wanted, tolerance = runs[OPTAX].sample(), 0.01 * RATE * steps
        np.testing.assert_allclose(run.sample(), wanted, rtol=0, atol=tolerance, err_msg=name)


def one_leaf(clip: bool, size: int, rounds: int) -> Figures:
    """One large parameter: nothing but memory traffic counts."""
    grads, params = jax.random.normal(jax.random.key(0), (2, size), jnp.float32) * jnp.array([[1.0], [0.02]])
    runs: dict[str, Any] = {}
    temporary: dict[str, int] = {}
    for name, (tx, step) in jax_peers(clip).items():
        done = compilation(tx, step, params, grads)
        temporary[name] = done.temporary
        runs[name] = JaxRun(done.compiled, tx, params, grads)
    if m.HAS_TORCH:
        runs[TORCH] = TorchRun(clip, params, grads)
    times = m.interleaved(runs | {LIMIT: Scaling(grads)}, rounds, WARMUP)
    check_alike(runs, rounds + WARMUP)

    array = 4 * size
    step_bytes, scaling_bytes = (8 if clip else 7) * array, 2 * PASSES * array
    figures = {}
    for name in times:
        moved, seconds = scaling_bytes if name == LIMIT else step_bytes, statistics.median(times[name])
        figures[name] = {
            "seconds": seconds,
            "to optax": m.ratio(times, name, OPTAX),
            "to torch": m.ratio(times, name, TORCH),
            "bytes per second": moved / seconds,
            # Round by round as well: the limit swings with whatever else the machine does.
            "of the limit": m.ratio(times, LIMIT, name) * moved / scaling_bytes,
            "temporary": temporary.get(name),
            "temporary to gradients": temporary[name] / array if name in temporary else None,
        }
    needs = "read g, p, m, v, write p, m, v" + (", read g before that for the norm" if clip else "")
    m.table(
        f"(a) {'clip + ' * clip}AdamW, {size / 2**20:g} Mi float32 parameters in one leaf.\n"
        f"    A step must {needs}: {step_bytes / 1e9:.2f} GB. The limit: an array scaled in place.",
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


def transformer(blocks: int, width: int) -> tuple[Any, Any]:
    """(parameters, gradients) of `blocks` blocks of 12 leaves, of 5 shapes."""
    d, h = width, 4 * width
    shapes: dict[str, tuple[int, ...]] = dict.fromkeys(("wq", "wk", "wv", "wo"), (d, d))
    shapes |= {"mlp_in": (d, h), "mlp_in_bias": (h,), "mlp_out": (h, d), "mlp_out_bias": (d,)}
    shapes |= dict.fromkeys(("norm1_scale", "norm1_bias", "norm2_scale", "norm2_bias"), (d,))
    draw = np.random.default_rng(0).standard_normal
    tree = {f"block{i}": {name: draw(s, np.float32) for name, s in shapes.items()} for i in range(blocks)}
    return jax.tree.map(lambda x: jnp.asarray(0.02 * x), tree), jax.tree.map(jnp.asarray, tree)


def many_leaves(blocks: int, width: int, rounds: int, compilations: int) -> Figures:
    """Many small parameters: what each costs in tracing, compiling and at run time."""
    params, grads = transformer(blocks, width)
    peers = jax_peers(clip=True)
    m.warm_up_jax()
    done: dict[str, list[m.Phases]] = {name: [] for name in peers}
    for _ in range(compilations):
        for name, peer in peers.items():
            done[name].append(compilation(*peer, params, grads))
    runs = {name: JaxRun(done[name][-1].compiled, tx, params, grads) for name, (tx, _) in peers.items()}
    steps = m.interleaved(runs, rounds, WARMUP)
    check_alike(runs, rounds + WARMUP)

    columns = list(done[OPTAX][0].seconds)
    times = {c: {name: [p.seconds[c] for p in past] for name, past in done.items()} for c in columns}
    times["step"] = steps
    figures: Figures = {
        name: {
            c: {
                "seconds": statistics.median(t[name]),
                "to optax": m.ratio(t, name, OPTAX),
                "to gradtx": m.ratio(t, name, FUSED),
            }
            for c, t in times.items()
        }
        | {"equations": past[-1].equations, "expanded": past[-1].expanded, "temporary": past[-1].temporary}
        for name, past in done.items()
    }
    size = sum(p.size for p in jax.tree.leaves(params))
    m.table(
        f"(b) clip + AdamW, {12 * blocks:,} leaves, {size / 1e6:.1f} M parameters: ms (× optax).\n"
        "    Equations: with each inner jaxpr counted once, and with every call expanded.",
        ["", *times, "equations", "expanded", "temporary MB"],
        [
            [
                name,
                *(f"{1e3 * f[c]['seconds']:,.1f} ({f[c]['to optax']:.2f})" for c in times),
                f"{f['equations']:,}",
                f"{f['expanded']:,}",
                f"{f['temporary'] / 1e6:.2f}",
            ]
            for name, f in figures.items()
        ],
    )
    return figures


def imports(rounds: int) -> Figures:
    """Starting Python and importing one package.

    JAX leaves so many objects behind that whichever import crosses the next threshold pays for a full collection,
    half of what gradtx takes on top of optax or more. Hence also without the collector.
    """

    def start(code: str) -> Callable[[], Any]:
        # Bytecode is cached, as after any installation.
        env = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
        return lambda: subprocess.run([sys.executable, "-c", code], check=True, env=env)

    names = ("gradtx", "optax", "jax")
    codes = {name: f"import {name}" for name in names}
    codes |= {f"{name}, no gc": f"import gc; gc.disable(); import {name}" for name in names}
    times = m.interleaved({name: start(code) for name, code in codes.items()}, rounds, 1)
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
    """What was measured against what it has to be."""
    clipped, alone, tree = figures["clip + AdamW"][FUSED], figures["AdamW"][FUSED], figures["tree"][FUSED]
    around = figures["tree"][ONLY]
    rows = [
        ("clip + AdamW: step / optax", clipped["to optax"], 0.5),
        ("clip + AdamW: step / torch fused", clipped["to torch"], 1.2),
        ("clip + AdamW: temporary memory / gradients", clipped["temporary to gradients"], 0.01),
        ("AdamW: step / optax (1.0, and 5 % of noise)", alone["to optax"], 1.05),
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
        "tree": many_leaves(5, 16, 2, 1) if quick else many_leaves(100, 128, 31, 3),
        "import": imports(2 if quick else 9),
    }
    return figures | {"bars": bars(figures)}


if __name__ == "__main__":
    m.main(__doc__, measure)
