"""Evaluation: rollouts, metrics, protocols, costs and the rows that every report reads."""
