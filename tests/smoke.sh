#!/usr/bin/env bash
# The whole workflow on a small sample, in a folder of its own. Called by `make smoke` and a test.
#   tests/smoke.sh [FOLDER]     default: smoke
set -euo pipefail
cd "$(dirname "$0")/.."
folder=${1:-smoke}
mkdir -p "$folder"
# weasel keeps its lock file beside project.yml: a copy of the project file leaves `all` alone
for entry in configs spacy_spanmed scripts benchmarks pyproject.toml setup.py README.md LICENSE project.yml; do
    rm -rf "${folder:?}/$entry"
    cp -r "$entry" "$folder/$entry"
done
# Compiled files among the sources would look like changes
find "$folder/spacy_spanmed" "$folder/scripts" "$folder/benchmarks" -name __pycache__ -prune -exec rm -rf {} +
export PYTHONDONTWRITEBYTECODE=1
cd "$folder"
python -m spacy project run all . \
    --vars.limit 240 \
    --vars.pretrain_tokens 20480 \
    --vars.steps 30 \
    --vars.eval_frequency 30 \
    --vars.name spanmed_smoke
