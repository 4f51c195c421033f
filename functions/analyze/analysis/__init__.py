"""The analysis engine. Importing it holds numpy's linear algebra to one thread, which must happen before numpy loads:
two threads cost 1.8 times the CPU for 0.95 of the time."""

import os

for _name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"):
    os.environ.setdefault(_name, "1")
