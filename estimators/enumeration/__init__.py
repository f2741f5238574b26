"""Estimators that sum over configurations instead of sampling them."""
