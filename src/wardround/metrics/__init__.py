"""Numbers from arrays: pure functions, numpy, scipy and scikit-image, no torch."""
