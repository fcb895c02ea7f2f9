"""What is trained before the classifier, and after it."""
