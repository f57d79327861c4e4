#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace lathe {

using Bytes = std::span<const std::byte>;

// A regular file open for reading. Errors name the path and what the system said.
class InputFile {
public:
    explicit InputFile(const std::string& path);  // Error: missing, unreadable or not a regular file
    ~InputFile();
    InputFile(const InputFile&) = delete;
    InputFile& operator=(const InputFile&) = delete;

    const std::string& path() const { return path_; }
    uint64_t size() const { return size_; }
    // Fills `into` from `offset` on; any number of threads may call it at once. Error: the file ends before that.
    void read_at(uint64_t offset, std::span<std::byte> into) const;

private:
    std::string path_;
    int descriptor_;
    uint64_t size_ = 0;
};

// The whole file. Error: as for InputFile, or it does not fit in memory.
std::vector<std::byte> read_file(const std::string& path);
std::string read_text_file(const std::string& path);

// Replaces the file by the parts, one after the other: written to PATH.tmp, flushed to the disk, renamed. Whoever opens
// the path sees the old file or the new one, never a part of it, also after a crash. Of several writers at once the one
// that started last wins. Error: the folder is missing or not writable, the disk is full, the path is no regular file,
// another writer took over; PATH.tmp is then gone and the old file untouched.
void write_file_atomically(const std::string& path, std::span<const Bytes> parts);
void write_file_atomically(const std::string& path, std::string_view text);

// Makes the folder and those above it, where they are missing. Error: names the path and what the system said.
void make_folder(const std::string& path);

}  // namespace lathe
