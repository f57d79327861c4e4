#pragma once
#include <CLI/CLI.hpp>
#include <optional>
#include <string>

namespace lathe::tools {

// A folder that one process at a time works in; the lock goes with the object, or the process.
class FolderLock {
public:
    explicit FolderLock(const std::string& folder);  // Error: another process holds it
    ~FolderLock();
    FolderLock(const FolderLock&) = delete;
    FolderLock& operator=(const FolderLock&) = delete;

private:
    int descriptor_;
};

// Where a command that trains puts its run: the options --out, --resume and --force. A run is hours of work, so another
// one takes its folder only when told to, and its files go only when those of the new run are there.
class RunFolder {
public:
    std::string path;
    bool resume = false, force = false;

    RunFolder() = default;
    ~RunFolder();  // of a run replaced by another one or by none: what settle() does
    RunFolder(const RunFolder&) = delete;
    RunFolder& operator=(const RunFolder&) = delete;

    void add_to(CLI::App& command, const std::string& contents);
    std::string operator/(const std::string& name) const { return path + "/" + name; }

    // Before anything else: takes over the settings of a run that goes on. Error: the folder holds a run, and neither
    // --resume nor --force was given; another process works in it.
    void enter(CLI::App& command);
    // When all options have been found good: makes the folder, sets the files of an earlier run aside and writes the
    // settings. Nothing when resuming. Error: an option names one of the files that would be replaced.
    void claim(const CLI::App& command);
    // Whether there is a checkpoint to go on from: not in a run that was stopped before it trained.
    bool resumes_training() const;
    // A run that was stopped and can go on is one, however short: it replaces the run before.
    void keep() { kept_ = true; }

private:
    bool has(const std::string& name) const;
    // More than the checkpoint that a run begins with.
    bool has_results() const {
        return has("best.safetensors") || has("pruned.safetensors") || has("quantized.safetensors") ||
               has("quantized.safetensors.gz") || has("supernet.safetensors");
    }
    void check_free(const CLI::App& command) const;
    void check_inputs(const CLI::App& command) const;
    void set_aside() const;
    void settle() const;

    std::optional<FolderLock> lock_;
    bool claimed_ = false, kept_ = false;
};

}  // namespace lathe::tools
