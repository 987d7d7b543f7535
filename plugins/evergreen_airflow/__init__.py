"""What Evergreen knows about Airflow: operators, hooks, sensors and the rules all DAGs share."""
