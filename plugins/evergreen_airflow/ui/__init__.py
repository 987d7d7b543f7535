"""Pages inside Airflow's UI, served by its API server behind its own login and permissions."""
