#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <exception>
#include <new>

#include "lathe/core/error.h"
#include "lathe/core/kernels/dispatch/dispatch.h"
#include "lathe/tools/checks.h"
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
    for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; }))
        names.push_back(command->get_name());
    if (word.starts_with("-") || std::find(names.begin(), names.end(), word) != names.end()) return;
    const std::string hint = lathe::nearest_name(word, names);
    throw CLI::ValidationError("unknown command '" + word + "'" + (hint.empty() ? "" : "; " + hint));
}

// A wrong LATHE_CPU is wrong usage, and ends the command before it does anything.
void check_cpu() {
    try {
        lathe::kernels::requested_isa();
    } catch (const lathe::Error& error) {
        throw CLI::ValidationError(error.what());
    }
}

// What an error says, on one line. Returns the exit code.
int say(int code, const std::string& what, const char* remedy = "") {
    std::fprintf(stderr, "lathe: %s%s\n", lathe::printable(lathe::shortened(what, 1000)).c_str(), remedy);
    return code;
}

int run(CLI::App& app, int argc, char** argv) {
    using namespace lathe::tools;
    try {
        if (argc > 1) check_command(app, argv[1]);
        app.parse(argc, argv);
        return exit_code();
    } catch (const CLI::Success& help) {
        return app.exit(help);
    } catch (const CLI::ParseError& wrong) {
        return say(2, wrong.what(), " (see lathe --help)");
    } catch (const std::bad_alloc&) {
        return say(1, "not enough memory");
    } catch (const std::exception& error) {
        return say(1, error.what());
    }
}

}  // namespace

int main(int argc, char** argv) {
    using namespace lathe::tools;
    std::signal(SIGXFSZ, SIG_IGN);  // a file over the limit of `ulimit -f` is then an error of the write
    CLI::App app{"Lathe trains small neural networks and makes them smaller and faster.", "lathe"};
    app.require_subcommand(1);
    app.footer("`lathe COMMAND --help` explains a command.  Exit codes: 0 done, 1 failed, 2 wrong usage.");
    app.parse_complete_callback(check_cpu);
    add_train(app);
    add_prune(app);
    add_quantize(app);
    add_scan(app);
    add_eval(app);
    add_profile(app);
    add_compare(app);
    add_predict(app);
    add_tune(app);
    add_info(app);
    for (CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; })) check_words(*command);
    const int code = run(app, argc, argv);
    const bool written = std::fflush(stdout) == 0 && !std::ferror(stdout);
    return written || code != 0 ? code : say(1, std::string("the output cannot be written: ") + std::strerror(errno));
}
