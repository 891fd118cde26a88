"""Gradient to gradient: clipping, centralisation, noise, weight decay and layer-wise decay."""

from gradtx.conditioning._adaptive_clipping import adaptive_grad_clip as adaptive_grad_clip
from gradtx.conditioning._centralization import centralize as centralize
from gradtx.conditioning._clipping import clip as clip
from gradtx.conditioning._clipping import clip_by_global_norm as clip_by_global_norm
from gradtx.conditioning._clipping import clip_by_norm as clip_by_norm
from gradtx.conditioning._global_norm import global_norm as global_norm
from gradtx.conditioning._layerwise_decay import layerwise_decay as layerwise_decay
from gradtx.conditioning._monitor import monitor as monitor
from gradtx.conditioning._noise import add_noise as add_noise
from gradtx.conditioning._norms import scaled_norm as scaled_norm
from gradtx.conditioning._scale import identity as identity
from gradtx.conditioning._scale import scale as scale
from gradtx.conditioning._weight_decay import add_decayed_weights as add_decayed_weights
from gradtx.conditioning._weight_decay import decay_weights as decay_weights
