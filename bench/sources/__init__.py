"""Sources, where numbers come from, in the order of a run: gradient draws, training steps, the clock; of toys also the
exact moments of gradient draws and the training of their parameters.
"""

from .descent.source import DESCENT
from .draws.source import DRAWS
from .enumeration.source import ENUMERATION
from .source import Source
from .timing.source import CLOCK
from .training.source import STEPS

SOURCES: dict[str, Source] = {source.name: source for source in (DRAWS, ENUMERATION, DESCENT, STEPS, CLOCK)}

__all__ = ["CLOCK", "DESCENT", "DRAWS", "ENUMERATION", "SOURCES", "STEPS", "Source"]
