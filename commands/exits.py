"""Exit codes beside 0: a verdict went against it, bad usage, some cells failed, Ctrl-C or SIGTERM."""

VERDICT, USAGE, FAILED, INTERRUPTED = 1, 2, 3, 130
