# The model server: Evergreen's core and the models' code, no workflow is in it.
FROM python:3.12.12-slim-bookworm

RUN useradd --create-home --uid 50000 server && install -d -o server /var/cache/evergreen
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1

COPY requirements.txt /tmp/requirements.txt
RUN pip install --no-cache-dir --require-hashes -r /tmp/requirements.txt

COPY include /opt/evergreen/include
# Whoever runs here may not write, and would compile it again in every process.
RUN python -m compileall -q /opt/evergreen
ARG GIT_SHA=
ARG GIT_DIRTY=
LABEL org.opencontainers.image.revision=$GIT_SHA
ENV PYTHONPATH=/opt/evergreen/include GIT_SHA=$GIT_SHA GIT_DIRTY=$GIT_DIRTY

# By number, as docker-compose.yaml and Kubernetes (runAsNonRoot) name it.
USER 50000:50000
WORKDIR /home/server
EXPOSE 8088
CMD ["python", "-m", "evergreen", "serve"]
