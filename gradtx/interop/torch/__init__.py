"""PyTorch's optimizers, schedulers and batch normalisation, under PyTorch's names, arguments and defaults.

The names are those of `torch.optim`, `torch.optim.lr_scheduler` and `torch.nn` of version 2.13. PyTorch is not
imported. A line such as `optim.SGD(model.parameters(), lr=0.1, momentum=0.9)` needs another import and nothing else.

All optimizers take these arguments:

- `params`, the first one, decides nothing, because a transformation is given its parameters later. Leave it out, and
  name the other arguments. Parameter groups are refused.
- `lr` and every other number may also be a schedule or tunable.
- `maximize=True` takes -g in the place of the gradient g.
- `foreach`, `fused`, `capturable` and `differentiable` choose between implementations of one result. They are accepted
  and ignored, because code for PyTorch is full of them.

An argument that PyTorch ignores because of another argument is an error here, such as the `dampening` of `SGD` without
`momentum`.

A scheduler becomes a schedule, to be given as `lr`. The schedule is a function of the step of the chain: its value at
step t is that of PyTorch's scheduler after t calls of `step`. `gradtx.schedules.per_epoch` makes a schedule count
epochs. PyTorch's schedulers take the optimizer first. Here the learning rate takes the place of the optimizer:
`StepLR(0.1, step_size=30)`. `CyclicLR` and `OneCycleLR` take nothing there, because the learning rate is among their
other arguments: `OneCycleLR(max_lr=0.1, total_steps=100)`. `SequentialLR` takes nothing there either, because its
schedulers already have a learning rate. `CyclicLR` and `OneCycleLR` also cycle the momentum: pass their `.momentum` to
the optimizer. With `last_epoch=n` a schedule goes on after step n. `ReduceLROnPlateau` takes the learning rate first
too, and follows the metrics that `update` is given.
"""

from gradtx.interop.torch._adam import Adam as Adam
from gradtx.interop.torch._adam import Adamax as Adamax
from gradtx.interop.torch._adam import AdamW as AdamW
from gradtx.interop.torch._adam import NAdam as NAdam
from gradtx.interop.torch._adam import RAdam as RAdam
from gradtx.interop.torch._cycles import CyclicLR as CyclicLR
from gradtx.interop.torch._cycles import OneCycleLR as OneCycleLR
from gradtx.interop.torch._layers import BatchNorm1d as BatchNorm1d
from gradtx.interop.torch._layers import BatchNorm2d as BatchNorm2d
from gradtx.interop.torch._layers import BatchNorm3d as BatchNorm3d
from gradtx.interop.torch._plateau import ReduceLROnPlateau as ReduceLROnPlateau
from gradtx.interop.torch._schedulers import ConstantLR as ConstantLR
from gradtx.interop.torch._schedulers import CosineAnnealingLR as CosineAnnealingLR
from gradtx.interop.torch._schedulers import CosineAnnealingWarmRestarts as CosineAnnealingWarmRestarts
from gradtx.interop.torch._schedulers import ExponentialLR as ExponentialLR
from gradtx.interop.torch._schedulers import LinearLR as LinearLR
from gradtx.interop.torch._schedulers import MultiStepLR as MultiStepLR
from gradtx.interop.torch._schedulers import PolynomialLR as PolynomialLR
from gradtx.interop.torch._schedulers import SequentialLR as SequentialLR
from gradtx.interop.torch._schedulers import StepLR as StepLR
from gradtx.interop.torch._sgd import ASGD as ASGD
from gradtx.interop.torch._sgd import SGD as SGD
from gradtx.interop.torch._sgd import Adadelta as Adadelta
from gradtx.interop.torch._sgd import Adagrad as Adagrad
from gradtx.interop.torch._sgd import RMSprop as RMSprop
from gradtx.interop.torch._sgd import Rprop as Rprop
