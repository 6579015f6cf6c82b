"""Studies: variants of a recipe over paired seeds, and what may be concluded."""
