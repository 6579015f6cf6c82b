"""Recipes: functions that return the settings of a run; data only, no logic."""
