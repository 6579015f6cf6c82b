"""Studies: what the rows of runs say, with intervals."""
