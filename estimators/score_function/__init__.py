"""Score-function (likelihood-ratio) estimators: f is only evaluated, never differentiated in z."""
