"""What the slow tests run inside FLARE: sites that fail on demand. Kits must permit ``faulty_site.`` for it."""
