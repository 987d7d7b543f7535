"""Fit, predict, measure, judge and save one candidate."""
