"""What a training step does with a transformation and its state: apply it, read it, change it."""

from gradtx.states._apply import apply_gradients as apply_gradients
from gradtx.states._apply import apply_updates as apply_updates
from gradtx.states._evaluation_params import evaluation_params as evaluation_params
from gradtx.states._hyperparams import hyperparams as hyperparams
from gradtx.states._hyperparams import set_hyperparams as set_hyperparams
from gradtx.states._metrics import metrics as metrics
from gradtx.states._restore import Restored as Restored
from gradtx.states._restore import restore as restore
