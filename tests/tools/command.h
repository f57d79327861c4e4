#pragma once
#include <doctest/doctest.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <thread>

// Runs the command `lathe` as a user does.
namespace testing {

namespace fs = std::filesystem;
using Json = nlohmann::json;

inline std::string text_of(const fs::path& path) {
    std::ifstream in(path, std::ios::binary);
    std::ostringstream out;
    out << in.rdbuf();
    return out.str();
}

// A folder that is there for one test.
struct Folder {
    fs::path path = fs::temp_directory_path() / ("lathe-command-" + std::to_string(getpid()));
    Folder() { fs::remove_all(path), fs::create_directories(path); }
    ~Folder() { fs::remove_all(path); }
    std::string operator/(const std::string& name) const { return (path / name).string(); }
};

struct Result {
    int code = -1;
    std::string out, err;
};

inline std::string binary() {
    const char* named = std::getenv("LATHE_BIN");
    return fs::absolute(named ? named : "build/lathe").string();
}

// Runs a command of the shell; with `interrupt_after` it gets SIGINT once that file exists.
inline Result shell(const std::string& words, const std::string& interrupt_after = {}) {
    const std::string prefix = (fs::temp_directory_path() / ("lathe-output-" + std::to_string(getpid()))).string();
    const std::string command = "exec >" + prefix + ".out 2>" + prefix + ".err; " + words;
    const pid_t child = fork();
    if (child == 0) {
        execl("/bin/sh", "sh", "-c", command.c_str(), nullptr);
        _exit(127);
    }
    if (!interrupt_after.empty()) {
        for (int i = 0; i < 6000 && !fs::exists(interrupt_after); ++i)
            std::this_thread::sleep_for(std::chrono::milliseconds(10));
        kill(child, SIGINT);
    }
    int status = 0;
    waitpid(child, &status, 0);
    Result result{WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status), text_of(prefix + ".out"),
                  text_of(prefix + ".err")};
    fs::remove(prefix + ".out"), fs::remove(prefix + ".err");
    return result;
}

// Runs `lathe ARGUMENTS…`.
inline Result lathe(const std::string& arguments, const std::string& interrupt_after = {}) {
    return shell("exec " + binary() + " " + arguments, interrupt_after);
}

// Failed as it should: the exit code, and one line that has the words.
inline void check_fails(const Result& result, int code, const std::string& words) {
    INFO("stderr: ", result.err);
    CHECK(result.code == code);
    CHECK(std::count(result.err.begin(), result.err.end(), '\n') == 1);
    CHECK(result.err.find(words) != std::string::npos);
}

// A grey 24-bit BMP of 8x8 pixels.
inline void write_bmp(const std::string& path) {
    std::string file(54 + 8 * 24, static_cast<char>(128));
    auto put = [&](size_t at, uint32_t value, size_t bytes) {
        for (size_t i = 0; i < bytes; ++i) file[at + i] = static_cast<char>(value >> (8 * i));
    };
    file[0] = 'B', file[1] = 'M';
    put(2, static_cast<uint32_t>(file.size()), 4), put(6, 0, 4), put(10, 54, 4), put(14, 40, 4), put(18, 8, 4),
        put(22, 8, 4);
    put(26, 1, 2), put(28, 24, 2), put(30, 0, 4), put(34, 8 * 24, 4), put(38, 2835, 4), put(42, 2835, 4), put(46, 0, 4),
        put(50, 0, 4);
    std::ofstream(path, std::ios::binary) << file;
}

}  // namespace testing
