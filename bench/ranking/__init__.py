"""One ranking of estimators, by the error that their gradient leaves and by what their trainings reached."""
