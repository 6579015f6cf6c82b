"""One run from recipe to report, and what is done with a finished one. READ FIRST: runs/pipeline.py."""
