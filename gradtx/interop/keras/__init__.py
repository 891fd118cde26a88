"""Keras's optimizers, schedules and batch normalisation, under Keras's names, arguments and defaults.

The names are those of `keras.optimizers`, `keras.optimizers.schedules` and `keras.layers` of version 3.15. Keras is not
imported. A line such as `optimizers.SGD(learning_rate=0.1, momentum=0.9)` needs another import and nothing else.

All optimizers take these arguments, after their other arguments:

- `weight_decay`, a number ≥ 0: -learning_rate·weight_decay·θ joins the update. None for no decay.
- `clipnorm`, a number ≥ 0, bounds the norm of each gradient; `global_clipnorm` bounds the norm of all gradients
  together; `clipvalue` bounds each element. One of the three at most. Keras takes 0 for no bound.
- `learning_rate` and every other number may also be a schedule, also one of Keras's here, or tunable.
- `name` and `jit_compile` change no result. They are accepted and ignored, because code for Keras is full of them.
- `decay` is accepted with a warning and ignored, as Keras does: much code was written for versions that had it.
- `use_ema`, `loss_scale_factor` and `gradient_accumulation_steps` would change the result, and are refused.

An argument that Keras ignores because of another argument is an error here: the `nesterov` of `SGD` without `momentum`,
`ema_momentum` and `ema_overwrite_frequency` without `use_ema`, the `warmup_steps` of `CosineDecay` without
`warmup_target`, and the `renorm_clipping` and `renorm_momentum` of `BatchNormalization` without `renorm`.
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
