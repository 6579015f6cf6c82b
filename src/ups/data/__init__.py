"""Where trajectories come from, how they are split, drawn and checked."""
