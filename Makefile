# The front door. `make help` lists what there is.

CARGO ?= cargo
DESTDIR ?=

# Everything is compiled once here: what makes a second time faster takes time and gigabytes.
export CARGO_INCREMENTAL ?= 0

# What is installed and packed is built for itself: features would unify over a build of the whole workspace.
PROGRAMS = dkms-cli dkms-fetch dh-dkms dkms-hooks-apt dkms-hooks-dnf dkms-release

# Where cargo builds.
TARGET = $(or $(CARGO_TARGET_DIR),$(CARGO_BUILD_TARGET_DIR),target)
RELEASE = $(TARGET)/release/dkms-release --programs $(TARGET)/release

SHELL_FILES = .ci/run packaging/dpkg-debs packaging/makepkg packaging/source-release $(wildcard tests/*.sh tests/tests/*/*.sh)
# What is installed, by its first line.
SHELL_FILES += $(shell grep -lsE '^\#!/bin/(ba|da)?sh' packaging/debian/* packaging/files/* packaging/files/*/* */files/* */files/*/* | sort -u)

.PHONY: help setup demo check messages deny test test-full fuzz mutants compiled bench bench-apt check-corpus build programs install install-debian install-arch install-redhat debs dpkg-debs rpm arch arch-programs tarball

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 14

setup: ## installs (apt-get) and fetches what the tests need and this machine lacks
	$(CARGO) run --quiet --package dkms-tests --bin setup

build: ## the release binary, target/release/dkms
	$(CARGO) build --release --package dkms-cli

programs: ## all release binaries: those that are installed, and what installs them
	for package in $(PROGRAMS); do $(CARGO) build --release --package $$package || exit; done

demo: build ## builds, installs, shows and removes a real module for a real kernel, in a private root
	$(CARGO) build --release --package dkms-offers
	tests/demo.sh $(TARGET)/release/dkms $(TARGET)/release/kernel-offers

check: ## format, lints, documentation, comment width, words, unused dependencies, shell files
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --quiet
	tests/unused.sh
	tests/width.sh
	tests/words.sh
	@command -v shellcheck >/dev/null || $(CARGO) run --quiet --package dkms-tests --bin setup shellcheck
	shellcheck $(SHELL_FILES)
	@echo "make check: not checked: licences, bans and sources of dependencies (\`make deny\`, part of \`make test-full\`)"

messages: ## prints every text that a user can see, from the source: FILE:LINE: KIND: TEXT
	@tests/messages.sh

deny: ## licences, bans and sources of all dependencies, as deny.toml has them; installs cargo-deny where it is missing
	@command -v cargo-deny >/dev/null || $(CARGO) install --locked cargo-deny
	$(CARGO) fetch --locked --quiet
	$(CARGO) deny --offline check licenses bans sources

# Tests wait for disks, timers and virtual machines for a good part of their time: two more than there are processors run at once.
test test-full: export RUST_TEST_THREADS ?= $(shell echo $$(($$(nproc) + 2)))

# The long ones start our programs so often that it pays to optimise them.
test-full: export CARGO_PROFILE_DEV_OPT_LEVEL ?= 1

# The tests are compiled while setup waits for the network.
test: ## sets up and passes all tests but the long ones
	@$(MAKE) --no-print-directory -j2 setup compiled
	$(CARGO) test --workspace --no-fail-fast

# Of all tests those whose names contain one of these words: `make test-full TESTS="bytes:: faults::"`.
TESTS ?=

test-full: deny ## all tests, those that are ignored otherwise too, and what `make deny` checks; goes on where it was ended
	@$(MAKE) --no-print-directory -j2 setup compiled
	@tally=$$(mktemp) && trap 'rm -f "$$tally"' EXIT; \
	export DKMS_TEST_FULL=1 DKMS_TEST_TALLY="$$tally"; \
	$(CARGO) test --workspace --no-fail-fast -- --include-ignored $(TESTS); code=$$?; \
	awk '{ earlier += $$1; points += $$2 } END { printf "make test-full: %d of %d points of long tests were passed by \
	earlier runs of the same programs (DKMS_TEST_ANEW=1 tries all)\n", earlier, points }' "$$tally"; \
	exit $$code

FUZZ_SECONDS ?= 300

fuzz: ## throws mutated inputs at each reader of untrusted bytes, FUZZ_SECONDS=300 each (fuzz/README.md)
	$(CARGO) build --package dkms-fuzz
	for target in archive deb conf ere module signature certificate log initramfs kernel transactions; do \
	  $(TARGET)/debug/fuzz $$target $(FUZZ_SECONDS) || exit; done

mutants: ## changes lines one at a time and runs the unit tests, MUTANTS=60 of them, SEED=0: what no test notices
	tests/mutants.sh

compiled:
	$(CARGO) test --workspace --no-run

bench: setup build ## ours against the original, in the same run
	$(CARGO) build --release --package dkms-tests --bin batch-under-test
	$(CARGO) run --release --package dkms-tests --bin bench

bench-apt: setup ## a run of apt with our dkms and with Debian's, in equal roots
	$(CARGO) build --release --package dkms-tests --bins
	$(CARGO) run --release --package dkms-tests --bin bench-apt

check-corpus: ## every value of every real dkms.conf in CORPUS=DIR against the original's
	@test -n "$(CORPUS)" || { echo "usage: make check-corpus CORPUS=DIR" >&2; exit 2; }
	$(CARGO) run --release --package dkms-tests --bin check-corpus -- "$(abspath $(CORPUS))"

install: programs ## all of it below DESTDIR: programs, manuals, completions, settings, folders (packaging/install.list)
	$(RELEASE) install plain "$(DESTDIR)/"

install-debian: programs ## the same, and what apt and dpkg call
	$(RELEASE) install debian "$(DESTDIR)/"

install-redhat: programs ## the same, and what dnf and rpm call
	$(RELEASE) install --package dkms redhat "$(DESTDIR)/"

debs: programs ## dist/dkms_*.deb and dist/dh-dkms_*.deb, by our own writer
	$(RELEASE) debs dist

dpkg-debs: programs ## the same packages by dpkg-buildpackage, from packaging/debian, in dist/dpkg/
	packaging/dpkg-debs dist/dpkg $(TARGET)/release

rpm: programs ## dist/dkms-*.rpm, by our own writer, from packaging/dkms.spec
	$(RELEASE) rpm dist

# The crate alpm has bindings for each libalpm; where there is none the files of pacman's database are read.
LIBALPM = $(filter 13 15 16,$(firstword $(subst ., ,$(shell pkg-config --modversion libalpm 2>/dev/null))))

arch-programs: programs
	$(CARGO) build --release --package dkms-hooks-pacman $(if $(LIBALPM),--features libalpm-$(LIBALPM))

install-arch: arch-programs ## all of it as on Arch, and what pacman calls
	$(RELEASE) install arch "$(DESTDIR)/"

arch: arch-programs ## dist/dkms-*.pkg.tar.zst by our own writer; where makepkg is, the same by it, in dist/makepkg/
	$(RELEASE) arch dist
	@if command -v makepkg >/dev/null; then packaging/makepkg dist/makepkg $(TARGET)/release; \
	else echo "make arch: makepkg is not installed; packaging/PKGBUILD was not tried"; fi

tarball: ## dist/dkms-VERSION.tar.gz: the source of this commit with all crates; it builds without a network
	packaging/source-release dist
