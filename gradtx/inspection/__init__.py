"""Pictures and tables of transformations, schedules and training."""

from gradtx.inspection._describe import Description as Description
from gradtx.inspection._describe import describe as describe
from gradtx.inspection._plot_loss_surface import plot_loss_surface as plot_loss_surface
from gradtx.inspection._plot_schedule import plot_schedule as plot_schedule
from gradtx.inspection._plot_trajectories import animate_trajectories as animate_trajectories
from gradtx.inspection._plot_trajectories import plot_trajectories as plot_trajectories
from gradtx.inspection._range_test import RangeTest as RangeTest
from gradtx.inspection._range_test import plot_range_test as plot_range_test
from gradtx.inspection._range_test import range_test as range_test
from gradtx.inspection._styles import styles as styles
from gradtx.inspection._trajectory import Trajectory as Trajectory
from gradtx.inspection._trajectory import trajectory as trajectory
from gradtx.inspection._update_ratios import plot_update_ratios as plot_update_ratios
from gradtx.inspection._update_ratios import update_ratios as update_ratios
