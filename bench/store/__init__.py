"""MLflow and its database: where results are kept, how they are written, read and made, who may write.

The only importer of MLflow, by `client`, `making`, `recorder`, `closing`, `artifacts` and, through `client`, `http`:
what only reads a database (`reading`, `sql`, `status`) stays light. Imports `suite`.
"""
