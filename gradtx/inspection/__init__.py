"""Looking inside transformations and schedules."""

from gradtx.inspection._describe import Description as Description
from gradtx.inspection._describe import describe as describe
from gradtx.inspection._plot_schedule import plot_schedule as plot_schedule
