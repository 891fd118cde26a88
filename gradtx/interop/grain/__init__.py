"""Grain's datasets with inputs scaled on the way: by statistics that stay, or that learn from what passes through."""

from gradtx.interop.grain._datasets import apply as apply
from gradtx.interop.grain._datasets import learn as learn
from gradtx.interop.grain._datasets import learned as learned
