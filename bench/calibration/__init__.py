"""Calibration of the statistics: draws of known distribution, judged like an estimator's, and a page of error rates."""
