"""Checkpoints: the published files, whole saves, and how a stage begins or resumes."""
