#include "lathe/tools/progress.h"

#include <unistd.h>

#include <cstdio>

#include "lathe/core/text_table.h"

namespace lathe::tools {

Progress::Progress(std::string title, int64_t total, bool enabled)
    : title_(std::move(title)), total_(total), enabled_(enabled && isatty(STDERR_FILENO)) {}

void Progress::update(int64_t done, const std::string& text) {
    if (!enabled_) return;
    const auto now = Clock::now();
    if (first_ < 0) first_ = done, start_ = now;
    if (done < total_ && now - last_ < std::chrono::milliseconds(100)) return;
    last_ = now;

    constexpr int kWidth = 24;
    const int filled = total_ > 0 ? static_cast<int>(done * kWidth / total_) : 0;
    std::string bar;
    for (int i = 0; i < kWidth; ++i) bar += i < filled ? "━" : (i == filled ? "╸" : "─");
    const double seconds = std::chrono::duration<double>(now - start_).count();
    const double speed = seconds > 0 ? static_cast<double>(done - first_) / seconds : 0;
    const double left = speed > 0 ? static_cast<double>(total_ - done) / speed : 0;
    std::fprintf(stderr, "\r\033[K%s %s %lld/%lld  %.0f img/s  %s left  %s", title_.c_str(), bar.c_str(),
                 static_cast<long long>(done), static_cast<long long>(total_), speed, human_time(left).c_str(),
                 text.c_str());
    std::fflush(stderr);
    drawn_ = true;
}

void Progress::clear() {
    if (drawn_) std::fprintf(stderr, "\r\033[K");
    drawn_ = false;
}

}  // namespace lathe::tools
