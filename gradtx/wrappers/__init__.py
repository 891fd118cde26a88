"""Transformations made of others."""

from gradtx.wrappers._switch import switch as switch
