"""What is found out of finished runs and of recipes: reports, sweeps, speed, prices, ablations."""
