"""What a step is: the gradient at another point than the weights, and what of the network rests meanwhile."""
