#include "lathe/core/files/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include "lathe/core/error.h"
#include "lathe/core/memory.h"

namespace lathe {

namespace {

constexpr size_t kMaxCall = size_t{1} << 30;  // one read or write call moves less than 2 GiB

[[noreturn]] void fail_system(const std::string& path, const char* action) {
    fail(path, ": cannot ", action, ": ", std::strerror(errno));
}

// Calls a system function again when a signal interrupted it.
template <class F>
auto retry(F&& call) {
    auto result = call();
    while (result < 0 && errno == EINTR) result = call();
    return result;
}

template <class Container>
Container read_whole(const std::string& path) {
    const InputFile file(path);
    check(file.size() < memory::physical(), path, ": not enough memory to read ", file.size(), " bytes");
    Container content;
    content.resize(file.size());
    file.read_at(0, std::as_writable_bytes(std::span(content)));
    return content;
}

// The file under construction. Its name disappears with it unless it was committed.
class TemporaryFile {
public:
    // A file left there by a process that was killed, or by another writer, loses its name first: it is never shared.
    TemporaryFile(const std::string& target, mode_t mode) : target_(target), path_(target + ".tmp") {
        unlink(path_.c_str());
        descriptor_ = open(path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
        if (descriptor_ < 0) fail_system(target_, "write");
    }
    ~TemporaryFile() {
        const int error = errno;
        if (descriptor_ >= 0) {
            if (has_name()) unlink(path_.c_str());
            close(descriptor_);
        }
        errno = error;
    }
    TemporaryFile(const TemporaryFile&) = delete;
    TemporaryFile& operator=(const TemporaryFile&) = delete;

    void write(Bytes bytes) {
        while (!bytes.empty()) {
            const ssize_t count =
                retry([&] { return ::write(descriptor_, bytes.data(), std::min(bytes.size(), kMaxCall)); });
            if (count < 0) fail_system(target_, "write");
            bytes = bytes.subspan(static_cast<size_t>(count));
        }
    }

    void commit() {
        if (retry([&] { return fsync(descriptor_); }) < 0) fail_system(target_, "write");
        check(has_name(), target_, ": cannot write: another process is writing the same file");
        if (rename(path_.c_str(), target_.c_str()) < 0) fail_system(target_, "replace");
        close(descriptor_);
        descriptor_ = -1;
    }

private:
    bool has_name() const {
        struct stat status {};
        return fstat(descriptor_, &status) == 0 && status.st_nlink > 0;
    }

    std::string target_;
    std::string path_;
    int descriptor_;
};

// Makes the rename itself last through a power cut. Folders that cannot be opened or flushed are left to the system.
void flush_folder_of(const std::string& path) {
    const std::string folder = std::filesystem::path(path).parent_path().string();
    const int descriptor = open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (descriptor < 0) return;
    const bool lost = retry([&] { return fsync(descriptor); }) < 0 && errno == EIO;
    close(descriptor);
    check(!lost, path, ": cannot flush its folder: ", std::strerror(EIO));
}

}  // namespace

InputFile::InputFile(const std::string& path)
    : path_(path), descriptor_(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)) {
    if (descriptor_ < 0) fail_system(path, "open");
    struct stat status {};
    const bool regular = fstat(descriptor_, &status) == 0 && S_ISREG(status.st_mode);
    if (!regular) close(descriptor_);
    check(regular, path, ": expected a file, got ", S_ISDIR(status.st_mode) ? "a folder" : "something else");
    size_ = static_cast<uint64_t>(status.st_size);
}

InputFile::~InputFile() { close(descriptor_); }

void InputFile::read_at(uint64_t offset, std::span<std::byte> into) const {
    while (!into.empty()) {
        const ssize_t count = retry([&] {
            return pread(descriptor_, into.data(), std::min(into.size(), kMaxCall), static_cast<off_t>(offset));
        });
        if (count < 0) fail_system(path_, "read");
        check(count > 0, path_, ": ends at byte ", offset, ", expected ", into.size(), " more");
        into = into.subspan(static_cast<size_t>(count));
        offset += static_cast<uint64_t>(count);
    }
}

std::vector<std::byte> read_file(const std::string& path) { return read_whole<std::vector<std::byte>>(path); }
std::string read_text_file(const std::string& path) { return read_whole<std::string>(path); }

void write_file_atomically(const std::string& path, std::span<const Bytes> parts) {
    struct stat old {};
    const bool exists = stat(path.c_str(), &old) == 0;
    check(!exists || S_ISREG(old.st_mode), path, ": cannot write: expected a file, got ",
          S_ISDIR(old.st_mode) ? "a folder" : "something else");
    // Through a link the file it points at is replaced, not the link.
    const std::string target = exists ? std::filesystem::canonical(path).string() : path;
    TemporaryFile file(target, exists ? old.st_mode & 0777 : 0666);
    for (Bytes part : parts) file.write(part);
    file.commit();
    flush_folder_of(target);
}

void write_file_atomically(const std::string& path, std::string_view text) {
    const Bytes part = std::as_bytes(std::span(text));
    write_file_atomically(path, std::span(&part, 1));
}

void make_folder(const std::string& path) {
    std::error_code error;
    std::filesystem::create_directories(path, error);
    check(!error, path, ": cannot make the folder: ", error.message());
}

}  // namespace lathe
