"""Transformations that are made of other transformations."""

from gradtx.wrappers._switch import switch as switch
