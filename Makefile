# make            build/lathe (the command), liblathe.a and .so; to learn from: build/conv-ladder and the labs
# make deps       install the system packages that are missing, or say which
# make demo       train on the built-in images for about a minute and show what came of it
# make test       every quick test
# make long       tests that take minutes
# make asan       the same tests of a library and a command under the address and undefined-behaviour sanitizers
# make tsan       the tests that use threads under the thread sanitizer
# make fuzz       damaged files for every file reader, FUZZ_SECONDS=60 each (clang)
# make bench      speed and memory of training, float and int8 inference, beside PyTorch and onnxruntime if installed
# make busy       what other busy processes take from that speed, beside what they take from PyTorch's
# make roofline   the layers that make bench measured, under the roofline of the machine (gnuplot)
# make parity     resnet20 on CIFAR-10 step by step beside PyTorch (LATHE_DATA says where the images are)
# make install    PREFIX=/usr/local DESTDIR=   headers, libraries, command, pkg-config file
# make uninstall  take them away again
# make clean      remove build/
CXX      ?= g++
CXXFLAGS ?= -O3
LDFLAGS  ?=
PREFIX   ?= /usr/local
BUILD    ?= release
VERSION  := 0.1.0

FLAGS_release :=
# Without the checks of every single pointer, which double the time to compile: the address sanitizer sees what they
# would.
FLAGS_asan    := -O1 -g1 -fsanitize=address,undefined -fno-sanitize=vptr,null,alignment,object-size \
                 -fno-sanitize-recover=undefined -fno-omit-frame-pointer
FLAGS_tsan    := -O1 -g1 -fsanitize=thread -fno-omit-frame-pointer
FLAGS_fuzz    := $(FLAGS_asan) -O2 -fsanitize=fuzzer-no-link
FLAGS_arm64   :=
ifeq ($(filter $(BUILD),release asan tsan fuzz arm64),)
$(error unknown BUILD '$(BUILD)': expected release, asan, tsan, fuzz or arm64)
endif

# All cores, unless -j says otherwise.
ifeq ($(filter -j%,$(MAKEFLAGS)),)
MAKEFLAGS += -j$(shell nproc 2>/dev/null || echo 2)
endif

OUT := build/$(BUILD)
BIN := $(if $(filter release,$(BUILD)),build,$(OUT))

# Floating point stays strict, or the checks for NaN would be optimised away. Only contracting a*b+c into one
# instruction is allowed, and nothing reads errno after a square root, which is what keeps loops with one from being
# vectorised.
ALL_CXX = $(CXX) -std=c++20 -fPIC -fopenmp -Wall -Wextra -ffp-contract=fast -fno-math-errno -Ibuild/include \
          $(CXXFLAGS) $(FLAGS_$(BUILD)) $(ISA)
LDLIBS  = $(BLAS_LIBS) -lz
BLAS_CFLAGS = $(shell pkg-config --cflags openblas 2>/dev/null)
BLAS_LIBS   = $(shell pkg-config --libs openblas 2>/dev/null || echo -lopenblas)

$(OUT)/core/kernels/gemm/blas.o: private ALL_CXX += $(BLAS_CFLAGS)

# Kernels are compiled once per instruction set; everything else for the oldest machine that is supported.
MACHINE := $(shell $(CXX) -dumpmachine 2>/dev/null || uname -m)
ifneq ($(findstring x86_64,$(MACHINE)),)
ISA = -march=x86-64-v2
$(OUT)/%_avx2.o:   private ISA = -march=x86-64-v3
$(OUT)/%_avx512.o: private ISA = -march=x86-64-v4 -mprefer-vector-width=512
$(OUT)/%_avxvnni.o: private ISA = -march=x86-64-v3 -mavxvnni
$(OUT)/%_amx.o:    private ISA = -march=x86-64-v4 -mprefer-vector-width=512 -mavx512vnni -mamx-tile -mamx-int8
$(OUT)/%_vnni.o:   private ISA = -march=x86-64-v4 -mprefer-vector-width=512 -mavx512vnni
FOREIGN := %_neon.cpp %_dotprod.cpp
else
$(OUT)/%_dotprod.o: private ISA = -march=armv8.2-a+dotprod
FOREIGN := %_avx2.cpp %_avx512.cpp %_avxvnni.cpp %_vnni.cpp %_amx.cpp
endif

# GCC looks for garbage whenever its heap has grown by a third, so again and again where it begins small or where a
# precompiled header has filled it: not below half a GiB.
ifeq ($(findstring clang,$(shell $(CXX) --version 2>/dev/null)),)
ALL_CXX += --param ggc-min-expand=100 --param ggc-min-heapsize=500000
# What a folder's one source includes is no header: functions of its unnamed namespaces may well be used by others.
NO_HEADERS := -Wno-subobject-linkage
endif

# Pictures are to be the same on processors that fuse multiplications with additions.
$(OUT)/data/folder.o: private ALL_CXX += -ffp-contract=off

# On damaged images stb_image counts on arithmetic that wraps around and shifts by too much, and copies zero bytes from
# a null pointer.
$(OUT)/data/image.o: private ALL_CXX += -fwrapv -fno-sanitize=shift,nonnull-attribute

# What calls kernels, or runs once, need not be optimised as they are; it compiles in less time. (Not so optim/: its
# loops over parameters take a fifth of a small network's step.)
$(OUT)/nn/%.o $(OUT)/core/files/%.o: private CXXFLAGS = -O1
$(OUT)/compress/%.o $(OUT)/nas/%.o: private CXXFLAGS = -O2
TOOLS_CXXFLAGS := -O0
TESTS_CXXFLAGS := -O1
$(OUT)/tools/%.o: private CXXFLAGS = $(TOOLS_CXXFLAGS)
$(OUT)/tests/%.o: private CXXFLAGS = $(TESTS_CXXFLAGS)
$(OUT)/tests/bench/%.o $(OUT)/tools/ladder/%.o: private CXXFLAGS = -O3

# Files of these folders at any depth.
LIBRARY  := $(wildcard core nn data optim compress nas)
LIB_SRC  := $(filter-out $(FOREIGN),$(sort $(shell find $(LIBRARY) -name '*.cpp')))
TOOL_SRC := $(wildcard tools/*.cpp)
TEST_SRC := $(filter-out tests/bench/% tests/parity/% tests/fuzz/%,$(sort $(shell find tests -name '*.cpp')))
BENCH_SRC := $(wildcard tests/bench/*.cpp tests/parity/*.cpp)
FUZZ_SRC := $(wildcard tests/fuzz/*.cpp)
HEADERS  := $(sort $(shell find $(LIBRARY) tools -name '*.h'))
# The sources of a folder are compiled as one, in less than half the time, for most of it goes into headers: a name in
# an unnamed namespace is one of the folder. Alone are what has flags of its own and what a program begins with.
ALONE    := %_baseline.cpp %_avx2.cpp %_avx512.cpp %_avxvnni.cpp %_vnni.cpp %_amx.cpp %_neon.cpp %_dotprod.cpp \
            core/kernels/gemm/blas.cpp data/image.cpp tools/lathe.cpp
together  = $(filter-out $(ALONE) $(FOREIGN),$1)
objects   = $(patsubst %.cpp,$(OUT)/%.o,$(filter $(ALONE),$1)) \
            $(patsubst %,$(OUT)/%folder.o,$(sort $(dir $(call together,$1))))
LIB_OBJ  := $(call objects,$(LIB_SRC))
TOOL_OBJ := $(call objects,$(TOOL_SRC))
LAB_OBJ  := $(patsubst %.cpp,$(OUT)/%.o,$(wildcard tools/labs/*.cpp))
LABS     := $(patsubst tools/labs/%.cpp,$(BIN)/%,$(wildcard tools/labs/lab*.cpp))
LADDER   := $(BIN)/conv-ladder
# The sanitized library and command are put to the tests of the release build: to compile these again takes as long as
# the library, and finds nothing.
TEST_OUT := $(if $(filter asan,$(BUILD)),build/release,$(OUT))
TEST_OBJ := $(TEST_SRC:%.cpp=$(TEST_OUT)/%.o)
BENCH_OBJ := $(BENCH_SRC:%.cpp=$(OUT)/%.o)

.PHONY: all deps demo test long check-headers asan tsan thread-tests fuzz bench busy roofline parity check-prefix \
        install uninstall clean help
all: $(BIN)/lathe $(BIN)/liblathe.a $(BIN)/liblathe.so $(LABS) $(LADDER)

$(BIN)/lathe: $(TOOL_OBJ) $(BIN)/liblathe.a
	$(ALL_CXX) $(LDFLAGS) -o $@ $^ $(LDLIBS)

# One program a course lab, from its own file and what they share.
LAB_PARTS := $(filter-out $(LABS:$(BIN)/%=$(OUT)/tools/labs/%.o),$(LAB_OBJ)) $(OUT)/tools/folder.o
$(LABS): $(BIN)/%: $(OUT)/tools/labs/%.o $(LAB_PARTS) $(BIN)/liblathe.a
	$(ALL_CXX) $(LDFLAGS) -o $@ $^ $(LDLIBS)

# One convolution at six speeds.
$(LADDER): $(OUT)/tools/ladder/conv_ladder.o $(OUT)/tools/folder.o $(BIN)/liblathe.a
	$(ALL_CXX) $(LDFLAGS) -o $@ $^ $(LDLIBS)

$(BIN)/liblathe.a: $(LIB_OBJ)
	rm -f $@ && ar rcs $@ $^

$(BIN)/liblathe.so: $(LIB_OBJ)
	$(ALL_CXX) $(LDFLAGS) -shared -Wl,-soname,liblathe.so.0 -o $@ $^ $(LDLIBS)
	ln -sf $(@F) $@.0

# The whole library first: of an inline function that both hold, the linker takes the library's, which is sanitized.
$(BIN)/lathe-tests: $(BIN)/liblathe.a $(TEST_OBJ)
	$(ALL_CXX) $(LDFLAGS) -o $@ -Wl,--whole-archive $< -Wl,--no-whole-archive $(TEST_OBJ) $(LDLIBS)

# One program a file of tests/bench: conv_bench.cpp makes build/conv-bench.
$(BIN)/%-bench: $(OUT)/tests/bench/%_bench.o $(BIN)/liblathe.a
	$(ALL_CXX) $(LDFLAGS) -o $@ $^ $(LDLIBS)

# The first Python that has PyTorch, else any.
TORCH_PYTHON = $(shell for p in $(PYTHON) python3 /usr/bin/python3; do \
    $$p -c 'import torch' 2>/dev/null && echo $$p && exit; done; echo python3)

# BENCH="resnet20 tape" THREADS=2 BATCH=128 BASE=earlier.json narrow the bench.
bench: $(BIN)/train-bench
	$(TORCH_PYTHON) tests/bench/bench.py --worker $< $(if $(BENCH),--nets "$(BENCH)") \
	    $(if $(BATCH),--batch "$(BATCH)") $(if $(THREADS),--threads "$(THREADS)") $(if $(BASE),--base $(BASE))

busy: $(BIN)/train-bench
	$(TORCH_PYTHON) tests/bench/busy.py --worker $< $(if $(BENCH),--nets "$(BENCH)") \
	    $(if $(THREADS),--threads "$(THREADS)") $(if $(BASE),--base $(BASE))

roofline:
	$(TORCH_PYTHON) tests/bench/roofline.py build/bench.json

# The first epochs and a checkpoint of resnet20 on CIFAR-10 beside PyTorch: tests/parity/parity.py.
parity: $(BIN)/train-stream $(BIN)/lathe
	$(TORCH_PYTHON) tests/parity/parity.py --stream $< \
	    $(if $(EPOCHS),--epochs $(EPOCHS)) $(if $(FIRST),--first $(FIRST))

$(BIN)/train-stream: $(OUT)/tests/parity/train_stream.o $(BIN)/liblathe.a
	$(ALL_CXX) $(LDFLAGS) -o $@ $^ $(LDLIBS)

test: all $(BIN)/lathe-tests
	$(if $(filter release,$(BUILD)),tests/architecture.sh $(OUT))
	tests/run.sh $(BIN)

long: $(BIN)/lathe-tests
	tests/run.sh $(BIN) -ns -tc='long: *'

# Every public header compiles alone, and without a warning that users may ask for.
check-headers: $(HEADERS:%=$(OUT)/%.alone)
$(OUT)/%.alone: % $(OUT)/.flags | build/include/lathe
	@mkdir -p $(@D)
	echo '#include "lathe/$<"' | \
	    $(ALL_CXX) -Werror -Wshadow -Wsign-conversion -fsyntax-only -MMD -MP -MF $@.d -MT $@ -x c++ - && touch $@
-include $(HEADERS:%=$(OUT)/%.alone.d)

# About a minute of training on the built-in images, then what came of it.
demo: $(BIN)/lathe
	tools/demo.sh $(BIN)/lathe build/demo $(DEMO_EPOCHS)

asan: $(TEST_OBJ)
	$(MAKE) BUILD=asan test

# Four threads on any machine. The sanitizer does not follow a fork. Of libgomp, which is not built for it, it sees
# nothing: core/parallel.cpp tells it where a region begins and ends. What OpenBLAS does inside is suppressed.
tsan:
	$(MAKE) BUILD=tsan thread-tests
THREAD_SRC := $(shell grep -rlE 'std::thread|set_threads|ThreadScope|workers' --include=*_test.cpp \
    $(LIBRARY:%=tests/%))
thread-tests: $(BIN)/thread-tests $(BIN)/liblathe.so
	OMP_NUM_THREADS=4 LATHE_BIN=$(BIN)/lathe TSAN_OPTIONS="halt_on_error=1 suppressions=tests/tsan.supp" \
	    $< -tce='*killed*,*child process*,exit()*'
$(BIN)/thread-tests: $(THREAD_SRC:%.cpp=$(OUT)/%.o) $(OUT)/tests/main.o $(OUT)/tests/data/test_files.o \
                     $(OUT)/tests/support/recorded.o $(BIN)/liblathe.a
	$(ALL_CXX) $(LDFLAGS) -o $@ $^ $(LDLIBS)

# Feeds every reader of files with damaged ones, FUZZ_SECONDS each; FUZZER=name picks one.
FUZZ_SECONDS ?= 60
FUZZ_CXX     ?= clang++
FUZZER       ?= *
FUZZERS = $(patsubst tests/fuzz/%.cpp,build/fuzz/%-fuzzer,$(filter-out %/fuzz.cpp,$(wildcard tests/fuzz/$(FUZZER).cpp)))
fuzz:
	@command -v $(lastword $(FUZZ_CXX)) > /dev/null || \
	    { echo "make fuzz needs clang++: apt install clang libomp-dev"; exit 1; }
	$(MAKE) BUILD=fuzz CXX="$(FUZZ_CXX)" $(FUZZERS)
	tests/fuzz/run.sh $(FUZZ_SECONDS) $(FUZZERS)

$(OUT)/%-fuzzer: $(OUT)/tests/fuzz/%.o $(OUT)/tests/fuzz/fuzz.o $(OUT)/tests/data/test_files.o $(BIN)/liblathe.a
	$(ALL_CXX) $(LDFLAGS) -fsanitize=fuzzer -o $@ $^ $(LDLIBS)

# One word for the shell, whatever DESTDIR holds. PREFIX goes into flags that nothing quotes, so it may hold plain
# characters only.
ROOT = '$(subst ','\'',$(DESTDIR)$(PREFIX))'
check-prefix:
	@case '$(subst ','\'',$(PREFIX))' in (*[!A-Za-z0-9_./+@,:=~-]*) false;; (/*) ;; (*) false;; esac || \
	    { echo 'PREFIX: expected an absolute path without spaces and the like, since compilers get it from' \
	           'pkg-config as a word; DESTDIR may have them' >&2; exit 2; }

install: check-prefix all
	install -d $(ROOT)/bin $(ROOT)/lib/pkgconfig
	install $(BIN)/lathe $(ROOT)/bin/lathe
	install -m 644 $(BIN)/liblathe.a $(ROOT)/lib/
	install $(BIN)/liblathe.so $(ROOT)/lib/liblathe.so.$(VERSION)
	ln -sf liblathe.so.$(VERSION) $(ROOT)/lib/liblathe.so.0
	ln -sf liblathe.so.0 $(ROOT)/lib/liblathe.so
	for h in $(HEADERS); do install -D -m 644 $$h $(ROOT)/include/lathe/$$h || exit 1; done
	install -m 644 tools/lathe.h $(ROOT)/include/lathe/lathe.h
	sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@VERSION@|$(VERSION)|' -e 's|@BLAS_LIBS@|$(BLAS_LIBS)|' \
	    tools/lathe.pc.in > $(ROOT)/lib/pkgconfig/lathe.pc

# What install puts there, file by file, and the folders of headers that are then empty.
uninstall: check-prefix
	cd $(ROOT) && rm -f bin/lathe lib/pkgconfig/lathe.pc \
	    lib/liblathe.a lib/liblathe.so lib/liblathe.so.0 lib/liblathe.so.$(VERSION) \
	    include/lathe/lathe.h $(HEADERS:%=include/lathe/%)
	if [ -d $(ROOT)/include/lathe ]; then find $(ROOT)/include/lathe -type d -empty -delete; fi

deps:
	tools/install_deps.sh $(CXX)

# Looked for once before anything is compiled.
build/.deps: tools/install_deps.sh
	tools/install_deps.sh $(CXX)
	@mkdir -p build && touch $@

help:
	@sed -n 's/^# make/make/p' Makefile

.SECONDARY:  # objects that only pattern rules name are kept too

# Includes are spelled "lathe/core/tensor.h", before and after installation.
build/include/lathe: | build/.deps
	mkdir -p build/include && ln -sfn ../.. $@

# Changed flags rebuild everything. (FORCE has to be phony: .SECONDARY makes an absent file no reason to build.)
$(OUT)/.flags: FORCE | build/include/lathe
	@mkdir -p $(OUT) && echo '$(ALL_CXX)' | cmp -s - $@ || echo '$(ALL_CXX)' > $@
.PHONY: FORCE
FORCE:

# Headers that are not ours are parsed once for all tests. (A compiler that keeps what it made of the same sources
# before, as ccache does, wants the sources alone: PRECOMPILED=. Fuzzers are no tests: nothing of doctest in them.)
PRECOMPILED ?= $(filter-out fuzz,$(BUILD))
HEADERS_OF_TESTS := algorithm array atomic cmath cstdint filesystem fstream functional iostream map memory mutex \
                    numeric optional set span sstream string string_view thread utility variant vector doctest/doctest.h
$(OUT)/tests/%.o: private WITH = $(if $(PRECOMPILED),-include $(OUT)/tests.h)
$(OUT)/tests/bench/%.o $(OUT)/tests/parity/%.o: private WITH =
$(TEST_OBJ): | $(if $(PRECOMPILED),$(TEST_OUT)/tests.h.gch)
$(OUT)/tests.h.gch: private CXXFLAGS = $(TESTS_CXXFLAGS)
$(OUT)/tests.h.gch: $(OUT)/.flags | build/include/lathe
	printf '#include <%s>\n' $(HEADERS_OF_TESTS) > $(OUT)/tests.h
	$(ALL_CXX) -x c++-header -o $@.new $(OUT)/tests.h && mv $@.new $@

$(OUT)/%/folder.cpp: FORCE | build/include/lathe
	@mkdir -p $(@D)
	@printf '#include "%s"\n' $(call together,$(sort $(wildcard $*/*.cpp))) > $@.new
	@cmp -s $@.new $@ && rm $@.new || mv $@.new $@
$(OUT)/%/folder.o: $(OUT)/%/folder.cpp $(OUT)/.flags
	$(ALL_CXX) -iquote . $(NO_HEADERS) -MMD -MP -c -o $@ $<

$(OUT)/%.o: %.cpp $(OUT)/.flags | build/include/lathe
	@mkdir -p $(@D)
	$(ALL_CXX) $(WITH) -MMD -MP -c -o $@ $<

-include $(LIB_OBJ:.o=.d) $(TOOL_OBJ:.o=.d) $(LAB_OBJ:.o=.d) $(OUT)/tools/ladder/conv_ladder.d
-include $(TEST_OBJ:.o=.d) $(BENCH_OBJ:.o=.d) $(FUZZ_SRC:%.cpp=$(OUT)/%.d)

clean:
	rm -rf build
