"""Exit codes other than 0: a failing verdict, bad usage, some cells failed, Ctrl-C or SIGTERM."""

VERDICT, USAGE, FAILED, INTERRUPTED = 1, 2, 3, 130
