"""What texts say: the kinds of values, and columns typed by them."""
