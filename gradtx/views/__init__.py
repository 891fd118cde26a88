"""The parameters that a transformation sees: selected ones, layers of a stack, real parts, groups, all but frozen ones.

A view changes the stages of a transformation and never its techniques.
"""

from gradtx.views._freeze import freeze as freeze
from gradtx.views._freeze import merge as merge
from gradtx.views._freeze import trainable as trainable
from gradtx.views._partition import partition as partition
from gradtx.views._views import by_parts as by_parts
from gradtx.views._views import only as only
from gradtx.views._views import stacked as stacked
