#include "lathe/tools/run_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>

#include "lathe/core/error.h"
#include "lathe/core/files/file.h"
#include "lathe/tools/settings.h"

namespace lathe::tools {

namespace fs = std::filesystem;

namespace {

// Any of them is a run. The settings are set aside first and come back last, so that while they are missing it is known
// that the others may lie on both sides.
constexpr const char* kSettings = "config.json";
constexpr const char* kFiles[] = {"last.safetensors", "best.safetensors", "pruned.safetensors", "quantized.safetensors",
                                  "quantized.safetensors.gz", "quantized-int8.safetensors", "supernet.safetensors",
                                  "teacher.safetensors", "log.csv"};
constexpr const char* kAside = ".replaced";

}  // namespace

FolderLock::FolderLock(const std::string& folder)
    : descriptor_(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)) {
    const bool taken = descriptor_ >= 0 && flock(descriptor_, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK;
    if (taken) close(descriptor_);
    check(!taken, folder, ": another process is at work in this folder; expected another --out");
}

FolderLock::~FolderLock() {
    if (descriptor_ >= 0) close(descriptor_);
}

RunFolder::~RunFolder() {
    if (!lock_) return;
    std::error_code ignored;
    if (claimed_ && !has_results() && !has("last.safetensors"))  // nothing came of it
        for (const char* name : {kSettings, "log.csv"}) fs::remove(*this / name, ignored);
    settle();
}

void RunFolder::add_to(CLI::App& command, const std::string& contents) {
    command.add_option("--out", path, "Folder for " + contents)->required();
    auto* go_on =
        command.add_flag("--resume", resume, "Go on from OUT/last.safetensors with the settings of OUT/config.json");
    command.add_flag("--force", force, "Replace the run that is in OUT")->excludes(go_on);
}

bool RunFolder::has(const std::string& name) const {
    std::error_code ignored;
    return fs::exists(*this / name, ignored);
}

bool RunFolder::resumes_training() const { return resume && has("last.safetensors"); }

void RunFolder::check_free(const CLI::App& command) const {
    bool free = !has(kSettings);
    for (const char* name : kFiles) free &= !has(name);
    check(free || force, command.get_name(), ": ", path,
          " holds a run; --resume goes on with it, --force replaces it, another --out keeps it");
}

void RunFolder::check_inputs(const CLI::App& command) const {
    std::error_code ignored;
    for (const CLI::Option* option : command.get_options())
        for (const std::string& word : option->results())
            for (const char* name : kFiles)
                check(!fs::equivalent(word, *this / name, ignored), command.get_name(), ": --",
                      option->get_single_name(), " is ", word, ", which would be replaced; expected another --out");
}

void RunFolder::enter(CLI::App& command) {
    check(!path.empty(), command.get_name(), ": expected a folder for --out");
    std::error_code ignored;
    if (fs::is_directory(path, ignored)) {
        lock_.emplace(path);
        if (!resume || !has(kSettings)) settle();
    }
    if (resume)
        restore_settings(command, *this / kSettings,
                         {"out", "threads", "workers", "data", "data-root", "recompute-activations"});
    else check_free(command);
}

void RunFolder::claim(const CLI::App& command) {
    if (resume) return;
    const std::string settings = settings_json(command);
    check_inputs(command);
    make_folder(path);
    if (!lock_) {
        lock_.emplace(path);
        check_free(command);  // of what another process has left since
    }
    set_aside();
    write_file_atomically(*this / kSettings, settings);
    claimed_ = true;
}

// Moves the run before out of the way.
void RunFolder::set_aside() const {
    const auto move = [&](const char* name) {
        std::error_code error;
        if (!has(name)) return;
        fs::create_directory(*this / kAside, error);
        if (!error) fs::rename(*this / name, *this / kAside + "/" + name, error);
        check(!error, path, ": cannot move ", name, " of the run before: ", error.message());
    };
    move(kSettings);
    for (const char* name : kFiles) move(name);
}

// Drops the run that was set aside when another one has taken its place, else brings it back.
void RunFolder::settle() const {
    if (!has(kAside)) return;
    std::error_code ignored;
    const std::string aside = *this / kAside + "/";
    const bool begun = has(kSettings);  // then nothing of the run before is left here
    const bool replaced = begun && (has_results() || (kept_ && has("last.safetensors")));
    if (begun && !replaced)
        for (const char* name : {kSettings, "last.safetensors", "log.csv"}) fs::remove(*this / name, ignored);
    const auto put = [&](const char* name) {
        if (replaced) fs::remove(aside + name, ignored);
        else if (fs::exists(aside + name, ignored)) fs::rename(aside + name, *this / name, ignored);
    };
    for (const char* name : kFiles) put(name);
    put(kSettings);
    fs::remove(aside, ignored);
}

}  // namespace lathe::tools
