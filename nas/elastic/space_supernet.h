#pragma once
#include "lathe/nas/elastic/supernet.h"
#include "lathe/nas/space/layers.h"

namespace lathe::nas {

// The supernet of a design space: the largest network of it, whose subnets are the space's archs. Its choices are an
// Arch's numbers: image_size, wid, ks[0], …, e[0], …, d[0], ….
class SpaceSupernet : public Supernet {
public:
    explicit SpaceSupernet(const Space& space, int64_t classes = 0);  // classes of 0: as many as usual

    const Space& space() const { return space_; }  // with the number of classes that the network has
    Subnet subnet(const Arch& arch) const;  // Error: none of the space
    Arch arch(const Subnet& subnet) const;
    std::string str(const Subnet& subnet) const override { return arch(subnet).str(); }

    // One file, which is a model like any other as well: the largest network.
    void save(const std::string& path);
    // Error: no such file, a damaged one, or none of a supernet; one line that names it.
    static std::unique_ptr<SpaceSupernet> load(const std::string& path);

private:
    std::vector<int> sizes(const Subnet& subnet) const override;

    struct Places {  // the parts of a block
        size_t expanded = 0, kernel = 0, squeezed = 0;  // 0: none
    };
    Space space_;
    size_t first_ = 0, second_ = 0;
    std::vector<size_t> widths_, depths_;  // of stages
    std::vector<Places> blocks_;           // at full depth
};

}  // namespace lathe::nas
