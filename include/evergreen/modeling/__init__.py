"""Fit, predict, measure, evaluate and save one candidate."""
