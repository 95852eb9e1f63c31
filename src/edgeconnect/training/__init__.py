"""Training of one stage: the loop, and what it logs, averages, samples and guards."""
