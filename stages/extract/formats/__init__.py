"""The formats that extract opens, one family a module; each module has its `FORMAT`."""
