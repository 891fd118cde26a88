"""Functions that read the state of a chain, or change it."""

from gradtx.states._evaluation_params import evaluation_params as evaluation_params
from gradtx.states._hyperparams import hyperparams as hyperparams
from gradtx.states._hyperparams import set_hyperparams as set_hyperparams
