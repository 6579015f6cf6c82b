"""One loop that trains every stage: plan, optimizer, average of the weights, checkpoints, trackers."""
