#pragma once
#include <CLI/CLI.hpp>
#include <cstdio>
#include <string>

#include "lathe/core/error.h"
#include "lathe/tools/plot.h"

// What the walks through the course's labs have in common: how they begin, print and fail.
namespace lathe::tools {

inline void heading(const char* text) { std::printf("\n=== %s\n\n", text); }

// What the reference notebook does at this step, and what is done here.
inline void trap(const char* reference, const char* here) {
    std::printf("the reference: %s\nhere: %s\n\n", reference, here);
}

inline void draw(const std::string& folder, const char* name, const std::string& commands, int height = 540) {
    const bool drawn = plot_svg(folder + "/" + name, commands, 900, height);
    std::printf("figure: %s/%s.%s\n", folder.c_str(), name,
                drawn ? "svg" : "gnuplot (install gnuplot for the picture)");
}

// Reads the command line and walks. Returns the exit code; an Error is one line.
template <class F>
int run(CLI::App& app, int argc, char** argv, F&& walk) {
    CLI11_PARSE(app, argc, argv);
    try {
        walk();
        return 0;
    } catch (const Error& error) {
        std::fprintf(stderr, "%s\n", error.what());
        return 1;
    }
}

}  // namespace lathe::tools
