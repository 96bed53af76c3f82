"""The configuration as a file: read with every mistake named, and written with its comments."""
