"""The command line's verbs, a module for each thing that people come for. Data to stdout, words to stderr."""
