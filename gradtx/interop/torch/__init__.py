"""PyTorch's optimizers under its names, arguments and defaults: `torch.optim` of version 2.13, without importing it.

A line such as `optim.SGD(model.parameters(), lr=0.1, momentum=0.9)` needs another import and nothing else. The first
argument is `params`, which decides nothing, since a transformation is given its parameters later; leave it out and name
the others. `lr` and every other number may also be a schedule or tunable. `foreach`, `fused`, `capturable` and
`differentiable` choose between implementations of one result, and are ignored.
"""

from gradtx.interop.torch._adam import Adam as Adam
from gradtx.interop.torch._adam import Adamax as Adamax
from gradtx.interop.torch._adam import AdamW as AdamW
from gradtx.interop.torch._adam import NAdam as NAdam
from gradtx.interop.torch._adam import RAdam as RAdam
from gradtx.interop.torch._plateau import ReduceLROnPlateau as ReduceLROnPlateau
from gradtx.interop.torch._sgd import ASGD as ASGD
from gradtx.interop.torch._sgd import SGD as SGD
from gradtx.interop.torch._sgd import Adadelta as Adadelta
from gradtx.interop.torch._sgd import Adagrad as Adagrad
from gradtx.interop.torch._sgd import RMSprop as RMSprop
from gradtx.interop.torch._sgd import Rprop as Rprop
