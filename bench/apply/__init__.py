"""Trained models on one's own pictures. Imports `store` and `suite`; a family's part is `TaskSpec.apply`."""
