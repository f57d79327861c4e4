#include "lathe/nas/predict/accuracy_table.h"

#include "lathe/tests/fuzz/fuzz.h"

// Both forms of a table of accuracies, and with them architectures as JSON.
namespace lathe::fuzz {

std::vector<std::string> seeds() {
    const std::string ks(20, '3'), e(20, '4');
    return {"resolution,wid,ks,e,d,acc\n96,0," + ks + "," + e + ",012012,91.5\n",
            "[[" + nas::mcunetv2().smallest().str() + ", 91.5]]"};
}

void read(Bytes bytes) {
    const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    nas::parse_accuracy_table(nas::mcunetv2(), text, "fuzz");
}

}  // namespace lathe::fuzz
