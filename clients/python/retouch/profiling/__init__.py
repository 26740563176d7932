"""`retouch profile`: candidates over pairs whose truth is known, and the policy table that follows from it.

Needs the extra `retouch[profile]` (scikit-image, matplotlib); LPIPS is measured where the `lpips` package is installed.
"""

from retouch.profiling.measures import Measures
from retouch.profiling.pairs import Pair, find_pairs
from retouch.profiling.plot import draw
from retouch.profiling.policy import policy_table
from retouch.profiling.run import Result, Score, profile, scores

__all__ = ["Measures", "Pair", "Result", "Score", "draw", "find_pairs", "policy_table", "profile", "scores"]
