#!/usr/bin/env bash
# PostgreSQL's programs, of Debian's package, which puts them beside the path.
# Usage: link.sh FOLDER   -> FOLDER/bin/{initdb,pg_ctl,postgres,…}
set -euo pipefail
newest=$(printf '%s\n' /usr/lib/postgresql/*/bin | sort -V | tail -1)
mkdir -p "$1"
ln -sfn "$newest" "$1/bin"
"$1/bin/postgres" --version
