"""Optimizers and their rules, one paper a file."""

from gradtx.techniques._adadelta import adadelta as adadelta
from gradtx.techniques._adadelta import scale_by_adadelta as scale_by_adadelta
from gradtx.techniques._adagrad import adagrad as adagrad
from gradtx.techniques._adagrad import scale_by_rss as scale_by_rss
from gradtx.techniques._adam import adam as adam
from gradtx.techniques._adam import adamw as adamw
from gradtx.techniques._adam import scale_by_adam as scale_by_adam
from gradtx.techniques._adamax import adamax as adamax
from gradtx.techniques._adamax import scale_by_adamax as scale_by_adamax
from gradtx.techniques._learning_rate import scale_by_learning_rate as scale_by_learning_rate
from gradtx.techniques._learning_rate import scale_by_schedule as scale_by_schedule
from gradtx.techniques._lion import lion as lion
from gradtx.techniques._lion import scale_by_lion as scale_by_lion
from gradtx.techniques._rmsprop import rmsprop as rmsprop
from gradtx.techniques._rmsprop import scale_by_rms as scale_by_rms
from gradtx.techniques._sgd import sgd as sgd
from gradtx.techniques._sgd import trace as trace
