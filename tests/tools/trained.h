#pragma once
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "command.h"

namespace testing {

// A trained model, from which runs of `lathe quantize` begin.
struct Trained {
    const Folder folder;
    std::string model = folder / "base/best.safetensors";

    Trained() {
        REQUIRE(lathe("train --model lenet5 --data shapes --limit 512 --epochs 1 --batch 64 --out " + (folder / "base"))
                    .code == 0);
    }
    std::string quantize(const std::string& more, const std::string& out) const {
        return "quantize --model " + model + " --data shapes --limit 512 --batch 64 " + more + " --out " +
               (folder / out);
    }
};

// The file is a model like any other.
inline void check_usable(const Folder& folder, const std::string& file) {
    CHECK(lathe("eval --json --data shapes --model " + file).code == 0);
    write_bmp(folder / "grey.bmp");
    CHECK(lathe("predict --json --model " + file + " " + (folder / "grey.bmp")).code == 0);
    const Result again = lathe("train --init " + file + " --data shapes --limit 128 --epochs 1 --out " +
                               (folder / "again"));
    INFO(again.err);
    CHECK(again.code == 0);
}

// An interrupted run goes on to the same files, with the settings that it had.
inline void check_resumes(const Trained& base, const std::string& more, const std::vector<std::string>& files,
                          const std::string& name = {}) {
    const std::string whole = name + "whole", parts = name + "parts";
    REQUIRE(lathe(base.quantize(more, whole)).code == 0);
    const Result stopped = lathe(base.quantize(more, parts), base.folder / (parts + "/last.safetensors"));
    CHECK((stopped.code == 130 || stopped.code == 0));  // the machine may be too fast for the signal
    if (stopped.code == 130) CHECK(stopped.out.find("go on with: lathe quantize --out ") != std::string::npos);
    const Result resumed = lathe("quantize --resume --out " + (base.folder / parts));
    INFO(resumed.err);
    REQUIRE(resumed.code == 0);
    for (const std::string& file : files)
        CHECK(text_of(base.folder / (parts + "/" + file)) == text_of(base.folder / (whole + "/" + file)));
}

}  // namespace testing
