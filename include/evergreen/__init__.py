"""What Evergreen knows about machine learning. Never imports Airflow."""
