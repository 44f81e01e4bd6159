"""Client cost against peers, as ratios measured in one run."""
