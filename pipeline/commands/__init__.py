"""The command line's commands, one module a group; `pipeline.cli` puts them together."""
