"""Diffusion: noise processes, denoisers, flow maps and their losses. Needs torch alone."""
