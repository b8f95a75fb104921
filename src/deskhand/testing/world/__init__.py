"""Hub, phones and computers in one process on simulated time, with every fault a seed can think of."""
