#!/usr/bin/env bash
# A current control plane from published Go modules: no containers, no source archives.
# Usage: build.sh FOLDER   -> FOLDER/bin/{etcd,kube-apiserver,kube-controller-manager,kube-scheduler,kubectl}
set -euo pipefail
# Needs Go 1.26 or newer. The staging modules (k8s.io/api ...) carry the same minor and patch as v0.x.
version=1.36.3
programs='kube-apiserver kube-controller-manager kube-scheduler kubectl'
place=$(mkdir -p "$1/bin" && cd "$1" && pwd)

# An older installed Go must fail here, not try to fetch a toolchain half-way. Static binaries survive a libc change
# in the cache's next home.
export GOTOOLCHAIN=local CGO_ENABLED=0 GOFLAGS='-buildvcs=false -modcacherw'
# What is compiled once is of no use later: the caches go with the folder.
work=$(mktemp -d "$place/build.XXXXXX")
trap 'rm -rf "$work"' EXIT
export GOPATH=$work/go GOMODCACHE=$work/go/pkg/mod GOCACHE=$work/cache GOTMPDIR=$work
mkdir "$work/module" "$work/out"
cd "$work/module"

# k8s.io/kubernetes points its staging modules at directories that the published module does not hold, and replaces
# do not travel to the module that requires it: repeat them here, taking the list from its own go.mod so that it
# cannot go stale.
printf 'module control-plane\n\ngo 1.26.0\n\nrequire k8s.io/kubernetes v%s\n' "$version" > go.mod
module=$(go mod download -json "k8s.io/kubernetes@v$version" | sed -n 's/^\t"GoMod": "\(.*\)",*$/\1/p')
sed -n "s|^\t\(k8s.io/[a-z-]*\) => ./staging/.*|replace \1 => \1 v0.${version#1.}|p" "$module" >> go.mod

# Without these the server calls itself v0.0.0-master, which version checks (helm's kubeVersion, KEDA's) refuse or
# misread.
variables=k8s.io/component-base/version
minor=${version#1.}
flags="-s -w -X $variables.gitVersion=v$version -X $variables.gitMajor=1 -X $variables.gitMinor=${minor%%.*} -X $variables.gitTreeState=clean"

# -mod=mod: go.sum starts empty and is filled against the checksum database. One command, so that shared packages
# compile once. etcd comes from the version that this Kubernetes was released against: it is already in the module
# graph (for its tests).
# shellcheck disable=SC2046,SC2086
go build -mod=mod -trimpath -ldflags "$flags" -o "$work/out/" $(printf 'k8s.io/kubernetes/cmd/%s ' $programs) go.etcd.io/etcd/server/v3
mv "$work/out/server" "$work/out/etcd"
install -m755 "$work"/out/* "$place/bin/"
"$place/bin/kube-apiserver" --version
