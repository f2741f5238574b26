"""Estimators from coupled (antithetic) draws."""
