"""Step to value: schedules for any hyperparameter."""

from gradtx.schedules._combine import floor as floor
from gradtx.schedules._combine import join as join
from gradtx.schedules._combine import offset as offset
from gradtx.schedules._combine import per_epoch as per_epoch
from gradtx.schedules._combine import product as product
from gradtx.schedules._combine import scale as scale
from gradtx.schedules._cosine import cosine_decay as cosine_decay
from gradtx.schedules._cosine import warmup_cosine as warmup_cosine
from gradtx.schedules._curves import constant as constant
from gradtx.schedules._curves import exponential_decay as exponential_decay
from gradtx.schedules._curves import inverse_time_decay as inverse_time_decay
from gradtx.schedules._curves import linear as linear
from gradtx.schedules._cyclic import cyclic as cyclic
from gradtx.schedules._one_cycle import one_cycle as one_cycle
from gradtx.schedules._pieces import piecewise_constant as piecewise_constant
from gradtx.schedules._pieces import piecewise_interpolate as piecewise_interpolate
from gradtx.schedules._plateau import plateau as plateau
from gradtx.schedules._plateau import reduce_on_plateau as reduce_on_plateau
from gradtx.schedules._plateau import target as target
from gradtx.schedules._powers import inverse_sqrt as inverse_sqrt
from gradtx.schedules._powers import polynomial as polynomial
from gradtx.schedules._powers import power_decay as power_decay
from gradtx.schedules._restarts import cosine_restarts as cosine_restarts
from gradtx.schedules._schedule import Schedule as Schedule
from gradtx.schedules._warmup import warmup as warmup
from gradtx.schedules._warmup import warmup_stable_decay as warmup_stable_decay
