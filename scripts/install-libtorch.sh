#!/usr/bin/env bash
# Puts libtorch 2.11.0 into .libtorch/, where .cargo/config.toml looks for it. The package index's wheel is the CUDA build,
# which also runs on a CPU; libtorch_cpu.so links CUDA's runtime and CUPTI, which come as two small packages of their own.
# Nothing is installed outside this folder, and Python is not needed afterwards.
set -euo pipefail
cd "$(dirname "$0")/.."

version=2.11.0
stamp=.libtorch/installed-$version
[ -e "$stamp" ] && exit 0

python=${PYTHON:-python3}
if ! "$python" -m pip --version >/dev/null 2>&1; then
    echo "error: $python with pip is needed once, to fetch libtorch; install it, or set LIBTORCH to a libtorch $version" >&2
    exit 1
fi
echo "installing libtorch $version into .libtorch/ (0.6 GB to fetch)"
rm -rf .libtorch && mkdir .libtorch
"$python" -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --no-deps --target .libtorch/site \
    "torch==$version" 'nvidia-cuda-runtime==13.0.*' 'nvidia-cuda-cupti==13.0.*'
touch "$stamp"
