"""Vector quantisation: encodings of a row, each replaced by a code."""
