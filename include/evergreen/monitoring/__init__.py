"""Every monitor, and what follows from its results."""
