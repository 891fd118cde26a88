"""The data side: feature scaling, batch normalisation, mini-batches."""

from gradtx.inputs._minibatches import Batch as Batch
from gradtx.inputs._minibatches import MiniBatchState as MiniBatchState
from gradtx.inputs._minibatches import minibatches as minibatches
