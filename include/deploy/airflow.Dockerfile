# Airflow with Evergreen's workflows; every component and worker runs from this one image.
FROM python:3.12.12-slim-bookworm

RUN useradd --create-home --uid 50000 airflow \
    && install -d -o airflow /opt/airflow /opt/airflow/logs
ENV AIRFLOW_HOME=/opt/airflow PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1

# The lock first: a change of code does not install again.
COPY requirements.txt /tmp/requirements.txt
RUN pip install --no-cache-dir --require-hashes -r /tmp/requirements.txt

# Owned by root and never written: what runs is what was built.
COPY plugins/evergreen_airflow/airflow_local_settings.py /opt/airflow/config/airflow_local_settings.py
COPY include /opt/evergreen/include
COPY plugins /opt/evergreen/plugins
COPY dags /opt/evergreen/dags
# Whoever runs here may not write, and would compile it again in every process.
RUN python -m compileall -q /opt/evergreen
# No .git is in the image: `make compose-build` says here which commit it is of.
ARG GIT_SHA=
ARG GIT_DIRTY=
LABEL org.opencontainers.image.revision=$GIT_SHA
ENV PYTHONPATH=/opt/evergreen/include:/opt/evergreen/plugins GIT_SHA=$GIT_SHA GIT_DIRTY=$GIT_DIRTY

# By number, as docker-compose.yaml and Kubernetes (runAsNonRoot) name it.
USER 50000:50000
WORKDIR /opt/airflow
