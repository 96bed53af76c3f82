"""Delimited files and lines of text: their encoding and dialect, records counted and cut, and a table of them."""
