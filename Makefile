# make            library and command, optimised      make deps     install the system packages
# make demo       train on the built-in images        make test     every quick test
# make help       all targets
CXX      ?= g++
CXXFLAGS ?= -O3 -g
LDFLAGS  ?=
PREFIX   ?= /usr/local
BUILD    ?= release
VERSION  := 0.1.0

FLAGS_release :=
FLAGS_asan    := -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
ifeq ($(filter $(BUILD),release asan),)
$(error unknown BUILD '$(BUILD)': expected release or asan)
endif

OUT := build/$(BUILD)
BIN := $(if $(filter release,$(BUILD)),build,$(OUT))

# No -ffast-math anywhere: it would silence the checks for NaN. Contracting a*b+c into one instruction is allowed.
ALL_CXX = $(CXX) -std=c++20 -fPIC -fopenmp -Wall -Wextra -ffp-contract=fast -Ibuild/include $(CXXFLAGS) $(FLAGS_$(BUILD)) $(ISA)
LDLIBS  = -lopenblas -lz -fopenmp

# Kernels are compiled once per instruction set; everything else for the oldest machine that is supported.
MACHINE := $(shell $(CXX) -dumpmachine)
ifneq ($(findstring x86_64,$(MACHINE)),)
ISA = -march=x86-64-v2
$(OUT)/%_avx2.o:   ISA = -march=x86-64-v3
$(OUT)/%_avx512.o: ISA = -march=x86-64-v4 -mprefer-vector-width=512
FOREIGN := %_neon.cpp
else
FOREIGN := %_avx2.cpp %_avx512.cpp
endif

LIB_SRC  := $(filter-out $(FOREIGN),$(wildcard $(foreach d,core nn data optim compress nas,$(d)/*.cpp $(d)/*/*.cpp)))
TOOL_SRC := $(wildcard tools/*.cpp)
TEST_SRC := $(filter-out tests/bench/%,$(wildcard tests/*.cpp tests/*/*.cpp tests/core/*/*.cpp))
BENCH_SRC := $(wildcard tests/bench/*.cpp)
LIB_OBJ  := $(LIB_SRC:%.cpp=$(OUT)/%.o)
TOOL_OBJ := $(TOOL_SRC:%.cpp=$(OUT)/%.o)
TEST_OBJ := $(TEST_SRC:%.cpp=$(OUT)/%.o)
BENCH_OBJ := $(BENCH_SRC:%.cpp=$(OUT)/%.o)

.PHONY: all deps demo test asan bench install clean help
all: $(BIN)/lathe $(BIN)/liblathe.a $(BIN)/liblathe.so

$(BIN)/lathe: $(TOOL_OBJ) $(BIN)/liblathe.a
	$(ALL_CXX) $(LDFLAGS) -o $@ $^ $(LDLIBS)

$(BIN)/liblathe.a: $(LIB_OBJ)
	rm -f $@ && ar rcs $@ $^

$(BIN)/liblathe.so: $(LIB_OBJ)
	$(ALL_CXX) $(LDFLAGS) -shared -Wl,-soname,liblathe.so.0 -o $@ $^ $(LDLIBS)

$(BIN)/lathe-tests: $(TEST_OBJ) $(BIN)/liblathe.a
	$(ALL_CXX) $(LDFLAGS) -o $@ $^ $(LDLIBS)

# One program a file of tests/bench: conv_bench.cpp makes build/conv-bench.
$(BIN)/%-bench: $(OUT)/tests/bench/%_bench.o $(BIN)/liblathe.a
	$(ALL_CXX) $(LDFLAGS) -o $@ $^ $(LDLIBS)

test: all $(BIN)/lathe-tests
	$(BIN)/lathe-tests

# Includes are spelled "lathe/core/tensor.h", before and after installation.
build/include/lathe:
	mkdir -p build/include && ln -sfn ../.. $@

# Changed flags rebuild everything.
$(OUT)/.flags: FORCE | build/include/lathe
	@mkdir -p $(OUT) && echo '$(ALL_CXX)' | cmp -s - $@ || echo '$(ALL_CXX)' > $@
FORCE:

$(OUT)/%.o: %.cpp $(OUT)/.flags | build/include/lathe
	@mkdir -p $(@D)
	$(ALL_CXX) -MMD -MP -c -o $@ $<

-include $(LIB_OBJ:.o=.d) $(TOOL_OBJ:.o=.d) $(TEST_OBJ:.o=.d) $(BENCH_OBJ:.o=.d)

clean:
	rm -rf build
