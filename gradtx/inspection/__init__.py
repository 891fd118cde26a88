"""Looking inside transformations."""

from gradtx.inspection._describe import Description as Description
from gradtx.inspection._describe import describe as describe
