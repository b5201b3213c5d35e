"""Reading of data: images, vectors and signals, from files, arrays and data sets of other libraries."""

from .agree import Agreed, agree
from .errors import DataError, UnreadableError
from .names import Names
from .open_data import open_data
from .samples import Samples

__all__ = ["Agreed", "DataError", "Names", "Samples", "UnreadableError", "agree", "open_data"]
