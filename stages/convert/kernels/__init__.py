"""Machine code that takes blocks of text apart, and what it takes."""
