"""What is done to an update before it leaves its site, and undone after the sum."""
