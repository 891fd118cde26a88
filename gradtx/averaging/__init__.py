"""Averages of the parameters, for evaluation and as targets, and outer steps on them."""

from gradtx.averaging._ema_params import ema_params as ema_params
from gradtx.averaging._outer_step import lookahead as lookahead
from gradtx.averaging._outer_step import outer_step as outer_step
from gradtx.averaging._swa_params import swa_params as swa_params
from gradtx.averaging._targets import incremental_update as incremental_update
from gradtx.averaging._targets import periodic_update as periodic_update
