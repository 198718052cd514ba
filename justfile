# Every check of this repository, each nameable alone. `.ci/run` calls them in the order below.
# Without just: each recipe's lines are ordinary commands.

set shell := ["bash", "-euo", "pipefail", "-c"]

tools := justfile_directory() / "target/tools"

# List the recipes
default:
    @just --list --unsorted

# Run the demo: a real MongoDB, 1,500 clients, directly and through Weir
demo *args:
    cargo run --release -- demo {{args}}

# Check the format
fmt:
    cargo fmt --all --check

# Lint: the library alone, so that dead code is seen, then everything
lint:
    cargo clippy -p weir -p weir-extension -p weir-shim -- -D warnings
    cargo clippy -p weir-program --no-default-features -- -D warnings
    cargo clippy --workspace --all-targets -- -D warnings

# Build the documentation; a broken link is an error
docs:
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps

# Check that the oldest supported compiler is the one that builds all of this
msrv:
    tests/tools/msrv

# Lint the shell scripts
scripts:
    tests/tools/scripts

# Licences, bans and sources of all dependencies
deny:
    tests/tools/deny

# All tests, then one summary
test:
    tests/tools/test cargo test --workspace --no-fail-fast

# One test or module of the end-to-end tests, for example: just test-one cursors
test-one name:
    cargo test --workspace --test e2e {{name}} -- --nocapture

# One driver of the matrix, in all features and faces, for example: just driver python
driver name:
    cargo run -p weir-lab --bin weir-drivers -- matrix --driver {{name}}

# Ten seconds of every libFuzzer target, where cargo-fuzz is installed
fuzz:
    tests/tools/fuzz

# The Lambda layer for both architectures, built and checked (about ten minutes)
layer:
    tests/tools/layer

# The program that images and layers take: without demo and pressure
production:
    deploy/program/build --out target/production-program
    deploy/program/check target/production-program/weir
