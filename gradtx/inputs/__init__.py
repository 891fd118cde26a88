"""The data side: feature scaling, batch normalisation, mini-batches."""

from gradtx.inputs._batch_norm import batch_norm as batch_norm
from gradtx.inputs._batch_renorm import batch_renorm as batch_renorm
from gradtx.inputs._functions import parameters as parameters
from gradtx.inputs._merge import merge as merge
from gradtx.inputs._refresh import refresh as refresh
