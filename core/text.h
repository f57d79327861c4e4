#pragma once
#include <locale>
#include <sstream>
#include <string>
#include <vector>

namespace lathe {

// A stream for text that machines read: the same bytes whatever locale the program has set.
class TextStream : public std::ostringstream {
public:
    TextStream() { imbue(std::locale::classic()); }
};

// The text on one line, for a terminal or a log: control characters (an escape sequence, say) and bytes that are not
// UTF-8 are spelled "\n" or "\x1b". Twice is the same as once.
std::string printable(const std::string& text);

// The text, or its beginning and end with "…" between them when it has more than `most` bytes; characters stay whole.
std::string shortened(const std::string& text, size_t most);

// "ants, bees, cats"
std::string joined(const std::vector<std::string>& words, const char* between = ", ");

// The text as one word of a POSIX shell.
std::string shell_quoted(const std::string& text);

bool is_utf8(const std::string& text);

}  // namespace lathe
