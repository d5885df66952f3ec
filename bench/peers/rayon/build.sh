#!/bin/sh
# SPDX-License-Identifier: MIT
#
# bench/peers/rayon/build.sh CARGO SOURCE CRATES WORK OUTPUT - builds the rayon peer without a network: crates are taken
# from the folder CRATES; everything cargo writes goes to WORK, the program to OUTPUT. When that fails, OUTPUT is an
# empty file: the peer then takes no part, and the build of everything else goes on.
set -e
cargo=$1 source=$2 crates=$3 work=$4 output=$5
mkdir -p "$work/src"
cp "$source/Cargo.toml" "$work/"
cp "$source/src/main.rs" "$work/src/"
cat > "$work/config.toml" <<TOML
[source.crates-io]
replace-with = "packaged"
[source.packaged]
directory = "$crates"
TOML
if ! CARGO_HOME="$work/home" "$cargo" build --quiet --release --offline --config "$work/config.toml" \
    --manifest-path "$work/Cargo.toml" --target-dir "$work/target"; then
    echo "the rayon peer can't be built and takes no part" >&2
    : > "$output"
    exit 0
fi
cp "$work/target/release/peer-rayon" "$output"
