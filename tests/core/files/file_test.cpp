#include "lathe/core/files/file.h"

#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <thread>

#include <doctest/doctest.h>

#include "lathe/core/error.h"
#include "lathe/core/files/safetensors.h"
#include "lathe/tests/error_of.h"
#include "lathe/tests/temporary_folder.h"

using namespace lathe;
using lathe::testing::error_of;

namespace {

int files_in(const std::string& folder) {
    return static_cast<int>(std::distance(std::filesystem::directory_iterator(folder), {}));
}

// No file of this process may grow past `bytes` within the scope: writing fails as it does on a full disk.
struct FullDisk {
    explicit FullDisk(rlim_t bytes) : handler(std::signal(SIGXFSZ, SIG_IGN)) {
        getrlimit(RLIMIT_FSIZE, &before);
        const rlimit small{bytes, before.rlim_max};
        setrlimit(RLIMIT_FSIZE, &small);
    }
    ~FullDisk() {
        setrlimit(RLIMIT_FSIZE, &before);
        std::signal(SIGXFSZ, handler);
    }
    rlimit before{};
    void (*handler)(int);
};

}  // namespace

TEST_CASE("file: what was written is read back, in bytes and as text") {
    const TemporaryFolder folder;
    const std::string text("a\0b\n", 4);
    write_file_atomically(folder / "x", "longer than what replaces it");
    write_file_atomically(folder / "x", text);
    CHECK(read_text_file(folder / "x") == text);
    const std::vector<std::byte> bytes = read_file(folder / "x");
    CHECK(std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size()) == text);

    const std::string big(100'000, 'b');
    const Bytes parts[] = {std::as_bytes(std::span(text)), {}, std::as_bytes(std::span(big))};
    write_file_atomically(folder / "x", parts);
    CHECK(read_text_file(folder / "x") == text + big);

    write_file_atomically(folder / "x", "");
    CHECK(read_file(folder / "x").empty());
    CHECK(files_in(folder.path) == 1);
}

TEST_CASE("file: reading outside a file is an error") {
    const TemporaryFolder folder;
    write_file_atomically(folder / "x", "0123456789");
    const InputFile file(folder / "x");
    CHECK(file.size() == 10);
    std::byte buffer[4];
    file.read_at(6, buffer);
    CHECK(buffer[3] == std::byte{'9'});
    CHECK(error_of([&] { file.read_at(7, buffer); }) == folder / "x" + ": ends at byte 10, expected 1 more");
    CHECK_THROWS_AS(file.read_at(1000, buffer), Error);
    CHECK_NOTHROW(file.read_at(1000, {}));
}

TEST_CASE("file: errors name the path and the reason") {
    const TemporaryFolder folder;
    const std::string x = folder / "x", inside = x + "/y", missing = folder / "no/such";
    CHECK(error_of([&] { read_file(x); }) == x + ": cannot open: No such file or directory");
    CHECK(error_of([&] { read_file(folder.path); }) == folder.path + ": expected a file, got a folder");
    CHECK(error_of([&] { read_file("/dev/null"); }) == "/dev/null: expected a file, got something else");
    CHECK(error_of([&] { write_file_atomically(missing, "a"); }) ==
          missing + ": cannot write: No such file or directory");
    CHECK(error_of([&] { write_file_atomically(folder.path, "a"); }) ==
          folder.path + ": cannot write: expected a file, got a folder");
    CHECK(error_of([&] { write_file_atomically("/dev/null", "a"); }) ==
          "/dev/null: cannot write: expected a file, got something else");
    write_file_atomically(x, "a");
    CHECK(error_of([&] { write_file_atomically(inside, "a"); }) == inside + ": cannot write: Not a directory");

    mkfifo((folder / "pipe").c_str(), 0600);  // opening a pipe nobody writes to must not wait for ever
    CHECK(error_of([&] { read_file(folder / "pipe"); }) == folder / "pipe" + ": expected a file, got something else");
    std::filesystem::resize_file(x, uint64_t{1} << 42);  // a hole: 4 TiB that take no space on the disk
    CHECK(error_of([&] { read_file(x); }).starts_with(x + ": not enough memory"));
}

TEST_CASE("file: a link stays, permissions stay, and what a killed writer left is cleared") {
    const TemporaryFolder folder;
    write_file_atomically(folder / "x", "old");
    chmod((folder / "x").c_str(), 0640);
    std::filesystem::create_symlink("x", folder / "link");
    std::filesystem::create_hard_link(folder / "x", folder / "x.tmp");  // stands for the leftover; "old" is in it
    write_file_atomically(folder / "link", "new");
    CHECK(read_text_file(folder / "x") == "new");
    CHECK(std::filesystem::is_symlink(folder / "link"));
    CHECK(std::filesystem::status(folder / "x").permissions() == std::filesystem::perms(0640));
    CHECK(files_in(folder.path) == 2);
}

TEST_CASE("file: on a full disk the old file survives, whole, and nothing else stays") {
    const TemporaryFolder folder;
    TensorFile old;
    old.tensors["w"] = Tensor::full({1000}, 1);
    write_safetensors(folder / "x", old);
    TensorFile bigger;
    bigger.tensors["w"] = Tensor::full({100'000}, 2);
    for (rlim_t room : {rlim_t{0}, rlim_t{100}, rlim_t{4096}, rlim_t{399'999}}) {
        const FullDisk disk(room);
        CHECK(error_of([&] { write_safetensors(folder / "x", bigger); }) ==
              folder / "x" + ": cannot write: File too large");
        CHECK(read_safetensors(folder / "x").tensors.at("w").numel() == 1000);
        CHECK(files_in(folder.path) == 1);
    }
    write_safetensors(folder / "x", bigger);
    CHECK(read_safetensors(folder / "x").tensors.at("w").at(99'999) == 2);
}

TEST_CASE("file: kill -9 at any moment of a save leaves a whole file") {
    const TemporaryFolder folder;
    const std::string path = folder / "x";
    const auto save = [&](int value) {
        TensorFile file;
        file.tensors["w"] = Tensor::full({50'000}, value);
        file.tensors["v"] = Tensor::full({50'000}, value);
        write_safetensors(path, file);
    };
    save(0);
    double last = 0;
    int microseconds = 2000;
    for (int round = 0; round < 30; ++round) {
        const pid_t writer = fork();
        if (writer == 0)
            for (int i = 1;; ++i) save(round * 1000 + i);
        microseconds = last > 0 ? 2000 + 731 * round : std::min(2 * microseconds, 500'000);
        std::this_thread::sleep_for(std::chrono::microseconds(microseconds));
        kill(writer, SIGKILL);
        waitpid(writer, nullptr, 0);

        const TensorFile file = read_safetensors(path);
        const Tensor& w = file.tensors.at("w");
        const Tensor& v = file.tensors.at("v");
        CHECK(w.at(0) == v.at(49'999));
        last = w.at(0);
    }
    CHECK(last > 0);  // the writers did get as far as a save
    save(-1);
    CHECK(files_in(folder.path) == 1);
}

TEST_CASE("file: of two writers the one that started last wins, and the other says so") {
    const TemporaryFolder folder;
    const std::string path = folder / "x", text(1 << 20, 'a');
    std::vector<std::string> errors(2);
    std::vector<std::thread> writers;
    for (int id = 0; id < 2; ++id)
        writers.emplace_back([&, id] {
            for (int i = 0; i < 20 && errors[id].empty(); ++i)
                errors[id] = error_of(
                    [&] { write_file_atomically(path, std::string(text.size(), static_cast<char>('a' + id))); });
        });
    for (std::thread& writer : writers) writer.join();
    const std::string content = read_text_file(path);
    CHECK(content.size() == text.size());
    CHECK(content.find_first_not_of(content[0]) == std::string::npos);
    for (const std::string& error : errors)
        CHECK((error.empty() || error.starts_with(path + ": cannot ")));
    CHECK(files_in(folder.path) == 1);
}
