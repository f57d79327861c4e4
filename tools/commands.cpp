#include "lathe/tools/commands.h"

namespace lathe::tools {

int& exit_code() {
    static int code = 0;
    return code;
}

}  // namespace lathe::tools
