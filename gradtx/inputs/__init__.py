"""The data side: feature scaling, batch normalisation, mini-batches."""

from gradtx.inputs._batch import Batch as Batch
from gradtx.inputs._batch import MiniBatchState as MiniBatchState
from gradtx.inputs._minibatches import minibatches as minibatches
