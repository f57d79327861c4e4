#pragma once
#include <string>
#include <vector>

#include "lathe/nas/space/space.h"

namespace lathe::nas {

// A subnet and what was measured of it.
struct Measured {
    Arch arch;
    double accuracy;  // a share, 0 to 1
};
using AccuracyTable = std::vector<Measured>;

// Reads a table of architectures and accuracies in percent, plain or gzip, in either form:
//   CSV   a header that names the columns resolution, wid, ks, e, d and acc, in any order, others beside them passed
//         over; lists are written as digits, "7533"; of a joint space also bits and kept, "8 4 3" and "100 20 50"
//   JSON  the course's own files: a list of pairs [{"wid":0,"ks":[…],…}, accuracy]
// Error: a column that is missing, a row with fewer fields, an arch that the space does not have, an accuracy that is
// not in [0, 100], no row. Names file and row.
AccuracyTable read_accuracy_table(const Space& space, const std::string& path);
// The same from a text; `name` stands for the file in errors.
AccuracyTable parse_accuracy_table(const Space& space, std::string_view text, const std::string& name);

// The table as CSV, with a further column "origin" of that text in every row.
std::string csv_of(const AccuracyTable& table, const std::string& origin);

}  // namespace lathe::nas
