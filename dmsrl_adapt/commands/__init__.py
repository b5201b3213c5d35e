"""The commands, a module each: `HELP`, `add_options(parser)`, and `do(options)`, which returns the exit status."""
