"""From gradient draws to verdicts: moments, intervals, the bias test, comparisons across seeds."""
