// DataBridge for C++17: handles that free themselves, failures as exceptions. Only
// wrappers around databridge.h, so that it binds to no C++ ABI.

#ifndef DATABRIDGE_HPP
#define DATABRIDGE_HPP

#include <databridge.h>

#include <cmath>
#include <exception>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>

namespace databridge {

// A call that failed: what happened, its stable code, and what to do next.
class Error : public std::runtime_error {
public:
    Error(databridge_status status, std::string report = {})
        : std::runtime_error(text(databridge_error_message())), status(status),
          code(text(databridge_error_code())), hint(text(databridge_error_hint())),
          report(std::move(report)) {}

    const databridge_status status;
    const std::string code;
    const std::string hint;
    const std::string report; // JSON, of a verification that did not succeed

private:
    static std::string text(const char *text) { return text ? text : ""; }
};

struct Progress {
    uint64_t files, total_files, bytes, total_bytes;
};

// `false` stops the call. May throw: the call stops and the exception comes out of it.
using Listener = std::function<bool(const Progress &)>;

namespace detail {

struct Free {
    void operator()(char *text) const noexcept { databridge_string_free(text); }
    void operator()(databridge_client *client) const noexcept { databridge_client_free(client); }
    void operator()(databridge_stop *stop) const noexcept { databridge_stop_free(stop); }
};

// Takes what a call hands over as `out`, also when it fails.
template <class Call> std::string text(Call call) {
    char *out = nullptr;
    const databridge_status status = call(&out);
    const std::unique_ptr<char, Free> owned(out);
    std::string answer = owned ? owned.get() : "";
    if (status != DATABRIDGE_STATUS_OK) {
        throw Error(status, std::move(answer));
    }
    return answer;
}

// No exception may cross the library: it is kept on this side of it.
class Bridge {
public:
    explicit Bridge(const Listener &listener) : listener(listener) {}

    databridge_progress function() const { return listener ? &told : nullptr; }

    template <class Call> std::string run(Call call) {
        try {
            return text(call);
        } catch (const Error &) {
            if (thrown) {
                std::rethrow_exception(thrown);
            }
            throw;
        }
    }

private:
    static bool told(void *self, uint64_t files, uint64_t total_files, uint64_t bytes,
                     uint64_t total_bytes) noexcept {
        auto *bridge = static_cast<Bridge *>(self);
        try {
            return bridge->listener({files, total_files, bytes, total_bytes});
        } catch (...) {
            bridge->thrown = std::current_exception();
            return false;
        }
    }

    const Listener &listener;
    std::exception_ptr thrown;
};

inline const char *maybe(const std::string &text) { return text.empty() ? nullptr : text.c_str(); }

} // namespace detail

// The value at `pointer` (RFC 6901) of a JSON text.
inline std::string value(const std::string &json, const std::string &pointer) {
    return detail::text(
        [&](char **out) { return databridge_json_text(json.c_str(), pointer.c_str(), out); });
}

// A wish to stop, raised from any thread.
class Stop {
public:
    Stop() {
        databridge_stop *out = nullptr;
        if (const auto status = databridge_stop_new(&out); status != DATABRIDGE_STATUS_OK) {
            throw Error(status);
        }
        handle.reset(out);
    }
    void raise() { databridge_stop_raise(handle.get()); }
    const databridge_stop *get() const { return handle.get(); }

private:
    std::unique_ptr<databridge_stop, detail::Free> handle;
};

// Each answers JSON, as databridge.h says; `options` is JSON or empty.

inline std::string checksum_file(const std::string &file, const std::string &options = {},
                                 const Listener &listener = {}, const Stop *stop = nullptr) {
    detail::Bridge bridge(listener);
    return bridge.run([&](char **out) {
        return databridge_checksum_file(file.c_str(), detail::maybe(options), bridge.function(),
                                        &bridge, stop ? stop->get() : nullptr, out);
    });
}

inline std::string checksum_tree(const std::string &root, const std::string &options = {},
                                 const Listener &listener = {}, const Stop *stop = nullptr) {
    detail::Bridge bridge(listener);
    return bridge.run([&](char **out) {
        return databridge_checksum_tree(root.c_str(), detail::maybe(options), bridge.function(),
                                        &bridge, stop ? stop->get() : nullptr, out);
    });
}

inline std::string verified_copy(const std::string &source, const std::string &destination,
                                 const std::string &options = {},
                                 const Listener &listener = {}, const Stop *stop = nullptr) {
    detail::Bridge bridge(listener);
    return bridge.run([&](char **out) {
        return databridge_copy(source.c_str(), destination.c_str(), detail::maybe(options),
                               bridge.function(), &bridge, stop ? stop->get() : nullptr, out);
    });
}

// Throws where not everything is right; Error::report then says what is not.
inline std::string verify(const std::string &root, const std::string &list,
                          const std::string &options = {}, const Listener &listener = {},
                          const Stop *stop = nullptr) {
    detail::Bridge bridge(listener);
    return bridge.run([&](char **out) {
        return databridge_verify(root.c_str(), list.c_str(), detail::maybe(options),
                                 bridge.function(), &bridge, stop ? stop->get() : nullptr, out);
    });
}

// A daemon. Several threads may use one at a time.
class Client {
public:
    explicit Client(const std::string &url, const std::string &token = {}) {
        databridge_client *out = nullptr;
        const auto status = databridge_client_new(url.c_str(), detail::maybe(token), &out);
        if (status != DATABRIDGE_STATUS_OK) {
            throw Error(status);
        }
        handle.reset(out);
    }

    std::string call(const std::string &op, const std::string &fields = {},
                     const std::string &key = {}) const {
        return detail::text([&](char **out) {
            return databridge_client_call(handle.get(), op.c_str(), detail::maybe(fields),
                                          detail::maybe(key), out);
        });
    }

    std::string create(const std::string &title, const std::string &project,
                       const std::string &category, const std::string &key = {}) const {
        return detail::text([&](char **out) {
            return databridge_transfer_create(handle.get(), title.c_str(), project.c_str(),
                                              category.c_str(), detail::maybe(key), out);
        });
    }

    std::string add(const std::string &code, const std::string &source,
                    const Listener &listener = {}, const Stop *stop = nullptr) const {
        detail::Bridge bridge(listener);
        return bridge.run([&](char **out) {
            return databridge_transfer_add(handle.get(), code.c_str(), source.c_str(),
                                           bridge.function(), &bridge,
                                           stop ? stop->get() : nullptr, out);
        });
    }

    std::string submit(const std::string &code, const std::string &key = {}) const {
        return detail::text([&](char **out) {
            return databridge_transfer_submit(handle.get(), code.c_str(), detail::maybe(key), out);
        });
    }

    std::string status(const std::string &code) const {
        return detail::text([&](char **out) {
            return databridge_transfer_status(handle.get(), code.c_str(), out);
        });
    }

    std::string wait(const std::string &code, double timeout_seconds = INFINITY,
                     const Stop *stop = nullptr) const {
        return detail::text([&](char **out) {
            return databridge_transfer_wait(handle.get(), code.c_str(), timeout_seconds,
                                            stop ? stop->get() : nullptr, out);
        });
    }

    std::string receipt(const std::string &code) const {
        return detail::text([&](char **out) {
            return databridge_transfer_receipt(handle.get(), code.c_str(), out);
        });
    }

private:
    std::unique_ptr<databridge_client, detail::Free> handle;
};

} // namespace databridge

#endif
