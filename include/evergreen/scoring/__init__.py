"""Predictions of a day."""
