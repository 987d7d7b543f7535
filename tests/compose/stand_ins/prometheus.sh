#!/bin/sh
# Debian's Prometheus 2.53 has no OTLP receiver: its flag and its section of the file are left out.
set -e
test -r /etc/prometheus/serving-token
sed '/^otlp:/,/^[a-z]/{/^otlp:/d;/^ /d}' /etc/prometheus/prometheus.yml > /tmp/prometheus.yml
for word; do
    shift
    case $word in
        --web.enable-otlp-receiver) ;;
        --config.file=*) set -- "$@" --config.file=/tmp/prometheus.yml ;;
        *) set -- "$@" "$word" ;;
    esac
done
exec prometheus "$@"
