"""
The whole system on one machine: Airflow's own components, MLflow and a folder as object store.

Everything listens on loopback, lives in one folder and ends with ``make down``.
"""
