"""Grain's datasets with scaled inputs: by statistics that stay fixed, or by statistics that learn from each element."""

from gradtx.interop.grain._datasets import apply as apply
from gradtx.interop.grain._datasets import learn as learn
from gradtx.interop.grain._datasets import learned as learned
