"""What a transformation is: rules, slots, the interpreter, chains, state and hyperparameters."""

from gradtx.core._apply import apply_gradients as apply_gradients
from gradtx.core._apply import apply_updates as apply_updates
from gradtx.core._hyperparams import hyperparams as hyperparams
from gradtx.core._hyperparams import set_hyperparams as set_hyperparams
from gradtx.core._record import Record as Record
from gradtx.core._record import Tunable as Tunable
from gradtx.core._record import tunable as tunable
from gradtx.core._rule import At as At
from gradtx.core._rule import Bound as Bound
from gradtx.core._rule import Decay as Decay
from gradtx.core._rule import Hyper as Hyper
from gradtx.core._rule import LearningRate as LearningRate
from gradtx.core._rule import NonNegative as NonNegative
from gradtx.core._rule import Real as Real
from gradtx.core._rule import Role as Role
from gradtx.core._rule import Rule as Rule
from gradtx.core._rule import Schedule as Schedule
from gradtx.core._rule import Scope as Scope
from gradtx.core._rule import Slot as Slot
from gradtx.core._rule import TreeStage as TreeStage
from gradtx.core._state import State as State
from gradtx.core._transformation import Stage as Stage
from gradtx.core._transformation import Transformation as Transformation
from gradtx.core._transformation import as_transformation as as_transformation
from gradtx.core._transformation import chain as chain
from gradtx.core._transformation import named as named
