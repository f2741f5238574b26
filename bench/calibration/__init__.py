"""Calibration of the statistics: draws of known law, judged as an estimator's are, and a page of how they err."""
