"""The only place where a round is spelt out: the plan, the site, the coordinator, the record."""
