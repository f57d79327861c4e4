#include "lathe/tools/training_data.h"

#include <algorithm>

#include "lathe/core/text_table.h"
#include "lathe/tools/checks.h"
#include "lathe/tools/task.h"

namespace lathe::tools {

std::string TrainingData::describe() const {
    return train.describe() + "\nvalidation: " + with_commas(validation.size()) + " images, " + note +
           (test ? "\n" + test->describe() : "") + "\n";
}

void TrainingData::label_for(const nn::Model& model) {
    for (data::Dataset* images : {&train, &plain, &validation}) *images = labelled_for(model, *images);
    if (test) test = labelled_for(model, *test);
}

void TrainingDataOptions::add_to(CLI::App& c) {
    DataOptions::add_to(c);
    c.get_option("--data")->required(false);  // a resumed run knows it
    c.add_option("--augment", augment,
                 "Of the training images: crop:4,flip,cutout:8,jitter:0.2,resized-crop:0.25, none, or auto (what suits "
                 "the data)")
        ->capture_default_str();
    c.add_option("--limit", limit, "Take N training images only, drawn by the seed; 0: all")
        ->check(NonNegativeNumber)
        ->capture_default_str();
    c.add_option("--validation", validation,
                 "Share of the training images held out to choose the best epoch by, where the data has no val/ of its "
                 "own; 0: the test images choose it")
        ->check(CLI::Range(0.0, 0.9))
        ->capture_default_str();
}

TrainingData TrainingDataOptions::open(const ImageForm& form, uint64_t seed) const {
    data::Collection collection(data, root);
    // What cannot be read is known before training begins.
    const auto images = [&](data::Split split) {
        const data::Dataset all = DataOptions::open(collection, split, form);
        return all.without(damaged(all));
    };
    const auto limited = [&](const data::Dataset& all) { return limit ? all.sample(limit, seed) : all; };
    const data::Dataset whole = limited(DataOptions::open(collection, data::Split::train, form));
    const std::vector<int64_t> unread = damaged(whole);
    const data::Dataset plain = whole.without(unread);
    const data::Dataset train =
        limited(DataOptions::open(collection, data::Split::train, form, augment)).without(unread);
    const data::Dataset test = images(data::Split::test);
    const std::vector<data::Split> own = collection.splits();
    if (std::find(own.begin(), own.end(), data::Split::validation) != own.end()) {
        if (own.back() != data::Split::test)
            return {train, plain, test, {}, "the folder's own, which has no other test images"};
        if (validation > 0) return {train, plain, images(data::Split::validation), test, "the folder's own"};
    }
    if (validation == 0) return {train, plain, test, {}, "the test images (--validation 0)"};
    const auto [kept, held_out] = plain.hold_out(validation, seed);
    return {train.hold_out(validation, seed).first, kept, held_out, test,
            format("%g%% of the training images, held out", 100 * validation)};
}

}  // namespace lathe::tools
