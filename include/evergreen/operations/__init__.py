"""Work on all versions of a model: retention, invariants, reproduction, backtest."""
