"""Intervals by the bootstrap, quantiles, calibration: the only place that says how sure a number is."""
