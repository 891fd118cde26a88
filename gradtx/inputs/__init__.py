"""The data side: feature scaling, batch normalisation, mini-batches."""

from gradtx.inputs._batch import Batch as Batch
from gradtx.inputs._batch import MiniBatchState as MiniBatchState
from gradtx.inputs._batch_norm import batch_norm as batch_norm
from gradtx.inputs._batch_renorm import batch_renorm as batch_renorm
from gradtx.inputs._fit import fit as fit
from gradtx.inputs._fit import inverse as inverse
from gradtx.inputs._fit import parameters as parameters
from gradtx.inputs._merge import merge as merge
from gradtx.inputs._minibatches import minibatches as minibatches
from gradtx.inputs._ranges import max_abs as max_abs
from gradtx.inputs._ranges import min_max as min_max
from gradtx.inputs._refresh import refresh as refresh
from gradtx.inputs._robust import robust as robust
from gradtx.inputs._rule import InputAt as InputAt
from gradtx.inputs._rule import InputRule as InputRule
from gradtx.inputs._standardize import standardize as standardize
