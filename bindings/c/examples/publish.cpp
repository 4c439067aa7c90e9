// Publishes a shot: checksums, a verified copy into an archive, and a transfer at a
// daemon, up to the point where somebody has to review it.
//
//   make install-c PREFIX=$HOME/.local
//   g++ -std=c++17 publish.cpp -o publish $(pkg-config --cflags --libs databridge)
//   ./publish http://127.0.0.1:8080 TOKEN SHOT ARCHIVE
//   ./publish http://127.0.0.1:8080 TOKEN --receipt TRF-00042

#include <databridge.hpp>

#include <iostream>
#include <string>

namespace {

using namespace databridge;

void publish(const Client &daemon, const std::string &shot, const std::string &archive) {
    // What is in it, and that it arrives in the archive as it is here.
    const std::string files = checksum_tree(shot, R"({"algorithms": ["xxh128"]})");
    std::cout << "first file " << value(files, "/0/path") << ", SHA-256 "
              << value(files, "/0/digests/sha256") << "\n";
    uint64_t told = 0;
    const std::string report = verified_copy(shot, archive, {}, [&told](const Progress &now) {
        ++told;
        std::cerr << now.files << "/" << now.total_files << " files\n";
        return true;
    });
    std::cout << "copied " << value(report, "/bytes") << " bytes, read back, told "
              << (told > 0 ? "on the way" : "never") << "\n";

    // Once more would replace something, which no copy does.
    try {
        verified_copy(shot, archive);
        throw std::logic_error("the archive was replaced");
    } catch (const Error &error) {
        std::cout << "refused: " << error.code << "\n";
    }

    // A transfer, up to its first review.
    const std::string code = daemon.create("shot 010", "film", "plates");
    daemon.add(code, shot, [](const Progress &now) { return now.files <= now.total_files; });
    daemon.submit(code);
    const std::string standing = daemon.wait(code, 60);
    std::cout << code << " is in " << value(standing, "/state") << "\n";
}

} // namespace

int main(int argc, char **argv) try {
    if (databridge_abi_version() != DATABRIDGE_ABI_VERSION || argc != 5) {
        std::cerr << "usage: publish URL TOKEN SHOT ARCHIVE | URL TOKEN --receipt CODE\n";
        return 2;
    }
    const Client daemon(argv[1], argv[2]);
    if (std::string(argv[3]) == "--receipt") {
        daemon.wait(argv[4], 60);
        std::cout << daemon.receipt(argv[4]) << "\n";
    } else {
        publish(daemon, argv[3], argv[4]);
    }
    return 0;
} catch (const databridge::Error &error) {
    std::cerr << "error: " << error.what() << " (" << error.code << ")\n";
    if (!error.hint.empty()) {
        std::cerr << "hint: " << error.hint << "\n";
    }
    return 1;
}
