#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <exception>
#include <new>

#include "lathe/core/error.h"
#include "lathe/core/kernels/dispatch/dispatch.h"
#include "lathe/nas/elastic/elastic_slice.h"
#include "lathe/nas/space/network.h"
#include "lathe/tools/checks.h"
#include "lathe/tools/commands.h"

namespace {

std::vector<CLI::App*> commands_of(CLI::App& app) {
    return app.get_subcommands([](const CLI::App*) { return true; });
}

// The words of the command line that name a command, and a command of that one. CLI11 would only say that a subcommand
// is required.
void check_command(CLI::App& app, char** words, const std::string& before = {}) {
    const std::vector<CLI::App*> commands = commands_of(app);
    if (!*words || commands.empty()) return;
    const std::string word = *words;
    std::vector<std::string> names;
    for (CLI::App* command : commands) {
        if (command->get_name() == word) return check_command(*command, words + 1, before + word + " ");
        names.push_back(command->get_name());
    }
    if (word.starts_with("-")) return;
    const std::string hint = lathe::nearest_name(word, names);
    throw CLI::ValidationError("unknown command '" + before + word + "'" + (hint.empty() ? "" : "; " + hint));
}

void check_all_words(CLI::App& app) {
    for (CLI::App* command : commands_of(app)) {
        lathe::tools::check_words(*command);
        check_all_words(*command);
    }
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
        check_command(app, argv + 1);
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
    lathe::nas::register_spaces();
    lathe::nas::register_elastic_slice();
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
    add_nas(app);
    add_info(app);
    check_all_words(app);
    const int code = run(app, argc, argv);
    const bool written = std::fflush(stdout) == 0 && !std::ferror(stdout);
    return written || code != 0 ? code : say(1, std::string("the output cannot be written: ") + std::strerror(errno));
}
