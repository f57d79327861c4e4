#pragma once
#include <CLI/CLI.hpp>
#include <string>

namespace lathe::tools {

// Where a command that trains puts its run: the options --out, --resume and --force.
struct RunFolder {
    std::string path;
    bool resume = false, force = false;

    void add_to(CLI::App& command, const std::string& contents);
    std::string operator/(const std::string& name) const { return path + "/" + name; }

    // Before anything else: takes over the settings of a run that goes on. A run is hours of work, so another one takes its
    // folder only when told to. Error: the folder holds a run, and neither --resume nor --force was given.
    void enter(CLI::App& command) const;
    // When all options have been found good: makes the folder, empties it of an earlier run and writes the settings. Its
    // checkpoint goes before its settings do, so that the two never belong to different runs. Nothing when resuming.
    void claim(const CLI::App& command) const;
};

}  // namespace lathe::tools
