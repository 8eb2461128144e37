#!/bin/sh
# Stands where the official base has the Functions host, and runs our stand-in of
# it, which the test mounts, with what the image says in the host's own variables.
set -eu
mkdir -p /tmp/host
exec /azure-functions-host/iotc stand-in functions-host --app-root "$AzureWebJobsScriptRoot" \
    --http-port "${ASPNETCORE_URLS##*:}" --state /tmp/host
