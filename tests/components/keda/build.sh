#!/usr/bin/env bash
# KEDA's three programs and its own manifests (CRDs, roles, webhook configuration) from the published Go module.
# Usage: build.sh FOLDER   -> FOLDER/bin/keda-{operator,adapter,webhooks}, FOLDER/config/
set -euo pipefail
# Needs Go 1.26 or newer.
version=2.21.0
place=$(mkdir -p "$1/bin" && cd "$1" && pwd)

export GOTOOLCHAIN=local CGO_ENABLED=0 GOFLAGS='-buildvcs=false -modcacherw'
work=$(mktemp -d "$place/build.XXXXXX")
trap 'rm -rf "$work"' EXIT
export GOPATH=$work/go GOMODCACHE=$work/go/pkg/mod GOCACHE=$work/cache GOTMPDIR=$work
mkdir "$work/module" "$work/out"
cd "$work/module"

# "go install module@version" refuses a module whose go.mod has replace or exclude lines: take them over into a
# module of our own.
module=$(go mod download -json "github.com/kedacore/keda/v2@v$version" | sed -n 's/^\t"GoMod": "\(.*\)",*$/\1/p')
{
  printf 'module keda-build\n\ngo 1.26.0\n\nrequire github.com/kedacore/keda/v2 v%s\n' "$version"
  grep -E '^(replace|exclude) [^(]' "$module" || true
} > go.mod

# The operator imports a client library for every scaler there is (clouds, databases, brokers): most of the time
# goes there.
go build -mod=mod -trimpath -ldflags "-s -w -X github.com/kedacore/keda/v2/version.Version=$version" -o "$work/out/" \
  github.com/kedacore/keda/v2/cmd/operator github.com/kedacore/keda/v2/cmd/adapter github.com/kedacore/keda/v2/cmd/webhooks
for program in operator adapter webhooks; do install -m755 "$work/out/$program" "$place/bin/keda-$program"; done
rm -rf "$place/config"
cp -r "$(go list -mod=mod -m -f '{{.Dir}}' github.com/kedacore/keda/v2)/config" "$place/config"
chmod -R u+w "$place/config"
