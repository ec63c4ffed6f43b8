"""MLflow -> tidy frames: what the runs of one suite at one scale measured. Imports `suite` and `store`; never torch."""
