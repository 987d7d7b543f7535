#!/bin/sh
# As https://github.com/redis/docker-library-redis (debian/docker-entrypoint.sh of 8.2) drops its rights.
set -e
if [ "$1" = redis-server ] && [ "$(id -u)" = 0 ]; then
    find . \! -user redis -exec chown redis '{}' +
    exec setpriv --reuid=redis --regid=redis --clear-groups --nnp \
        --inh-caps=-all --ambient-caps=-all --bounding-set=-all "$0" "$@"
fi
umask 0077
exec "$@"
