#pragma once
#include <chrono>
#include <cstdint>
#include <string>

namespace lathe::tools {

// One line on standard error that is drawn over and over while work goes on: bar, count, speed, time left and a text.
// Draws at most ten times a second, and nothing at all unless standard error is a terminal.
class Progress {
public:
    Progress(std::string title, int64_t total, bool enabled = true);
    ~Progress() { clear(); }
    Progress(const Progress&) = delete;
    Progress& operator=(const Progress&) = delete;

    // `done` items of the total are through.
    void update(int64_t done, const std::string& text = {});
    void clear();  // wipes the line, so that ordinary output can follow

private:
    using Clock = std::chrono::steady_clock;
    std::string title_;
    int64_t total_, first_ = -1;
    bool enabled_, drawn_ = false;
    Clock::time_point start_ = Clock::now(), last_{};
};

}  // namespace lathe::tools
