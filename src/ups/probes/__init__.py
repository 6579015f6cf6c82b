"""Read-only measurements of a model at fixed weights: curvature and gradients under frozen objectives."""
