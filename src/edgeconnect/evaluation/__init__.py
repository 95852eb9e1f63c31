"""Compare completed pictures with true ones, in folders and runs."""
