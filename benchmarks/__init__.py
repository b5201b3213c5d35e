"""Comparisons of DMSRL with the other methods of pytorch-adapt: `python -m benchmarks --help`."""
