"""What a step of clip + AdamW costs against optax and PyTorch: time, memory, tracing, and the import.

python benchmarks/step.py [--quick] [--json FILE]
"""

import argparse
import functools
import json
import math
import os
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import _measure as m
import jax
import jax.numpy as jnp
import numpy as np
import optax

import gradtx as gx

RATE, DECAY, MAX_NORM = 1e-3, 1e-2, 1.0
FUSED, UPDATE, OPTAX, TORCH, LIMIT = "gradtx", "gradtx, update", "optax", "torch fused", "scaling in place"
Figures = dict[str, Any]


# Steps take (params, state) first and return them in that order: JAX gives donated buffers to the outputs of the same
# shape in order of appearance, and where that crosses, parameters into moments, XLA copies all of them.
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
    return {FUSED: (ours, fused), UPDATE: (ours, separate), OPTAX: (theirs, separate)}


class JaxRun:
    """A peer's own parameters and state, stepped in place."""

    def __init__(self, compiled: Any, tx: Any, grads: Any, params: Any):
        self.compiled, self.grads = compiled, grads
        self.params = jax.tree.map(lambda p: jnp.array(p, copy=True), params)  # the step takes it over
        self.state = tx.init(params)

    def __call__(self) -> Any:
        self.params, self.state = self.compiled(self.params, self.state, self.grads)
        return self.params, self.state

    def sample(self) -> np.ndarray:
        return np.asarray(jax.tree.leaves(self.params)[0]).ravel()[:10_000]


class TorchRun:
    """PyTorch's fused AdamW. Its clipping scales the gradients in place, hence again and again: the norm is then 1,
    and each step reads and writes all of them as the first did.
    """

    def __init__(self, clip: bool, grads: Any, params: Any):
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
        self.x = self.scale(self.x)
        return self.x


def one_leaf(clip: bool, size: int, rounds: int) -> Figures:
    """One large parameter: nothing but memory traffic counts."""
    grads, params = jax.random.normal(jax.random.key(0), (2, size), jnp.float32) * jnp.array([[1.0], [0.02]])
    runs: dict[str, Any] = {}
    temporary: dict[str, int] = {}
    for name, (tx, step) in jax_peers(clip).items():
        compilation = m.phases(functools.partial(step, tx), params, tx.init(params), grads, donate=(0, 1))
        temporary[name] = compilation.temporary
        runs[name] = JaxRun(compilation.compiled, tx, grads, params)
    if m.HAS_TORCH:
        runs[TORCH] = TorchRun(clip, grads, params)
    times = m.interleaved(runs | {LIMIT: Scaling(grads)}, rounds)
    steps = rounds + 2
    for name, run in runs.items():  # a peer that does other work is no peer
        np.testing.assert_allclose(run.sample(), runs[OPTAX].sample(), rtol=0, atol=0.01 * RATE * steps, err_msg=name)

    moved = (8 if clip else 7) * 4 * size
    limit = 2 * 4 * size / statistics.median(times[LIMIT])
    figures = {}
    for name in times:
        bytes_ = 2 * 4 * size if name == LIMIT else moved
        figures[name] = {
            "seconds": (seconds := statistics.median(times[name])),
            "to optax": m.ratio(times, name, OPTAX),
            "to torch": m.ratio(times, name, TORCH),
            "bytes per second": bytes_ / seconds,
            # Round by round again: the limit swings with what else the machine does.
            "of the limit": m.ratio(times, LIMIT, name) * bytes_ / (2 * 4 * size),
            "temporary bytes": temporary.get(name),
            "temporary to gradients": None if name not in temporary else temporary[name] / (4 * size),
        }
    what = "reads g, p, m, v, writes p, m, v" + (", and reads g before that for the norm" if clip else "")
    m.table(
        f"(a) {'clip + ' * clip}AdamW, {size / 2**20:g} Mi float32 parameters in one leaf. A step {what}: "
        f"{moved / 1e9:.2f} GB; limit {limit / 1e9:.1f} GB/s",
        ["", "step ms", "× optax", "× torch", "GB/s", "of the limit", "temporary MB", "of the gradients"],
        [
            [name, f"{1e3 * f['seconds']:.2f}", m.number(f["to optax"]), m.number(f["to torch"])]
            + [f"{f['bytes per second'] / 1e9:.1f}", f"{f['of the limit']:.0%}"]
            + [m.number(f["temporary bytes"] and f["temporary bytes"] / 1e6, ".3f")]
            + [m.number(f["temporary to gradients"], ".1%")]
            for name, f in figures.items()
        ],
    )
    return figures


def transformer(blocks: int, width: int) -> tuple[Any, Any]:
    """(gradients, parameters) of `blocks` blocks of 12 leaves, of 5 shapes."""
    d, h = width, 4 * width
    shapes = dict.fromkeys(("wq", "wk", "wv", "wo"), (d, d))
    shapes |= {"mlp_in": (d, h), "mlp_in_bias": (h,), "mlp_out": (h, d), "mlp_out_bias": (d,)}
    shapes |= dict.fromkeys(("norm1_scale", "norm1_bias", "norm2_scale", "norm2_bias"), (d,))
    draw = np.random.default_rng(0).standard_normal
    grads, params = (
        {
            f"block{i}": {name: jnp.asarray(scale * draw(s, np.float32)) for name, s in shapes.items()}
            for i in range(blocks)
        }
        for scale in (1.0, 0.02)
    )
    return grads, params


def many_leaves(blocks: int, width: int, rounds: int, compilations: int) -> Figures:
    """Many small parameters: what each costs in tracing, compiling and at run time."""
    grads, params = transformer(blocks, width)
    size = sum(map(math.prod, (p.shape for p in jax.tree.leaves(params))))
    peers = jax_peers(clip=True)
    m.warm_up_jax()
    done: dict[str, list[m.Phases]] = {name: [] for name in peers}
    for _ in range(compilations):
        for name, (tx, step) in peers.items():
            args = params, tx.init(params), grads
            done[name].append(m.phases(functools.partial(step, tx), *args, donate=(0, 1)))
    phases = {
        name: {phase: [p.seconds[phase] for p in past] for phase in past[0].seconds} for name, past in done.items()
    }
    runs = {name: JaxRun(past[-1].compiled, peers[name][0], grads, params) for name, past in done.items()}
    times = m.interleaved(runs, rounds)
    figures = {}
    for name, past in done.items():
        seconds = phases[name] | {"step": times[name]}
        figures[name] = {phase: {"seconds": statistics.median(s)} for phase, s in seconds.items()}
        for phase in phases[name]:
            by_peer = {peer: phases[peer][phase] for peer in phases}
            figures[name][phase]["to optax"] = m.ratio(by_peer, name, OPTAX)
        figures[name]["step"]["to optax"] = m.ratio(times, name, OPTAX)
        last = past[-1]
        figures[name] |= {
            "equations": last.equations,
            "equations expanded": last.expanded,
            "temporary bytes": last.temporary,
        }
    columns = ("trace", "lower", "trace+lower", "compile", "step")
    m.table(
        f"(b) clip + AdamW, {12 * blocks:,} leaves, {size / 1e6:.1f} M parameters; ms (× optax)",
        ["", *columns, "equations", "expanded", "temporary MB"],
        [
            [name, *(f"{1e3 * f[c]['seconds']:,.1f} ({f[c]['to optax']:.2f})" for c in columns)]
            + [f"{f['equations']:,}", f"{f['equations expanded']:,}", f"{f['temporary bytes'] / 1e6:.2f}"]
            for name, f in figures.items()
        ],
    )
    return figures


def imports(rounds: int) -> Figures:
    """Starting Python and importing one package."""

    def start(package: str) -> Callable[[], Any]:
        return lambda: subprocess.run([sys.executable, "-c", f"import {package}"], check=True)

    times = m.interleaved({name: start(name) for name in ("gradtx", "optax", "jax")}, rounds, warmup=1)
    figures = {
        name: {"seconds": statistics.median(t), "to optax": m.ratio(times, name, "optax")} for name, t in times.items()
    }
    rows = [[n, f"{1e3 * f['seconds']:,.0f}", f"{f['to optax']:.2f}"] for n, f in figures.items()]
    m.table("(c) python -c 'import …'", ["", "ms", "× optax"], rows)
    return figures


def bars(figures: Figures) -> list[Figures]:
    """What was measured against what it has to be."""
    clipped, alone, tree = figures["clip + AdamW"][FUSED], figures["AdamW"][FUSED], figures["tree"][FUSED]
    rows = [
        ("clip + AdamW: step / optax", clipped["to optax"], 0.65),
        ("clip + AdamW: step / torch fused", clipped["to torch"], 1.2),
        ("clip + AdamW: temporary memory / gradients", clipped["temporary to gradients"], 0.01),
        ("AdamW: step / optax, 5 % of noise allowed", alone["to optax"], 1.05),
        ("tree: trace + lower / optax", tree["trace+lower"]["to optax"], 0.35),
        ("tree: step / optax", tree["step"]["to optax"], 1.1),
        ("import / optax", figures["import"]["gradtx"]["to optax"], 1.1),
    ]
    found = [
        {"bar": what, "measured": value, "at most": bar, "reached": None if value is None else value <= bar}
        for what, value, bar in rows
    ]
    verdict = {True: "yes", False: "NO", None: "not measured"}
    m.table(
        "Bars",
        ["", "measured", "at most", "reached"],
        [[b["bar"], m.number(b["measured"], ".3f"), f"{b['at most']:g}", verdict[b["reached"]]] for b in found],
    )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small sizes: shows that it works, not how fast")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    args = parser.parse_args()
    quick = args.quick
    print(m.machine(), flush=True)
    size, rounds = (2**20, 2) if quick else (64 * 2**20, 15)
    figures = {
        "machine": m.machine(),
        "clip + AdamW": one_leaf(True, size, rounds),
        "AdamW": one_leaf(False, size, rounds),
        "tree": many_leaves(5, 16, 2, 1) if quick else many_leaves(100, 128, 31, 3),
        "import": imports(2 if quick else 9),
    }
    figures["bars"] = bars(figures)
    if args.json:
        args.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
