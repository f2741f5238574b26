"""Sources, where numbers come from: gradient draws, training steps and the clock, in the order of a run."""

from .draws.source import DRAWS
from .source import Source
from .timing.source import CLOCK
from .training.source import STEPS

SOURCES: dict[str, Source] = {source.name: source for source in (DRAWS, STEPS, CLOCK)}

__all__ = ["CLOCK", "DRAWS", "SOURCES", "STEPS", "Source"]
