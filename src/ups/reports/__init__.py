"""A run folder as pages and pictures; reports read rows and the record, and nothing else."""
