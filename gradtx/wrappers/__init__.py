"""Transformations that are made of other transformations."""

from gradtx.wrappers._accumulate import accumulate as accumulate
from gradtx.wrappers._accumulated_gradients import accumulated_gradients as accumulated_gradients
from gradtx.wrappers._conditionally_mask import conditionally_mask as conditionally_mask
from gradtx.wrappers._skip_nonfinite import rolling as rolling
from gradtx.wrappers._skip_nonfinite import skip_nonfinite as skip_nonfinite
from gradtx.wrappers._switch import switch as switch
