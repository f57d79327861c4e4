#include "lathe/tools/common_options.h"

#include "lathe/core/parallel.h"

namespace lathe::tools {

CLI::Option* add_threads(CLI::App& command) {
    const auto set = [](int count) {
        if (count > 0) set_threads(count);
    };
    return command.add_option_function<int>("--threads", set, "0: OMP_NUM_THREADS, else all cores")
        ->check(CLI::Range(0, 4096))
        ->default_str("0");
}

CLI::Option* add_runs(CLI::App& command, int& runs) {
    return command.add_option("--runs", runs, "Times are medians over so many runs")
        ->check(CLI::Range(1, 100000))
        ->capture_default_str();
}

CLI::Option* add_share(CLI::App& command, const std::string& name, double& share, const std::string& help) {
    return command.add_option(name, share, help)->check(CLI::Range(0.0, 1.0))->capture_default_str();
}

CLI::Option* add_input(CLI::App& command, std::string& input) {
    return command
        .add_option("--input", input, "Images are scaled to HxWxC; auto: what a file, .json, --arch or, for folders, "
                                    "any network states, else the data's")
        ->capture_default_str();
}

}  // namespace lathe::tools
