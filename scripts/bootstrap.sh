#!/usr/bin/env bash
# Installs what the build, the tests and the demo need: Debian packages with
# apt, and a virtual environment, .venv, from requirements.txt. Does nothing,
# quickly, when everything is there.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
venv=$root/.venv

packages=(
  # Toolchain.
  g++ cmake ninja-build ccache mold pkg-config git ca-certificates
  clang-19 clang-format-19 libclang-rt-19-dev llvm-19
  # Libraries.
  libzmq3-dev cppzmq-dev libprotobuf-dev protobuf-compiler libabsl-dev
  libgrpc++-dev protobuf-compiler-grpc
  libboost1.81-dev libsimdjson-dev libyaml-cpp-dev libcli11-dev libspdlog-dev
  prometheus-cpp-dev libhwy-dev libgtest-dev libgmock-dev libbenchmark-dev
  zlib1g-dev libssl-dev openssl libgloo-dev
  # The rivals from outside, of the live comparison and what a hop costs.
  haproxy nginx
  # Clients that the tests drive the frontend with; libb64 is perf_analyzer's.
  curl hey wrk libb64-0d
  # Data for the demo, Python for its pictures and for the client tests.
  dataset-fashion-mnist python3-venv
)

missing=()
installed=$(dpkg-query -W -f='${db:Status-Abbrev} ${Package}\n' |
  awk '$1 == "ii" { print $2 }')
for package in "${packages[@]}"; do
  grep -qxF "$package" <<<"$installed" || missing+=("$package")
done
if ((${#missing[@]} > 0)); then
  echo "bootstrap: installing ${missing[*]}"
  sudo=()
  [[ $(id -u) == 0 ]] || sudo=(sudo)
  # Its package would start it on port 80; the benches have their own.
  if [[ " ${missing[*]} " == *" nginx "* && -d /run/systemd/system ]]; then
    "${sudo[@]}" systemctl mask --quiet nginx.service
  fi
  "${sudo[@]}" apt-get update -qq
  "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi

# The stamp holds what the environment was made from, so that another pin or
# another Python makes it anew; without one, it was interrupted half-way.
stamp=$venv/requirements.installed
wanted=$(/usr/bin/python3 -V && cat "$root/requirements.txt")
if [[ ! -f $stamp || $(<"$stamp") != "$wanted" ]]; then
  echo "bootstrap: installing the Python environment in $venv"
  rm -f "$stamp"
  /usr/bin/python3 -m venv --clear "$venv"
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check \
    --no-deps -r "$root/requirements.txt"
  printf '%s\n' "$wanted" >"$stamp"
fi
