"""What MLflow and the ledger know: versions, aliases, champions."""
