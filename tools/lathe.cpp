#include <algorithm>
#include <cstdio>
#include <exception>

#include "lathe/core/error.h"
#include "lathe/tools/commands.h"

namespace lathe::tools {

int& exit_code() {
    static int code = 0;
    return code;
}

}  // namespace lathe::tools

namespace {

// CLI11 would only say that a subcommand is required.
void check_command(const CLI::App& app, const std::string& word) {
    std::vector<std::string> names;
    for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; })) names.push_back(command->get_name());
    if (word.starts_with("-") || std::find(names.begin(), names.end(), word) != names.end()) return;
    const std::string hint = lathe::nearest_name(word, names);
    throw CLI::ValidationError("unknown command '" + word + "'" + (hint.empty() ? "" : "; " + hint));
}

}  // namespace

int main(int argc, char** argv) {
    using namespace lathe::tools;
    CLI::App app{"Lathe trains small neural networks and makes them smaller and faster.", "lathe"};
    app.require_subcommand(1);
    app.footer("`lathe COMMAND --help` explains a command.  Exit codes: 0 done, 1 failed, 2 wrong usage.");
    add_train(app);
    add_prune(app);
    add_scan(app);
    add_eval(app);
    add_profile(app);
    add_compare(app);
    add_predict(app);
    add_tune(app);
    add_info(app);
    try {
        if (argc > 1) check_command(app, argv[1]);
        app.parse(argc, argv);
        return exit_code();
    } catch (const CLI::Success& help) {
        return app.exit(help);
    } catch (const CLI::ParseError& wrong) {
        std::fprintf(stderr, "lathe: %s (see lathe --help)\n", wrong.what());
        return 2;
    } catch (const std::exception& error) {
        std::fprintf(stderr, "lathe: %s\n", error.what());
        return 1;
    }
}
