// Misuse of the library from C++: what must be answered, and (with an argument) what a
// sanitizer must see, or else it would not see anything.

#include <databridge.hpp>

#include <atomic>
#include <cassert>
#include <cstring>
#include <fstream>
#include <iostream>
#include <thread>
#include <vector>

namespace {

using namespace databridge;

template <class Call> void fails(Call call, databridge_status status, const std::string &code) {
    try {
        call();
    } catch (const Error &error) {
        if (error.status != status || error.code != code || error.hint.empty()) {
            std::cerr << error.status << " " << error.code << ": " << error.what() << "\n";
            std::abort();
        }
        return;
    }
    std::cerr << "no " << code << "\n";
    std::abort();
}

void bad_input(const std::string &folder) {
    const auto null = [](auto call) {
        fails([&] { detail::text(call); }, DATABRIDGE_STATUS_INVALID, "c.null");
    };
    null([](char **) {
        return databridge_checksum_file("x", nullptr, nullptr, nullptr, nullptr, nullptr);
    });
    null([](char **out) {
        return databridge_copy(nullptr, "y", nullptr, nullptr, nullptr, nullptr, out);
    });
    null([](char **out) { return databridge_transfer_status(nullptr, "TRF-00001", out); });
    null([](char **) { return databridge_client_new("http://x", nullptr, nullptr); });
    fails([&] { checksum_file(folder + "/none"); }, DATABRIDGE_STATUS_NOT_FOUND,
          "storage.not_found");
    fails([&] { checksum_file(folder); }, DATABRIDGE_STATUS_INVALID, "storage.not_a_file");
    fails([&] { checksum_tree(folder + "/none"); }, DATABRIDGE_STATUS_NOT_FOUND,
          "storage.not_found");
    fails([&] { verified_copy(folder + "/none", folder + "/x"); }, DATABRIDGE_STATUS_NOT_FOUND,
          "copy.source_missing");
    for (const char *options :
         {"{", "[]", "{\"oops\": 1}", "{\"jobs\": -1}", "{\"jobs\": 0}", "\xff"}) {
        try {
            verified_copy(folder, folder + "/x", options);
            std::abort();
        } catch (const Error &error) {
            assert(error.status == DATABRIDGE_STATUS_INVALID);
        }
    }
    fails([&] { verified_copy(folder, folder + "/x", "{\"file_mode\": \"4755\"}"); },
          DATABRIDGE_STATUS_INVALID, "copy.policy");
    fails([] { value("{}", "/state"); }, DATABRIDGE_STATUS_NOT_FOUND, "c.no_value");
    fails([] { value("{", "/state"); }, DATABRIDGE_STATUS_INVALID, "c.argument");
    fails([] { Client("\xff\xfe"); }, DATABRIDGE_STATUS_INVALID, "c.not_utf8");
    fails([] { Client("http://127.0.0.1:1").status("TRF-00001"); },
          DATABRIDGE_STATUS_UNAVAILABLE, "remote.unreachable");
    fails([] { Client("http://127.0.0.1:1").call("no_such_call"); }, DATABRIDGE_STATUS_INVALID,
          "c.call");
    fails([] { Client("http://127.0.0.1:1").wait("TRF-00001", -1); },
          DATABRIDGE_STATUS_INVALID, "c.argument");
    fails([] { Client("http://127.0.0.1:1").wait("TRF-00001", NAN); },
          DATABRIDGE_STATUS_INVALID, "c.argument");
    databridge_string_free(nullptr);
    databridge_client_free(nullptr);
    databridge_stop_free(nullptr);
    assert(databridge_stop_raise(nullptr) == DATABRIDGE_STATUS_INVALID);
}

// A name that is no text is a path like any other.
void any_bytes(const std::string &folder) {
    const std::string name = folder + "/frame\xff.exr";
    std::ofstream(name) << "abc";
    const std::string found = checksum_file(name);
    assert(value(found, "/digests/sha256") ==
           "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

struct Mine {};

// Whoever listens stops the copy, by an answer or by an exception; nothing is left.
void stopping(const std::string &folder) {
    const std::string source = folder + "/large", slow = R"({"limit_bytes_per_second": 1000,
        "resume": false})";
    std::ofstream(source) << std::string(1 << 20, 'x');
    const auto no = [](const Progress &) { return false; };
    fails([&] { verified_copy(source, folder + "/no", slow, no); },
          DATABRIDGE_STATUS_CANCELLED, "copy.cancelled");
    bool caught = false;
    try {
        const auto throws = [](const Progress &) -> bool { throw Mine(); };
        verified_copy(source, folder + "/no", slow, throws);
    } catch (const Mine &) {
        caught = true;
    }
    assert(caught);
    Stop stop;
    std::thread other([&] { stop.raise(); });
    fails([&] { verified_copy(source, folder + "/no", slow, {}, &stop); }, DATABRIDGE_STATUS_CANCELLED,
          "copy.cancelled");
    other.join();
    assert(!std::ifstream(folder + "/no"));
}

// Each thread has its own last failure, and several work at a time.
void threads(const std::string &folder) {
    std::vector<std::thread> all;
    std::atomic<int> right = 0;
    for (int i = 0; i < 8; ++i) {
        all.emplace_back([&, i] {
            assert(databridge_error_message() == nullptr);
            const std::string name = folder + "/none" + std::to_string(i);
            try {
                checksum_file(name);
            } catch (const Error &error) {
                right += std::strstr(error.what(), name.c_str()) != nullptr;
            }
            checksum_tree(folder + "/tree");
        });
    }
    for (auto &thread : all) {
        thread.join();
    }
    assert(right == 8);
}

void verification(const std::string &folder) {
    const std::string tree = folder + "/tree", list = folder + "/SHA256SUMS";
    std::ofstream(list) << "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
                        << "  a\n";
    assert(value(verify(tree, list), "/verified") == "true");
    std::ofstream(tree + "/a") << "other";
    try {
        verify(tree, list);
        std::abort();
    } catch (const Error &error) {
        assert(error.status == DATABRIDGE_STATUS_CHECK_FAILED && error.code == "c.differs");
        assert(value(error.report, "/differences/0/path") == "a");
    }
}

} // namespace

int main(int, char **argv) {
    const std::string folder = argv[1];
    const std::string what = argv[2] ? argv[2] : "";
    if (what == "leak" || what == "twice") {
        char *out = nullptr;
        databridge_checksum_tree((folder + "/tree").c_str(), nullptr, nullptr, nullptr, nullptr,
                                 &out);
        if (what == "twice") {
            databridge_string_free(out);
            databridge_string_free(out);
        }
        out = nullptr; // the only pointer to it
        return 0;
    }
    bad_input(folder);
    any_bytes(folder);
    threads(folder);
    stopping(folder);
    verification(folder);
    std::cout << "as it should be\n";
}
