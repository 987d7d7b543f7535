"""From a registered version to the served champion, and back."""
