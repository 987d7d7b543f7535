"""From raw partitions to examples."""
