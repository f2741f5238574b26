"""Vector quantisation: every encoding is replaced by a code."""
