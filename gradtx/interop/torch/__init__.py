"""PyTorch's optimizers, schedulers and batch normalisation under its names, arguments and defaults: `torch.optim` and
`torch.nn` of version 2.13, without importing them.

A line such as `optim.SGD(model.parameters(), lr=0.1, momentum=0.9)` needs another import and nothing else. The first
argument is `params`, which decides nothing, since a transformation is given its parameters later; leave it out and name
the others. `lr` and every other number may also be a schedule or tunable. `foreach`, `fused`, `capturable` and
`differentiable` choose between implementations of one result, and are ignored.

A scheduler of `torch.optim.lr_scheduler` is a schedule, to be given as `lr`, of the step of the chain: what PyTorch's
has after as many calls of its `step`. `gradtx.schedules.per_epoch` makes it count epochs. Where PyTorch's takes the
optimizer, it takes the learning rate: `StepLR(0.1, step_size=30)`. `CyclicLR` and `OneCycleLR`, which have the rate
among their other arguments, and `SequentialLR`, whose schedulers have it, take nothing there:
`OneCycleLR(max_lr=0.1, total_steps=100)`. The momentum that the two cycle is their `momentum`. With `last_epoch=n` a
schedule goes on after its step n. `ReduceLROnPlateau` takes the rate first too, and follows the metrics that `update`
is given.
"""

from gradtx.interop.torch._adam import Adam as Adam
from gradtx.interop.torch._adam import Adamax as Adamax
from gradtx.interop.torch._adam import AdamW as AdamW
from gradtx.interop.torch._adam import NAdam as NAdam
from gradtx.interop.torch._adam import RAdam as RAdam
from gradtx.interop.torch._layers import BatchNorm1d as BatchNorm1d
from gradtx.interop.torch._layers import BatchNorm2d as BatchNorm2d
from gradtx.interop.torch._layers import BatchNorm3d as BatchNorm3d
from gradtx.interop.torch._plateau import ReduceLROnPlateau as ReduceLROnPlateau
from gradtx.interop.torch._schedulers import ConstantLR as ConstantLR
from gradtx.interop.torch._schedulers import CosineAnnealingLR as CosineAnnealingLR
from gradtx.interop.torch._schedulers import CosineAnnealingWarmRestarts as CosineAnnealingWarmRestarts
from gradtx.interop.torch._schedulers import CyclicLR as CyclicLR
from gradtx.interop.torch._schedulers import ExponentialLR as ExponentialLR
from gradtx.interop.torch._schedulers import LinearLR as LinearLR
from gradtx.interop.torch._schedulers import MultiStepLR as MultiStepLR
from gradtx.interop.torch._schedulers import OneCycleLR as OneCycleLR
from gradtx.interop.torch._schedulers import PolynomialLR as PolynomialLR
from gradtx.interop.torch._schedulers import SequentialLR as SequentialLR
from gradtx.interop.torch._schedulers import StepLR as StepLR
from gradtx.interop.torch._sgd import ASGD as ASGD
from gradtx.interop.torch._sgd import SGD as SGD
from gradtx.interop.torch._sgd import Adadelta as Adadelta
from gradtx.interop.torch._sgd import Adagrad as Adagrad
from gradtx.interop.torch._sgd import RMSprop as RMSprop
from gradtx.interop.torch._sgd import Rprop as Rprop
