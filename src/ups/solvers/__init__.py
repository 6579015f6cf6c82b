"""Classical solvers of the equations in `equations`, and their exact solutions."""
