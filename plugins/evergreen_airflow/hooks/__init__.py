"""One hook per system Evergreen talks to."""
