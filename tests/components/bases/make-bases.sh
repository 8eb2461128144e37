#!/usr/bin/env bash
# Base images of the layout of those that our Dockerfiles name, for where no
# registry can be reached: Debian 12, unpacked and not installed, so that nothing
# of a package runs here.
# Usage: make-bases.sh DIR HELM   -> DIR/native, DIR/functions and DIR/helm, OCI layouts
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
dir=$1 helm=$2
work=$(mktemp -d "$dir/work.XXXXXX")
trap 'rm -rf "$work"' EXIT
export STORAGE_DRIVER="${STORAGE_DRIVER:-vfs}"
buildah() { command buildah --root "$work/storage" --runroot "$work/run" "$@"; }

# As distroless has it: the C library, OpenSSL and certificates, no shell.
native=libc6,libgcc-s1,libssl3,ca-certificates,base-files,netbase,tzdata
# As the base of the Functions host has it.
functions=$native,dash,bash,coreutils,grep,sed,libc-bin,libstdc++6

unpack() { # PACKAGES TAR
    mmdebstrap --quiet --variant=extract --include="$1" \
        --extract-hook="$here/describe-packages.sh" bookworm "$2"
}

# Makes DIR/NAME of TAR; the other arguments configure it.
make() { # NAME TAR OPTION...
    local name=$1 tar=$2 container
    shift 2
    container=$(buildah from scratch)
    buildah add --quiet "$container" "$tar" / >"$work/log"
    buildah config "$@" "$container"
    buildah commit --quiet --timestamp 0 "$container" "oci:$dir/$name:latest" >"$work/log"
    buildah rm "$container" >"$work/log"
}

unpack "$native" "$work/native.tar"
make native "$work/native.tar" \
    --env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    --env SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt \
    --user 65532 --workingdir /home/nonroot

unpack "$functions" "$work/functions.tar"
mkdir "$work/root"
tar -C "$work/root" -xf "$work/functions.tar"
install -D -m 755 "$here/functions-host.sh" "$work/root/azure-functions-host/Microsoft.Azure.WebJobs.Script.WebHost"
mkdir -p "$work/root/FuncExtensionBundles" "$work/root/home"
tar -C "$work/root" -cf "$work/functions.tar" .
make functions "$work/functions.tar" \
    --env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    --env AzureWebJobsScriptRoot=/home/site/wwwroot --env HOME=/home --env FUNCTIONS_WORKER_RUNTIME=dotnet \
    --env ASPNETCORE_CONTENTROOT=/azure-functions-host --env ASPNETCORE_URLS=http://+:80 \
    --cmd '["/azure-functions-host/Microsoft.Azure.WebJobs.Script.WebHost"]'

mkdir -p "$work/helm/usr/bin"
install -m 755 "$helm" "$work/helm/usr/bin/helm"
tar -C "$work/helm" -cf "$work/helm.tar" .
make helm "$work/helm.tar" --entrypoint '["/usr/bin/helm"]'
