# `make run` and `make test` are all that a newcomer needs; both work on a fresh machine.

CARGO ?= cargo
REDRAFT := target/release/redraft
# What `make run` works in: models/, input/, output/, as ComfyUI lays them out.
BASE := run
SHARED ?= $(or $(REDRAFT_SHARED),../shared)
# How long OpenMP's threads turn in a loop before they sleep: libgomp's own count makes a busy machine several times slower.
export GOMP_SPINCOUNT ?= 100000

.PHONY: run test test-other-cpus example-pack bench fuzz check deny libtorch build conformance clean

# The tiny model stands in for the one that the workflow names; the draft and the prompt are those of README.md's picture.
run: build $(BASE)/input/draft.png
	$(REDRAFT) tiny-model --base-directory $(BASE)
	$(REDRAFT) run workflows/SD1.5_image2image_KSampler.json --base-directory $(BASE) --substitute '*.png=draft.png' \
		--set 6.text='a red heart on a light blue background' --set 7.text= --set 9.filename_prefix=redraft

# nextest gives each test a process of its own, which suits libtorch's process-wide seed; cargo test passes as well. With one
# thread in each, tests that run side by side do not fight over the cores.
TESTS = $(CARGO) $$($(CARGO) nextest --version >/dev/null 2>&1 && echo nextest run || echo test) --release --workspace --no-fail-fast

test test-other-cpus: export OMP_NUM_THREADS = 1
test: libtorch
	$(TESTS)

# The tests that assert figures, with the kernels that libtorch, oneDNN and MKL take on CPUs without AVX-512 and without AVX2: they
# round otherwise.
FIGURES = --exclude redraft-testing-pack --lib --test figures --test claims --test model_changes --test samplers --test sampling_figures --test tiny_model

test-other-cpus: libtorch
	ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2 MKL_ENABLE_INSTRUCTIONS=AVX2 $(TESTS) $(FIGURES)
	ATEN_CPU_CAPABILITY=default ONEDNN_MAX_CPU_ISA=SSE41 MKL_ENABLE_INSTRUCTIONS=SSE4_2 $(TESTS) $(FIGURES)

# A pack of nodes as it lies outside this repository: its own tests, and its own binary on a workflow. It takes the versions of this
# repository's lock file.
example-pack: libtorch
	cp Cargo.lock examples/my-pack/Cargo.lock
	LIBTORCH=$${LIBTORCH:-$(CURDIR)/.libtorch/site/torch} $(CARGO) test --release --manifest-path examples/my-pack/Cargo.toml --target-dir target

# What CI asks besides the tests.
check: libtorch
	$(CARGO) fmt --all --check
	$(CARGO) clippy --release --workspace --all-targets -- -D warnings
	@if $(CARGO) tree -p redraft-engine -e normal | grep -E 'tch v|torch-sys'; \
	then echo "error: the engine must not depend on tch" >&2; exit 1; fi

# Licences, versions and sources of the dependencies, by deny.toml (cargo install cargo-deny --locked); nothing is fetched.
deny:
	$(CARGO) deny --offline check --hide-inclusion-graph licenses bans sources

# Each target for FUZZ_SECONDS, with cargo-fuzz (cargo install cargo-fuzz --locked). The engine has no `unsafe`: without a
# sanitizer the fuzzer is several times faster, and RUSTC_BOOTSTRAP lets the stable compiler build it. `make test` runs
# the same harness over some seeds (engine/tests/fuzz.rs).
FUZZ_SECONDS ?= 600
FUZZ = cd fuzz && RUSTC_BOOTSTRAP=1 $(CARGO) fuzz run --fuzz-dir . --sanitizer none
# Pictures and weights pass through C and `unsafe`: with the address sanitizer (of which LeakSanitizer cannot tell libtorch's statics).
FUZZ_FILES = cd fuzz && ASAN_OPTIONS=detect_leaks=0 RUSTC_BOOTSTRAP=1 $(CARGO) fuzz run --fuzz-dir . --sanitizer address
FUZZ_LIMITS = -max_total_time=$(FUZZ_SECONDS) -timeout=10 -rss_limit_mb=2048 -max_len=20000

fuzz: libtorch
	@mkdir -p $(addprefix fuzz/corpus/,ui api picture_metadata picture torch safetensors yaml)
	$(FUZZ) ui corpus/ui seeds/ui -- $(FUZZ_LIMITS) -dict=json.dict
	$(FUZZ) api corpus/api seeds/api -- $(FUZZ_LIMITS) -dict=json.dict
	$(FUZZ) picture_metadata corpus/picture_metadata ../engine/tests/data/metadata -- $(FUZZ_LIMITS) -dict=media.dict
	$(FUZZ_FILES) picture corpus/picture ../engine/tests/data/metadata ../nodes/src/pictures/testdata -- $(FUZZ_LIMITS) -dict=media.dict
	$(FUZZ_FILES) torch corpus/torch ../nodes/src/files/testdata -- $(FUZZ_LIMITS)
	$(FUZZ_FILES) safetensors corpus/safetensors seeds/safetensors -- $(FUZZ_LIMITS) -dict=json.dict
	$(FUZZ_FILES) yaml corpus/yaml seeds/yaml -- $(FUZZ_LIMITS)

bench: build
	$(CARGO) bench -p redraft-nodes
	$(CARGO) bench -p redraft --bench overhead
	scripts/bench.py

# ComfyUI's recorded outputs against ours, each within its tolerance. They were recorded with OMP_NUM_THREADS=2: with that, most
# are equal in every bit. One thread is faster for networks this small. Exit code 3: nothing failed, and some cases need what is
# not there yet.
conformance: export OMP_NUM_THREADS ?= 1
conformance: build
	$(REDRAFT) verify $(SHARED)/conformance --base-directory $(SHARED)/conformance/base --device cpu \
		--known-differences tests/known-differences.toml || [ $$? -eq 3 ]

build: libtorch
	$(CARGO) build --release

libtorch:
	@if [ -z "$$LIBTORCH" ]; then scripts/install-libtorch.sh; fi

$(BASE)/input/draft.png: | build
	@mkdir -p $(@D)
	$(REDRAFT) draft-picture --width 128 --height 128 $@

clean:
	$(CARGO) clean
	rm -rf $(BASE)
