"""The command line: one file per verb; heavy imports wait inside the verb."""
