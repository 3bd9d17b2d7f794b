"""Results of earlier work, in the shapes they were written in, as the one result table.

`load` takes the bytes of the files and a map (`truing.legacy.maps`), recognises each file's shape by its structure and
returns the checked table. A new shape is one new file in `truing.legacy.shapes`.
"""

from truing.legacy.load import load
from truing.legacy.maps import Map

__all__ = ["Map", "load"]
