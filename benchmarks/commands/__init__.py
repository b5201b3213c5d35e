"""The commands, a module each: `HELP`, `add_options(parser)`, and `do(options)`, which gives the exit status."""
