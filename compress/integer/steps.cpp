#include "lathe/compress/integer/steps.h"

#include <cmath>
#include <cstring>
#include <map>
#include <memory>

#include "lathe/compress/integer/packing.h"
#include "lathe/core/graph/cost.h"
#include "lathe/core/kernels/integer/conv2d.h"
#include "lathe/core/kernels/rows/broadcast.h"
#include "lathe/core/kernels/rows/copy_box.h"
#include "lathe/core/parallel.h"

namespace lathe::compress {

namespace {

using integer::Multiplier;
namespace kernel = kernels::integer;

// What steps are made from: reads a node, and says what is wrong with it.
class Reader {
public:
    Reader(const Graph& graph, int index) : graph(graph), index(index), node(graph[index]) {}

    int32_t number(const char* name, int64_t low, int64_t high) const {
        const int64_t value = node.attributes.integer(name);
        check(value >= low && value <= high, "expected '", name, "' from ", low, " to ", high, ", got ", value);
        return static_cast<int32_t>(value);
    }
    int32_t zero(const char* name) const { return number(name, 0, 255); }
    // Of values up to `most`.
    static Multiplier checked(int32_t m, int32_t shift, double most) {
        check(kernel::is_multiplier(m, shift), "expected a multiplier from 0 on and a shift from 1 to 62, got ", m,
              " and ", shift);
        check(std::ldexp(most * m, -shift) < kernel::kMostSum, "results reach beyond 32 bits");
        return {m, 31 - shift};
    }
    Multiplier multiplier(double most) const {
        return checked(number("multiplier", 0, INT32_MAX), number("shift", 1, 62), most);
    }

    const Shape& shape(size_t k) const { return graph[node.inputs[k]].shape; }
    int input(size_t k) const {  // of an activation
        const int from = node.inputs[k];
        check(from >= 0 && graph[from].activation && graph[from].dtype == DType::u8,
              "expected an activation u8 as input ", k);
        return from;
    }
    template <class T>
    const T* constant(size_t k) const {
        const int from = node.inputs[k];
        check(from >= 0 && graph[from].value && graph[from].value.dtype() == DTypeOf<T>::value,
              "expected a constant ", name_of(DTypeOf<T>::value), " as input ", k);
        return graph[from].value.data<T>();
    }

    const Graph& graph;
    const int index;
    const GraphNode& node;
};

// --- layers

IntegerStep layer_step(const Reader& r) {
    const kernels::Conv2dShape shape = conv2d_shape(r.graph, r.node);
    check(shape.pad_top >= 0 && shape.pad_left >= 0, "expected a padding of at least 0");
    kernel::Layer layer{.shape = shape,
                        .weight = nullptr,
                        .bits = r.number("bits", 2, 8),
                        .bias = r.constant<int32_t>(2),
                        .fraction = r.constant<int32_t>(4),
                        .multiplier = r.constant<int32_t>(5),
                        .shift = r.constant<int32_t>(6),
                        .x_zero = r.zero("x_zero"),
                        .zero = r.zero("zero"),
                        .low = r.zero("low"),
                        .high = r.zero("high")};
    check(layer.low <= layer.high, "expected 'low' of at most 'high'");
    std::vector<int8_t> weights;
    const int64_t width = shape.in_c / shape.groups;
    if (layer.bits == 8) {
        layer.weight = r.constant<int8_t>(1);
    } else {
        r.constant<uint8_t>(1);
        weights = unpack(r.graph[r.node.inputs[1]].value, width, layer.bits);
        layer.weight = weights.data();
    }
    const int x = r.input(0), addend = r.node.inputs[3];
    if (addend >= 0) {
        r.input(3);
        layer.addend_multiplier = r.constant<int32_t>(7);
        layer.addend_shift = r.constant<int32_t>(8);
        layer.addend_zero = r.zero("addend_zero");
    }
    kernel::check_layer(layer);
    const auto prepared = std::make_shared<const kernel::PreparedLayer>(layer);
    const int64_t rows = shape.batch;  // of one image
    return {.run = [=, y = r.index](const IntegerFrame& f) {
                prepared->forward(f.kernels, f.images * rows, f.at(x), addend < 0 ? nullptr : f.at(addend), f.scratch,
                                  f.at(y));
            },
            .workspace = [=](int64_t images) { return prepared->workspace(images * rows); },
            .kernel = [=](const kernel::Table& table, int64_t images) { return prepared->name(table, images * rows); },
            .done = [=](int64_t images) { return prepared->done(images * rows); }};
}

// --- element by element

// f(n, a, b, y) for stretches of elements of which those of b are as many, or one for all where b_step is 0.
template <class F>
void for_each_stretch(const Shape& a_shape, const Shape& b_shape, const uint8_t* a, const uint8_t* b, uint8_t* y,
                      const F& f) {
    if (a_shape == b_shape)
        return parallel_for(a_shape.numel(), kElementGrain, [&](int64_t begin, int64_t end) {
            f(end - begin, a + begin, b + begin, 1, y + begin);
        });
    const kernels::Broadcast plan = kernels::broadcast("integer program", a_shape, b_shape);
    const int last = plan.rank - 1;
    const int64_t width = plan.extent[static_cast<size_t>(last)], rows = width ? plan.shape.numel() / width : 0;
    const int64_t b_step = plan.b_stride[static_cast<size_t>(last)];
    const int64_t grain = std::max<int64_t>(1, kElementGrain / std::max<int64_t>(width, 1));
    parallel_for(rows, grain, [&](int64_t begin, int64_t end) {
        for (int64_t row = begin; row < end; ++row) {
            int64_t rest = row, a_at = 0, b_at = 0;
            for (int axis = last; axis-- > 0; rest /= plan.extent[static_cast<size_t>(axis)]) {
                const int64_t i = rest % plan.extent[static_cast<size_t>(axis)];
                a_at += i * plan.a_stride[static_cast<size_t>(axis)];
                b_at += i * plan.b_stride[static_cast<size_t>(axis)];
            }
            f(width, a + a_at, b + b_at, b_step, y + row * width);
        }
    });
}

// The first input is the one that has the result's shape.
struct Operands {
    int a, b;
    bool swapped;
    Shape a_shape, b_shape;
};
Operands operands(const Reader& r) {
    const bool swapped = r.shape(0) != r.node.shape;
    const size_t first = swapped ? 1 : 0;
    check(r.shape(first) == r.node.shape, "expected an input of the result's shape ", r.node.shape);
    return {r.input(first), r.input(1 - first), swapped, r.shape(first), r.shape(1 - first)};
}

IntegerStep add_step(const Reader& r) {
    const Operands on = operands(r);
    integer::Sum sum{r.number("factor_a", 0, 1 << 21), r.number("factor_b", 0, 1 << 21),
                     r.number("offset", -(1 << 30) - (1 << 29), (1 << 29) + (1 << 21)), r.number("shift", 1, 21)};
    if (on.swapped) std::swap(sum.factor_a, sum.factor_b);
    const int32_t low = r.zero("low"), high = r.zero("high");
    check(on.a_shape == on.b_shape, "expected two inputs of one shape, got ", on.a_shape, " and ", on.b_shape);
    return {.run = [=, y = r.index](const IntegerFrame& f) {
        const int64_t n = on.a_shape.numel() * f.images;
        parallel_for(n, kElementGrain, [&](int64_t begin, int64_t end) {
            f.kernels.elementwise.add(end - begin, f.at(on.a) + begin, f.at(on.b) + begin, sum, low, high,
                                      f.at(y) + begin);
        });
    }};
}

IntegerStep mul_step(const Reader& r) {
    const Operands on = operands(r);
    const Multiplier by = r.multiplier(255.0 * 255);
    int32_t a_zero = r.zero("a_zero"), b_zero = r.zero("b_zero");
    if (on.swapped) std::swap(a_zero, b_zero);
    return {.run = [=, zero = r.zero("zero"), high = r.zero("high"), y = r.index](const IntegerFrame& f) {
        Shape a = on.a_shape, b = on.b_shape;
        if (a.rank() > 0) a[0] = f.images;
        if (b.rank() == a.rank() && b.rank() > 0) b[0] = f.images;
        for_each_stretch(a, b, f.at(on.a), f.at(on.b), f.at(y),
                         [&](int64_t n, const uint8_t* p, const uint8_t* q, int64_t step, uint8_t* to) {
                             f.kernels.elementwise.mul(n, p, a_zero, q, b_zero, step, by, zero, high, to);
                         });
    }};
}

IntegerStep lookup_step(const Reader& r) {
    std::array<uint8_t, 256> table;
    std::copy_n(r.constant<uint8_t>(1), table.size(), table.begin());
    return {.run = [table, x = r.input(0), y = r.index, each = r.node.shape.numel()](const IntegerFrame& f) {
        parallel_for(each * f.images, kElementGrain, [&](int64_t begin, int64_t end) {
            f.kernels.elementwise.lookup(end - begin, f.at(x) + begin, table.data(), f.at(y) + begin);
        });
    }};
}

// --- pooling

// The windows of a pooling.
struct Windows {
    int64_t in_h, in_w, channels, out_h, out_w, kernel_h, kernel_w, stride_h, stride_w, top, left;

    explicit Windows(const Reader& r)
        : in_h(r.shape(0)[1]), in_w(r.shape(0)[2]), channels(r.shape(0)[3]), out_h(r.node.shape[1]),
          out_w(r.node.shape[2]), kernel_h(r.node.attributes.integers("kernel_size").at(0)),
          kernel_w(r.node.attributes.integers("kernel_size").at(1)),
          stride_h(r.node.attributes.integers("stride").at(0)), stride_w(r.node.attributes.integers("stride").at(1)),
          top(r.node.attributes.integers("padding").at(0)), left(r.node.attributes.integers("padding").at(2)) {}

    // f(image, row of y) for each.
    template <class F>
    void for_each_row(int64_t images, const F& f) const {
        const int64_t grain = std::max<int64_t>(1, kElementGrain / (out_w * channels * kernel_h * kernel_w));
        parallel_for(images * out_h, grain, [&](int64_t begin, int64_t end) {
            for (int64_t i = begin; i < end; ++i) f(i / out_h, i % out_h);
        });
    }
    // The part inside the image of the window of y's pixel p, q.
    struct Box {
        int64_t h, h_end, w, w_end;
        int64_t count() const { return (h_end - h) * (w_end - w); }
    };
    Box box(int64_t p, int64_t q) const {
        const int64_t h = p * stride_h - top, w = q * stride_w - left;
        return {std::max<int64_t>(h, 0), std::min(h + kernel_h, in_h), std::max<int64_t>(w, 0),
                std::min(w + kernel_w, in_w)};
    }
};

IntegerStep max_pool_step(const Reader& r) {
    return {.run = [w = Windows(r), x = r.input(0), y = r.index](const IntegerFrame& f) {
        w.for_each_row(f.images, [&](int64_t image, int64_t p) {
            const uint8_t* from = f.at(x) + image * w.in_h * w.in_w * w.channels;
            uint8_t* to = f.at(y) + (image * w.out_h + p) * w.out_w * w.channels;
            for (int64_t q = 0; q < w.out_w; ++q, to += w.channels) {
                const Windows::Box box = w.box(p, q);
                std::memset(to, 0, static_cast<size_t>(w.channels));
                for (int64_t h = box.h; h < box.h_end; ++h)
                    for (int64_t v = box.w; v < box.w_end; ++v)
                        f.kernels.elementwise.max(w.channels, from + (h * w.in_w + v) * w.channels, to);
            }
        });
    }};
}

IntegerStep avg_pool_step(const Reader& r) {
    const Windows w(r);
    const int64_t most = w.kernel_h * w.kernel_w;
    check(most <= 1 << 20, "expected windows of at most 2^20 pixels");
    std::vector<Multiplier> by;
    for (int64_t i = 0; i < most; ++i)
        by.push_back(Reader::checked(r.constant<int32_t>(1)[i], r.constant<int32_t>(2)[i],
                                     255.0 * static_cast<double>(i + 1)));
    return {.run = [w, by, x = r.input(0), y = r.index, x_zero = r.zero("x_zero"), zero = r.zero("zero"),
                    high = r.zero("high")](const IntegerFrame& f) {
                w.for_each_row(f.images, [&](int64_t image, int64_t p) {
                    const uint8_t* from = f.at(x) + image * w.in_h * w.in_w * w.channels;
                    const int64_t row = image * w.out_h + p;
                    auto* sums = reinterpret_cast<int32_t*>(f.scratch) + row * w.channels;
                    uint8_t* to = f.at(y) + row * w.out_w * w.channels;
                    for (int64_t q = 0; q < w.out_w; ++q, to += w.channels) {
                        const Windows::Box box = w.box(p, q);
                        std::fill_n(sums, w.channels, 0);
                        for (int64_t h = box.h; h < box.h_end; ++h)
                            for (int64_t v = box.w; v < box.w_end; ++v)
                                f.kernels.elementwise.sum(w.channels, from + (h * w.in_w + v) * w.channels, sums);
                        const auto count = static_cast<int32_t>(box.count());
                        f.kernels.elementwise.mean(w.channels, sums, count, x_zero,
                                                   by[static_cast<size_t>(count - 1)], zero, high, to);
                    }
                });
            },
            .workspace = [w](int64_t images) { return images * w.out_h * w.channels * 4; }};
}

IntegerStep global_avg_pool_step(const Reader& r) {
    const int64_t pixels = r.shape(0)[1] * r.shape(0)[2], channels = r.shape(0)[3];
    check(pixels <= 1 << 22, "expected maps of at most 2^22 pixels");
    const Multiplier by = r.multiplier(255.0 * static_cast<double>(pixels));
    return {
        .run =
            [=, x = r.input(0), y = r.index, x_zero = r.zero("x_zero"), zero = r.zero("zero"),
             high = r.zero("high")](const IntegerFrame& f) {
                const int64_t grain = std::max<int64_t>(1, kElementGrain / (pixels * channels));
                parallel_for(f.images, grain, [&](int64_t begin, int64_t end) {
                    for (int64_t i = begin; i < end; ++i) {
                        auto* sums = reinterpret_cast<int32_t*>(f.scratch) + i * channels;
                        std::fill_n(sums, channels, 0);
                        for (int64_t p = 0; p < pixels; ++p)
                            f.kernels.elementwise.sum(channels, f.at(x) + (i * pixels + p) * channels, sums);
                        f.kernels.elementwise.mean(channels, sums, static_cast<int32_t>(pixels), x_zero, by, zero,
                                                   high, f.at(y) + i * channels);
                    }
                });
            },
        .workspace = [=](int64_t images) { return images * channels * 4; }};
}

// --- moving

int64_t inner(const Shape& shape, int axis) {
    int64_t bytes = 1;
    for (int i = axis + 1; i < shape.rank(); ++i) bytes *= shape[i];
    return bytes;
}

int moved_axis(const Reader& r) {
    const int axis = r.node.shape.axis(static_cast<int>(r.node.attributes.integer("axis")));
    check(axis > 0, "expected another axis than that of the images");
    return axis;
}

IntegerStep concat_step(const Reader& r) {
    struct Part {
        int node;
        Shape shape;
        int64_t at;
    };
    const int axis = moved_axis(r);
    std::vector<Part> parts;
    int64_t at = 0;
    for (size_t k = 0; k < r.node.inputs.size(); ++k) {
        parts.push_back({r.input(k), r.shape(k), at * inner(r.node.shape, axis)});
        at += r.shape(k)[axis];
    }
    return {.run = [parts, y = r.index, shape = r.node.shape](const IntegerFrame& f) {
        Shape all = shape;
        all[0] = f.images;
        for (const Part& part : parts) {
            Shape box = part.shape;
            box[0] = f.images;
            kernels::copy_box(box, 1, reinterpret_cast<const std::byte*>(f.at(part.node)), box,
                              reinterpret_cast<std::byte*>(f.at(y) + part.at), all);
        }
    }};
}

IntegerStep slice_step(const Reader& r) {
    const Attributes& a = r.node.attributes;
    const int axis = moved_axis(r);
    const int64_t start = a.has("parts") ? a.integer("part") * r.node.shape[axis] : a.integer("start");
    return {.run = [x = r.input(0), y = r.index, from = r.shape(0), shape = r.node.shape,
                    at = start * inner(r.shape(0), axis)](const IntegerFrame& f) {
        Shape box = shape, all = from;
        box[0] = all[0] = f.images;
        kernels::copy_box(box, 1, reinterpret_cast<const std::byte*>(f.at(x) + at), all,
                          reinterpret_cast<std::byte*>(f.at(y)), box);
    }};
}

IntegerStep pad_step(const Reader& r) {
    const double value = r.node.attributes.real("value");
    const std::vector<int64_t>& before = r.node.attributes.integers("before");
    check(value >= 0 && value <= 255 && value == static_cast<int>(value), "expected a value from 0 to 255, got ",
          value);
    check(r.shape(0)[0] == r.node.shape[0], "expected no padding of images");
    int64_t at = 0;
    for (int i = 0; i < r.node.shape.rank(); ++i) at = at * r.node.shape[i] + before[static_cast<size_t>(i)];
    return {.run = [x = r.input(0), y = r.index, from = r.shape(0), shape = r.node.shape, at,
                    value](const IntegerFrame& f) {
        Shape box = from, all = shape;
        box[0] = all[0] = f.images;
        std::memset(f.at(y), static_cast<int>(value), static_cast<size_t>(all.numel()));
        kernels::copy_box(box, 1, reinterpret_cast<const std::byte*>(f.at(x)), box,
                          reinterpret_cast<std::byte*>(f.at(y) + at), all);
    }};
}

using Make = IntegerStep (*)(const Reader&);

// The ops of integer programs, beside views.
const std::map<std::string, Make>& makers() {
    static const std::map<std::string, Make> all{
        {"int_conv2d", layer_step}, {"int_linear", layer_step}, {"int_add", add_step}, {"int_mul", mul_step},
        {"int_lookup", lookup_step}, {"max_pool2d", max_pool_step}, {"int_avg_pool2d", avg_pool_step},
        {"int_global_avg_pool", global_avg_pool_step}, {"concat", concat_step}, {"slice", slice_step},
        {"pad", pad_step}};
    return all;
}

}  // namespace

IntegerStep make_integer_step(const Graph& graph, int index) {
    const GraphNode& node = graph[index];
    if (!node.is_op() || !node.activation) return {};
    try {
        check(node.shape.rank() >= 1 && node.shape[0] == 1, "expected one image, got ", node.shape);
        const Reader reader(graph, index);
        if (node.op->traits.view) {
            reader.input(0);
            return {};
        }
        const auto found = makers().find(node.op.name());
        check(found != makers().end(), "an integer program has no such op");
        return found->second(reader);
    } catch (const Error& error) {
        fail("integer program: node '", node.path, "' (", node.op, "): ", error.what());
    }
}

}  // namespace lathe::compress
