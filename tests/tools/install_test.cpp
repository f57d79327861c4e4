#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace fs = std::filesystem;

namespace {

std::string text_of(const fs::path& path) {
    std::ifstream in(path);
    std::ostringstream out;
    out << in.rdbuf();
    return out.str();
}

// What stands between the first ```cpp and ``` of the text.
std::string program_of(const std::string& readme) {
    const size_t begin = readme.find("```cpp\n") + 7;
    return readme.substr(begin, readme.find("```", begin) - begin);
}

// The first line of the text that begins with four spaces and the words.
std::string command_of(const std::string& readme, const std::string& words) {
    const size_t begin = readme.find("\n    " + words) + 5;
    return readme.substr(begin, readme.find('\n', begin) - begin);
}

int shell(const std::string& command) {
    const int status = std::system(command.c_str());
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000;
}

}  // namespace

TEST_CASE("the program in the README builds against an installed library with the README's command, and trains") {
    const char* variant = std::getenv("LATHE_BIN");
    if (variant && std::string(variant) != "build/lathe") return;  // a sanitized library is not what users link
    const fs::path root = fs::temp_directory_path() / ("lathe-install-" + std::to_string(getpid()));
    fs::create_directories(root);
    const std::string at = root.string(), readme = text_of("README.md");
    CHECK(shell("make -s install PREFIX=/usr DESTDIR=" + at + " >" + at + "/log 2>&1") == 0);

    const std::string program = program_of(readme);
    CHECK(std::count(program.begin(), program.end(), '\n') <= 25);
    std::ofstream(root / "train.cpp") << program;
    const std::string environment = "cd " + at + " && export PKG_CONFIG_PATH=" + at + "/usr/lib/pkgconfig PKG_CONFIG_SYSROOT_DIR=" + at +
                                    " LD_LIBRARY_PATH=" + at + "/usr/lib && ";
    const int built = shell(environment + command_of(readme, "c++ ") + " >log 2>&1");
    INFO(text_of(root / "log"));
    CHECK(built == 0);
    CHECK(shell(environment + "./train >out 2>&1") == 0);
    const std::string out = text_of(root / "out");
    INFO(out);
    CHECK(out.find("test accuracy of the saved model") != std::string::npos);
    CHECK(fs::exists(root / "shapes.safetensors"));
    fs::remove_all(root);
}
