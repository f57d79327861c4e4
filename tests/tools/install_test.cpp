#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>

namespace fs = std::filesystem;

namespace {

std::string text_of(const fs::path& path) {
    std::ifstream in(path);
    std::ostringstream out;
    out << in.rdbuf();
    return out.str();
}

// The first program between ```cpp and ``` in the text.
std::string program_of(const std::string& text) {
    for (size_t at = text.find("```cpp\n"); at != std::string::npos; at = text.find("```cpp\n", at + 1)) {
        const std::string code = text.substr(at + 7, text.find("```", at + 7) - at - 7);
        if (code.find("int main(") != std::string::npos) return code;
    }
    return "";
}

// The first line of the text that begins with four spaces and the words.
std::string command_of(const std::string& readme, const std::string& words) {
    const size_t begin = readme.find("\n" + words) + 1;
    return readme.substr(begin, readme.find('\n', begin) - begin);
}

int shell(const std::string& command) {
    const int status = std::system(command.c_str());
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000;
}

// A sanitized library is not what users link.
bool is_release() {
    const char* variant = std::getenv("LATHE_BIN");
    return !variant || std::string(variant) == "build/lathe";
}

struct Root {
    fs::path path = fs::temp_directory_path() / ("lathe-install-" + std::to_string(getpid()));
    Root() { fs::create_directories(path); }
    ~Root() { fs::remove_all(path); }
    std::string operator/(const std::string& name) const { return (path / name).string(); }
};

// Everything below a folder.
std::set<std::string> tree(const fs::path& folder) {
    std::set<std::string> paths;
    for (const auto& entry : fs::recursive_directory_iterator(folder)) paths.insert(entry.path().string());
    return paths;
}

}  // namespace

TEST_CASE(
    "the program in the README builds against an installed library with the README's commands, without a warning, and "
    "trains") {
    if (!is_release()) return;
    const Root root;
    const std::string readme = text_of("README.md"), prefix = root / "usr/local";
    REQUIRE(command_of(readme, "sudo make install") == "sudo make install PREFIX=/usr/local");
    CHECK(shell("make -s install PREFIX=" + prefix + " >" + (root / "log") + " 2>&1") == 0);

    const std::string program = program_of(readme);
    CHECK(std::count(program.begin(), program.end(), '\n') <= 25);
    std::ofstream(root / "train.cpp") << program;
    const std::string environment = "unset LD_LIBRARY_PATH; cd " + root.path.string() +
                                    " && export PKG_CONFIG_PATH=" + prefix + "/lib/pkgconfig && ";
    const std::string warnings = " -Wall -Wextra -Wshadow -Wsign-conversion -Wconversion -Wpedantic -Werror";
    const int built = shell(environment + command_of(readme, "c++ ") + warnings + " >log 2>&1");
    INFO(text_of(root / "log"));
    CHECK(built == 0);
    CHECK(shell(environment + "./train >out 2>&1") == 0);
    const std::string out = text_of(root / "out");
    INFO(out);
    CHECK(out.find("test accuracy of the saved model") != std::string::npos);
    CHECK(fs::exists(root / "shapes.safetensors"));
}

TEST_CASE("install and uninstall touch their own files only, and say before anything is written what they cannot do") {
    if (!is_release()) return;
    const Root root;
    const std::string destination = root / "my root's", at = " \"DESTDIR=" + destination + "\" ",
                      log = " >" + (root / "log") + " 2>&1";
    for (const char* mine : {"lib/liblathe.mine", "include/lathe/mine.h", "include/lathe/core/mine.h", "bin/other"}) {
        const fs::path path = destination + "/opt/x/" + mine;
        fs::create_directories(path.parent_path());
        std::ofstream(path) << "mine";
    }
    fs::create_directories(root / "My/Programs");
    const std::set<std::string> before = tree(root.path);
    const int installed = shell("make -s install" + at + "PREFIX=/opt/x" + log);
    INFO(text_of(root / "log"));
    CHECK(installed == 0);
    CHECK(fs::exists(destination + "/opt/x/include/lathe/lathe.h"));
    CHECK(text_of(destination + "/opt/x/lib/pkgconfig/lathe.pc").starts_with("prefix=/opt/x\n"));
    CHECK(shell("make -s uninstall" + at + "PREFIX=/opt/x" + log) == 0);
    std::set<std::string> after = tree(root.path);
    after.erase(root / "log");
    after.erase(destination + "/opt/x/lib/pkgconfig");
    CHECK(after == before);

    for (const std::string& prefix :
         {root / "My Programs", root / "a;touch b", std::string("relative"), root / "it's", root / "a$b"}) {
        CAPTURE(prefix);
        std::string quoted = "'PREFIX=";
        for (char c : prefix) quoted += c == '\'' ? "'\\''" : c == '$' ? "$$" : std::string(1, c);
        for (const char* target : {"install ", "uninstall "}) {
            CHECK(shell("make -s " + (target + quoted) + "'" + log) == 2);
            CHECK(text_of(root / "log").find("PREFIX: expected an absolute path without spaces") != std::string::npos);
        }
    }
    after = tree(root.path);
    after.erase(root / "log");
    after.erase(destination + "/opt/x/lib/pkgconfig");
    CHECK(after == before);
}

TEST_CASE("compiled again: all after changed flags, nothing after the same, a folder whose sources come or go") {
    if (!is_release()) return;
    const Root root;
    fs::create_directories(root / "build");
    fs::copy("Makefile", root / "Makefile");
    for (const char* file : {"core/a.cpp", "tools/b.cpp", "core/c_avx2.cpp"}) {
        fs::create_directories((root.path / file).parent_path());
        std::ofstream(root / file) << "int f() { return 1; }\n";
    }
    std::ofstream(root / "tools/install_deps.sh") << "";
    std::ofstream(root / "build/.deps") << "";
    const auto compiled = [&](const std::string& words) {
        CHECK(shell("unset MAKEFLAGS MFLAGS MAKEOVERRIDES CXXFLAGS; make PRECOMPILED= -C " + root.path.string() + " " +
                    words + " >" + (root / "log") + " 2>&1") == 0);
        const std::string log = text_of(root / "log");
        int64_t count = 0;
        for (size_t at = log.find(" -c -o "); at != std::string::npos; at = log.find(" -c -o ", at + 1)) ++count;
        return count;
    };
    const std::string a = "build/release/core/a.o ", b = "build/release/tools/b.o ", c = "build/release/core/c_avx2.o ";
    CHECK(compiled(b + a + c) == 3);
    for (const std::string& words : {a, b, c, a + b, c + a}) CHECK(compiled(words) == 0);
    CHECK(compiled(a + "CXXFLAGS=-Og") == 1);
    CHECK(compiled(b + c + a + "CXXFLAGS=-Og") == 2);
    CHECK(compiled(c + b + a) == 3);

    const std::string folder = "build/release/core/folder.o ";  // of all sources but those with flags of their own
    CHECK(compiled(folder) == 1);
    CHECK(compiled(folder + a) == 0);
    std::ofstream(root / "core/d.cpp") << "int g() { return 2; }\n";
    CHECK(compiled(folder) == 1);
    CHECK(shell("nm -C " + (root / folder) + " | grep -q 'T g()'") == 0);
    fs::remove(root / "core/d.cpp");
    CHECK(compiled(folder) == 1);
    CHECK(compiled(folder) == 0);
}
