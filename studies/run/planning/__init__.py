"""A study before it runs: its trainings, what they take, and what of them would be refused."""
