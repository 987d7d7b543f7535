"""One operator per stage of the life cycle."""
