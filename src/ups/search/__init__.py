"""Search at test time: rewards, calibration, and steppers around steppers."""
