"""Keras's optimizers, schedules and batch normalisation under its names, arguments and defaults: `keras.optimizers` and
`keras.layers` of version 3.15, without importing them.

A line such as `optimizers.SGD(learning_rate=0.1, momentum=0.9)` needs another import and nothing else. All take, after
arguments of their own, `weight_decay`, which is decoupled, and one of `clipnorm`, of each parameter, `global_clipnorm`
and `clipvalue`. `learning_rate` and every other number may also be a schedule (also one of Keras's) or tunable. `name`
and `jit_compile` change no result, and are ignored; `use_ema`, `loss_scale_factor` and `gradient_accumulation_steps`
would, and are refused.

Those of `keras.optimizers.schedules` are here too, to be given as `learning_rate`.
"""

from gradtx.interop.keras._layers import BatchNormalization as BatchNormalization
from gradtx.interop.keras._optimizers import SGD as SGD
from gradtx.interop.keras._optimizers import Adadelta as Adadelta
from gradtx.interop.keras._optimizers import Adagrad as Adagrad
from gradtx.interop.keras._optimizers import Adam as Adam
from gradtx.interop.keras._optimizers import Adamax as Adamax
from gradtx.interop.keras._optimizers import AdamW as AdamW
from gradtx.interop.keras._optimizers import Ftrl as Ftrl
from gradtx.interop.keras._optimizers import Lion as Lion
from gradtx.interop.keras._optimizers import Nadam as Nadam
from gradtx.interop.keras._optimizers import RMSprop as RMSprop
from gradtx.interop.keras._schedules import CosineDecay as CosineDecay
from gradtx.interop.keras._schedules import CosineDecayRestarts as CosineDecayRestarts
from gradtx.interop.keras._schedules import ExponentialDecay as ExponentialDecay
from gradtx.interop.keras._schedules import InverseTimeDecay as InverseTimeDecay
from gradtx.interop.keras._schedules import PiecewiseConstantDecay as PiecewiseConstantDecay
from gradtx.interop.keras._schedules import PolynomialDecay as PolynomialDecay
