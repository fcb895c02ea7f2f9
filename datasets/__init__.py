"""What is learned from: data sets, their long tails and splits, and augmentation in batches."""
