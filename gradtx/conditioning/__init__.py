"""Gradient to gradient: clipping and weight decay."""

from gradtx.conditioning._clipping import clip as clip
from gradtx.conditioning._clipping import clip_by_global_norm as clip_by_global_norm
from gradtx.conditioning._weight_decay import add_decayed_weights as add_decayed_weights
from gradtx.conditioning._weight_decay import decay_weights as decay_weights
