"""Gradient transformations for JAX that are data: printable, comparable, portable.

A transformation is a tuple of rules, each written for one array. `chain` concatenates transformations, gradtx's own
and optax's, and the result is an `optax.GradientTransformationExtraArgs`.
"""

from importlib.metadata import version as _version

# Namespaces
from gradtx import derivative_free as derivative_free
from gradtx import inputs as inputs
from gradtx import inspection as inspection
from gradtx import schedules as schedules

# Averages of the parameters
from gradtx.averaging import ema_params as ema_params
from gradtx.averaging import incremental_update as incremental_update
from gradtx.averaging import lookahead as lookahead
from gradtx.averaging import outer_step as outer_step
from gradtx.averaging import periodic_update as periodic_update
from gradtx.averaging import swa_params as swa_params

# Gradient → gradient
from gradtx.conditioning import adaptive_grad_clip as adaptive_grad_clip
from gradtx.conditioning import add_decayed_weights as add_decayed_weights
from gradtx.conditioning import add_noise as add_noise
from gradtx.conditioning import centralize as centralize
from gradtx.conditioning import clip as clip
from gradtx.conditioning import clip_by_global_norm as clip_by_global_norm
from gradtx.conditioning import clip_by_norm as clip_by_norm
from gradtx.conditioning import decay_weights as decay_weights
from gradtx.conditioning import global_norm as global_norm
from gradtx.conditioning import identity as identity
from gradtx.conditioning import layerwise_decay as layerwise_decay
from gradtx.conditioning import monitor as monitor
from gradtx.conditioning import scale as scale

# What a transformation is
from gradtx.core import State as State
from gradtx.core import Transformation as Transformation
from gradtx.core import chain as chain
from gradtx.core import matrices_only as matrices_only
from gradtx.core import named as named
from gradtx.core import per_group as per_group
from gradtx.core import tunable as tunable

# Looking inside
from gradtx.inspection import describe as describe

# Reading and changing a state
from gradtx.states import apply_gradients as apply_gradients
from gradtx.states import apply_updates as apply_updates
from gradtx.states import evaluation_params as evaluation_params
from gradtx.states import hyperparams as hyperparams
from gradtx.states import metrics as metrics
from gradtx.states import restore as restore
from gradtx.states import set_hyperparams as set_hyperparams

# Optimizers and their rules
from gradtx.techniques import adadelta as adadelta
from gradtx.techniques import adagrad as adagrad
from gradtx.techniques import adam as adam
from gradtx.techniques import adamax as adamax
from gradtx.techniques import adamw as adamw
from gradtx.techniques import asgd as asgd
from gradtx.techniques import ftrl as ftrl
from gradtx.techniques import lion as lion
from gradtx.techniques import lookahead_point as lookahead_point
from gradtx.techniques import nadam as nadam
from gradtx.techniques import radam as radam
from gradtx.techniques import rmsprop as rmsprop
from gradtx.techniques import rprop as rprop
from gradtx.techniques import scale_by_adadelta as scale_by_adadelta
from gradtx.techniques import scale_by_adam as scale_by_adam
from gradtx.techniques import scale_by_adamax as scale_by_adamax
from gradtx.techniques import scale_by_learning_rate as scale_by_learning_rate
from gradtx.techniques import scale_by_lion as scale_by_lion
from gradtx.techniques import scale_by_nadam as scale_by_nadam
from gradtx.techniques import scale_by_radam as scale_by_radam
from gradtx.techniques import scale_by_rms as scale_by_rms
from gradtx.techniques import scale_by_rss as scale_by_rss
from gradtx.techniques import scale_by_schedule as scale_by_schedule
from gradtx.techniques import sgd as sgd
from gradtx.techniques import trace as trace

# What a transformation sees
from gradtx.views import by_parts as by_parts
from gradtx.views import freeze as freeze
from gradtx.views import merge as merge
from gradtx.views import only as only
from gradtx.views import partition as partition
from gradtx.views import stacked as stacked
from gradtx.views import trainable as trainable

# Transformations made of others
from gradtx.wrappers import accumulate as accumulate
from gradtx.wrappers import accumulated_gradients as accumulated_gradients
from gradtx.wrappers import conditionally_mask as conditionally_mask
from gradtx.wrappers import rolling as rolling
from gradtx.wrappers import skip_nonfinite as skip_nonfinite
from gradtx.wrappers import switch as switch

__version__ = _version("gradtx")
