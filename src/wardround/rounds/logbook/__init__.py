"""What a run proves afterwards: its ledger at the coordinator, its witnesses at the sites."""
