"""Control: plans made inside a model, carried out in the real system."""
