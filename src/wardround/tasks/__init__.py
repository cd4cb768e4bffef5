"""What the sites learn: a task turns images into a loss and a loss into metrics."""
