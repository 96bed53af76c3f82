"""External programs in place of the built-in extract or convert: one run a batch, never two copies on this host."""
