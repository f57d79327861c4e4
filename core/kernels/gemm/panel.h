#pragma once
#include <algorithm>
#include <cmath>

#include "lathe/core/kernels/dispatch/panel_table.h"
#include "lathe/core/memory.h"

// Terms of this family: a vector holds `lanes` floats; a panel is up to `columns` columns of B, as many as the register
// tile has; a tile is the rows of A that go with it at once (panel.inc says how many, and why). To pack a matrix is to
// copy it into panels, whose rows are then neighbours in memory (Goto & van de Geijn 2008, doi
// 10.1145/1356052.1356053).
//
// Not for variants.inc: functions here are shared by files compiled for different instruction sets.
namespace lathe::kernels {

inline constexpr int64_t kNoRuns[] = {0};

// A bias [n] with zeros behind it, as panels read whole vectors; null stays null.
struct PaddedBias : Workspace<float> {
    PaddedBias(const float* bias, int64_t n, int64_t columns)
        : Workspace<float>(static_cast<size_t>(bias ? n + columns : 0)) {
        if (bias) std::fill(std::copy(bias, bias + n, data()), data() + n + columns, 0.0f);
    }
};

// A panel over nothing yet, C overwritten, unclamped.
inline Panel empty_panel() {
    Panel p{};
    p.runs = 1;
    p.a_run = kNoRuns;
    p.low = -INFINITY;
    p.high = INFINITY;
    return p;
}

// Appends one vector of up to `lanes` columns.
inline void add_vector(Panel& p, const float* b, float* c, int64_t width, int lanes) {
    p.b[p.vectors] = b;
    p.c[p.vectors] = c;
    p.width[p.vectors++] = static_cast<int>(std::min<int64_t>(width, lanes));
}

// Appends `width` neighbouring columns.
inline void add_columns(Panel& p, const float* b, float* c, int64_t width, int lanes) {
    for (int64_t j = 0; j < width; j += lanes) add_vector(p, b + j, c + j, width - j, lanes);
}

}  // namespace lathe::kernels
