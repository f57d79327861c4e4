#pragma once
#include <zlib.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "lathe/core/error.h"

namespace lathe::testing {

// A folder for the length of a test, removed with all that is in it.
class TempFolder {
public:
    TempFolder() {
        std::string pattern = (std::filesystem::temp_directory_path() / "lathe-XXXXXX").string();
        check(mkdtemp(pattern.data()) != nullptr, "cannot make a temporary folder");
        path_ = pattern;
    }
    ~TempFolder() { std::filesystem::remove_all(path_); }
    TempFolder(const TempFolder&) = delete;
    TempFolder& operator=(const TempFolder&) = delete;

    std::string path(const std::string& name = "") const { return (path_ / name).string(); }

    // Writes a file (and the folders above it), packed when it is named .gz.
    void write(const std::string& name, const std::string& contents) const {
        std::filesystem::create_directories((path_ / name).parent_path());
        if (name.ends_with(".gz")) {
            gzFile file = gzopen(path(name).c_str(), "wb1");
            gzwrite(file, contents.data(), static_cast<unsigned>(contents.size()));
            gzclose(file);
        } else {
            std::ofstream(path_ / name, std::ios::binary) << contents;
        }
    }
    void truncate(const std::string& name, size_t bytes) const { std::filesystem::resize_file(path_ / name, bytes); }

private:
    std::filesystem::path path_;
};

// The message of the Error that f raises; "" when it raises none.
template <class F>
std::string error_of(F&& f) {
    try {
        f();
    } catch (const Error& error) {
        return error.what();
    }
    return "";
}

inline bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace lathe::testing
