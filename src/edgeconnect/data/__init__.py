"""Pictures, masks and edges: from files or built-in scenes to batches."""
