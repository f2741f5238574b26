"""Score-function estimators with a control variate built from f itself."""
