# The front door. `make help` lists what there is.

CARGO ?= cargo
DESTDIR ?=
PREFIX ?= /usr
SBINDIR ?= $(PREFIX)/sbin

SHELL_FILES = .ci/run $(wildcard tests/*.sh)

.PHONY: help setup demo check test test-full bench check-corpus build install

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 14

setup: ## installs (apt-get) and fetches what the tests need and this machine lacks
	$(CARGO) run --quiet --package dkms-tests --bin setup

build: ## the release binary, target/release/dkms
	$(CARGO) build --release --package dkms-cli

demo: build ## builds, installs, shows and removes a real module for a real kernel, in a private root
	tests/demo.sh target/release/dkms

check: ## format, lints, documentation, licences and advisories, shell files
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --quiet
	@if command -v cargo-deny >/dev/null; then $(CARGO) deny check; \
	else echo "make check: cargo-deny is not installed; deny.toml was not checked"; fi
	@if command -v shellcheck >/dev/null; then shellcheck $(SHELL_FILES); \
	else echo "make check: shellcheck is not installed; the shell files were not checked"; fi

test: setup ## sets up and passes all tests but the long ones
	$(CARGO) test --workspace

test-full: setup ## all tests, the long ones too
	DKMS_TEST_FULL=1 $(CARGO) test --workspace

bench: setup build ## ours against the original, in the same run
	$(CARGO) build --release --package dkms-tests --bin batch-under-test
	$(CARGO) run --release --package dkms-tests --bin bench

check-corpus: ## every value of every real dkms.conf in CORPUS=DIR against the original's
	@test -n "$(CORPUS)" || { echo "usage: make check-corpus CORPUS=DIR" >&2; exit 2; }
	$(CARGO) run --release --package dkms-tests --bin check-corpus -- "$(abspath $(CORPUS))"

install: ## puts the built binary and the folders it uses below DESTDIR (run `make build` first)
	@test -x target/release/dkms || { echo "run \`make build\` first" >&2; exit 1; }
	install -D -m 0755 target/release/dkms "$(DESTDIR)$(SBINDIR)/dkms"
	install -d -m 0755 "$(DESTDIR)/etc/dkms" "$(DESTDIR)/var/lib/dkms"
	install -D -m 0644 README.md "$(DESTDIR)$(PREFIX)/share/doc/dkms/README.md"
