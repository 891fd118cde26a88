"""Gradients from values alone, for any chain: `estimate(value_fn, params, step)` in the place of `value_and_grad`."""

from gradtx.derivative_free._ars import ars as ars
from gradtx.derivative_free._finite_differences import finite_differences as finite_differences
from gradtx.derivative_free._spsa import spsa as spsa
