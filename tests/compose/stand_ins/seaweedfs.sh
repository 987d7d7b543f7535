#!/bin/sh
# As https://github.com/seaweedfs/seaweedfs (docker/entrypoint.sh) drops its rights; su-exec is Alpine's.
if [ "$(id -u)" = 0 ]; then
    if [ "$(stat -c %u /data)" != "$(id -u seaweed)" ]; then
        chown -R seaweed:seaweed /data || echo "Warning: Failed to change ownership of /data."
    fi
    exec setpriv --reuid=seaweed --regid=seaweed --init-groups "$0" "$@"
fi
[ "$1" = server ] || exec /usr/bin/weed "$@"
shift
exec /usr/bin/weed -logtostderr=true server -dir=/data -volume.max=0 -master.volumePreallocate=false \
    -master.volumeSizeLimitMB=1024 "$@"
