#include "lathe/tools/run_folder.h"

#include <filesystem>

#include "lathe/core/error.h"
#include "lathe/core/files/file.h"
#include "lathe/tools/settings.h"

namespace lathe::tools {

namespace fs = std::filesystem;

void RunFolder::add_to(CLI::App& command, const std::string& contents) {
    command.add_option("--out", path, "Folder for " + contents)->required();
    auto* go_on = command.add_flag("--resume", resume, "Go on from OUT/last.safetensors with the settings of OUT/config.json");
    command.add_flag("--force", force, "Replace the run that is in OUT")->excludes(go_on);
}

void RunFolder::enter(CLI::App& command) const {
    if (resume) restore_settings(command, *this / "config.json", {"out", "threads", "workers", "data-root", "recompute-activations"});
    check(resume || force || !fs::exists(*this / "last.safetensors"), command.get_name(), ": ", path,
          " holds a run; --resume goes on with it, --force replaces it, another --out keeps it");
}

void RunFolder::claim(const CLI::App& command) const {
    if (resume) return;
    std::error_code error;
    fs::create_directories(path, error);
    check(!error, path, ": cannot make the folder: ", error.message());
    for (const char* name : {"last.safetensors", "best.safetensors", "pruned.safetensors", "log.csv"}) {
        fs::remove(*this / name, error);
        check(!error, path, ": cannot remove ", name, " of the run before: ", error.message());
    }
    write_file_atomically(*this / "config.json", settings_json(command));
}

}  // namespace lathe::tools
