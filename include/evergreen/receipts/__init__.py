"""What each stage returns, by package."""
