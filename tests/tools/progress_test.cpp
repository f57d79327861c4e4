#include <doctest/doctest.h>
#include <pty.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <string>

namespace {

// What `lathe ARGUMENTS…` writes to the terminal that its standard error is.
std::string on_terminal(const std::string& arguments) {
    const char* binary = std::getenv("LATHE_BIN");
    const std::string command =
        std::string("exec ") + (binary ? binary : "build/lathe") + " " + arguments + " >/dev/null";
    int terminal = -1;
    const pid_t child = forkpty(&terminal, nullptr, nullptr, nullptr);
    if (child == 0) {
        execl("/bin/sh", "sh", "-c", command.c_str(), nullptr);
        _exit(127);
    }
    std::string text;
    char buffer[4096];
    for (ssize_t count; (count = read(terminal, buffer, sizeof buffer)) > 0;)
        text.append(buffer, static_cast<size_t>(count));
    close(terminal);
    int status = 0;
    waitpid(child, &status, 0);
    CHECK(status == 0);
    return text;
}

}  // namespace

TEST_CASE("the bar of training shows its speed, the time left, the loss and the share of time spent waiting for data") {
    const std::string folder =
        (std::filesystem::temp_directory_path() / ("lathe-progress-" + std::to_string(getpid()))).string();
    const std::string text =
        on_terminal("train --model lenet5 --data shapes --limit 512 --epochs 1 --batch 64 --out " + folder);
    std::filesystem::remove_all(folder);
    INFO(text);
    size_t at = 0;
    for (const char* part :
         {"epoch 1/1 ", "/472  ", " img/s  ", " left  loss ", "  accuracy ", "%  data ", "%", "validating"}) {
        at = text.find(part, at);
        CHECK_MESSAGE(at != std::string::npos, part);
    }
}
