#pragma once
#include <CLI/CLI.hpp>

namespace lathe::tools {

// Each adds one subcommand, with its options and what it does, to the `lathe` command. A command that fails throws
// lathe::Error; one that was stopped by a signal returns through exit_code().
void add_train(CLI::App& app);
void add_prune(CLI::App& app);
void add_quantize(CLI::App& app);
void add_scan(CLI::App& app);
void add_eval(CLI::App& app);
void add_profile(CLI::App& app);
void add_compare(CLI::App& app);
void add_predict(CLI::App& app);
void add_tune(CLI::App& app);
void add_nas(CLI::App& app);  // with subcommands of its own
void add_info(CLI::App& app);

// What the process returns when no error was thrown: 0, or 128 + the signal that stopped a training run.
int& exit_code();

}  // namespace lathe::tools
