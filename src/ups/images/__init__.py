"""The image bench: where a weighting, a schedule or a sampler is tried before it serves physics."""
