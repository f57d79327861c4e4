#include "lathe/core/kernels/rows/copy_box.h"

#include <cstring>

#include "lathe/core/kernels/rows/rows.h"

namespace lathe::kernels {

void copy_box(const Shape& box, size_t element, const std::byte* source, const Shape& source_shape, std::byte* target,
              const Shape& target_shape) {
    // The innermost axes that both arrays hold whole, and the one outside them, are one run of bytes.
    int axis = box.rank() - 1;
    int64_t run = static_cast<int64_t>(element);
    for (; axis >= 0; --axis) {
        run *= box[axis];
        if (box[axis] != source_shape[axis] || box[axis] != target_shape[axis]) break;
    }
    const int outer = axis;  // axes [0, outer) are walked
    int64_t rows = run ? 1 : 0;
    for (int i = 0; i < outer; ++i) rows *= box[i];

    parallel_for(rows, row_grain(run / 4), [&](int64_t begin, int64_t end) {
        for (int64_t row = begin; row < end; ++row) {
            int64_t from = 0, into = 0, rest = row, source_stride = 1, target_stride = 1;
            for (int i = box.rank() - 1; i >= 0; --i) {
                if (i < outer) {
                    from += rest % box[i] * source_stride;
                    into += rest % box[i] * target_stride;
                    rest /= box[i];
                }
                source_stride *= source_shape[i];
                target_stride *= target_shape[i];
            }
            std::memcpy(target + into * static_cast<int64_t>(element), source + from * static_cast<int64_t>(element),
                        static_cast<size_t>(run));
        }
    });
}

}  // namespace lathe::kernels
