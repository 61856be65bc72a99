"""Records and boards on a W&B server, made from records alone: docs/publishing.md.

`run` turns a record into a W&B run, `boards` the boards into the tables and pictures of one run,
`report` into one report; `bundle` gathers them, `server` is the client, `deliver` sends what lacks.
"""
