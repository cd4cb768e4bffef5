"""Numbers from arrays: pure functions, numpy only."""
