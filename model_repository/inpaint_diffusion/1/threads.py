"""One BLAS thread for this process."""

import ctypes
from pathlib import Path

import numpy as np

_SETTERS = ("scipy_openblas_set_num_threads64_", "openblas_set_num_threads64_", "openblas_set_num_threads")


def use_one_blas_thread():
    """Ask the OpenBLAS that NumPy's wheel brings to use one thread; nothing happens where NumPy has another BLAS.

    Every model instance has a core to itself. Two that each start a thread per core fight over them: a window took 1.9 s
    instead of 0.8 s. OPENBLAS_NUM_THREADS would do it too, but Triton's stub has imported NumPy before a model can set it.
    """
    for library in (Path(np.__file__).parent.parent / "numpy.libs").glob("*openblas*"):
        loaded = ctypes.CDLL(str(library))
        for setter in _SETTERS:
            if hasattr(loaded, setter):
                getattr(loaded, setter)(1)
                return
