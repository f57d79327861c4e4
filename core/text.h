#pragma once
#include <initializer_list>
#include <locale>
#include <ostream>
#include <sstream>
#include <string>
#include <vector>

namespace lathe {

// A stream for text that machines read: the same bytes whatever locale the program has set.
class TextStream : public std::ostringstream {
public:
    TextStream() { imbue(std::locale::classic()); }
};

namespace detail {
// One part of a text: a value, which must outlive it, and how it is written. Without the value's type, so that all
// of the library's messages share one function: a stream in each of them would take a fifth of the time to compile.
class Part {
public:
    Part(const char* text) : value_(text), write_(nullptr) {}
    template <class T>
    Part(const T& value)
        : value_(&value), write_([](std::ostream& out, const void* v) { out << *static_cast<const T*>(v); }) {}

    void write(std::ostream& out) const {
        if (write_)
            write_(out, value_);
        else
            out << static_cast<const char*>(value_);
    }

private:
    const void* value_;
    void (*write_)(std::ostream&, const void*);
};

std::string concatenated(std::initializer_list<Part> parts);
}  // namespace detail

// The values one after the other, as a TextStream writes them.
template <class... Values>
std::string concatenated(const Values&... values) {
    return detail::concatenated({detail::Part(values)...});
}

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
