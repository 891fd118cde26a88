"""A gradient transformation as data, and the interpreter that runs it.

The pieces compose like this:

- A `Rule` is a technique for one array. Its fields are the hyperparameters, `slots` declares the arrays that it keeps
  per parameter, and `update` reads like the paper. A `TreeStage` is a technique for whole trees: a wrapper around
  other transformations, or a transformation of optax.
- A `Stage` is a technique with a name and the parameters that it sees. `only`, `stacked` and `by_parts` change the
  stage, never the rule.
- A `Transformation` is a tuple of stages. `chain` concatenates these tuples, so chains are flat.
- `Lift` is the interpreter of a transformation. It cuts the stages into segments: before each rule that measures all
  gradients, and around each tree stage.
- The rules of a segment become one compiled function per kind of array (shape, dtype, and rules that see the array).
  The function computes in float32 or wider, and rounds once at the end.
- A `State` has one counter, the hyperparameters that live in the state, and the slots: stage name → slot name → a tree
  like the parameters.

`init` makes the state from the parameters. `update` checks its arguments, resolves the hyperparameters of the step,
and runs segment after segment. `_rule.py` and `_tree_stage.py` are for authors of techniques. `_stage.py` is about the
parameters that a technique sees. `_lift.py`, `_step.py` and `_leaf.py` run the stages.
"""

from gradtx._tools import Bound as Bound
from gradtx._tools import Decay as Decay
from gradtx._tools import Fraction as Fraction
from gradtx._tools import Interval as Interval
from gradtx._tools import Key as Key
from gradtx._tools import LearningRate as LearningRate
from gradtx._tools import Mask as Mask
from gradtx._tools import Name as Name
from gradtx._tools import NonNegative as NonNegative
from gradtx._tools import PerGroup as PerGroup
from gradtx._tools import Real as Real
from gradtx._tools import Record as Record
from gradtx._tools import Selector as Selector
from gradtx._tools import Slots as Slots
from gradtx._tools import Stateful as Stateful
from gradtx._tools import Tunable as Tunable
from gradtx._tools import abs_sq as abs_sq
from gradtx._tools import full_like as full_like
from gradtx._tools import hyperparameters as hyperparameters
from gradtx._tools import is_zero as is_zero
from gradtx._tools import magnitude as magnitude
from gradtx._tools import map_trained as map_trained
from gradtx._tools import matches as matches
from gradtx._tools import matrices_only as matrices_only
from gradtx._tools import per_group as per_group
from gradtx._tools import ratio as ratio
from gradtx._tools import root as root
from gradtx._tools import run_if as run_if
from gradtx._tools import select as select
from gradtx._tools import times_plus as times_plus
from gradtx._tools import tunable as tunable
from gradtx.core._leaf import with_values as with_values
from gradtx.core._lift import Lift as Lift
from gradtx.core._resolve import Group as Group
from gradtx.core._resolve import Resolved as Resolved
from gradtx.core._resolve import resolve as resolve
from gradtx.core._rule import At as At
from gradtx.core._rule import Hyper as Hyper
from gradtx.core._rule import Role as Role
from gradtx.core._rule import Rule as Rule
from gradtx.core._rule import ScheduleLike as ScheduleLike
from gradtx.core._rule import Scope as Scope
from gradtx.core._rule import Slot as Slot
from gradtx.core._rule import Technique as Technique
from gradtx.core._rule import Updated as Updated
from gradtx.core._slots import check_slots as check_slots
from gradtx.core._stage import Only as Only
from gradtx.core._stage import Stacked as Stacked
from gradtx.core._stage import Stage as Stage
from gradtx.core._stage import names_of as names_of
from gradtx.core._state import State as State
from gradtx.core._state import from_state as from_state
from gradtx.core._state import varying as varying
from gradtx.core._step import Step as Step
from gradtx.core._transformation import Foreign as Foreign
from gradtx.core._transformation import Part as Part
from gradtx.core._transformation import Transformation as Transformation
from gradtx.core._transformation import Transforms as Transforms
from gradtx.core._transformation import as_transformation as as_transformation
from gradtx.core._transformation import chain as chain
from gradtx.core._transformation import named as named
from gradtx.core._transformation import stages_of as stages_of
from gradtx.core._transformation import with_parts as with_parts
from gradtx.core._tree_stage import TreeAt as TreeAt
from gradtx.core._tree_stage import TreeStage as TreeStage
