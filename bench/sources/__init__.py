"""Where numbers come from: gradient draws, training runs and timings, and the settings of each."""
