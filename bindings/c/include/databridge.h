/*
 * DataBridge for C and C++. Made from bindings/c/src; a test keeps it fresh.
 * docs/c.md has the rules that hold for all functions.
 */

#ifndef DATABRIDGE_H
#define DATABRIDGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 Grows when a program that was compiled against an earlier header would no longer
 work; functions and fields of JSON texts are added without that.
 */
#define DATABRIDGE_ABI_VERSION 1

/*
 What came of a call. The numbers never change; a new one may come.
 */
enum databridge_status
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /*
     It is done.
     */
    DATABRIDGE_STATUS_OK = 0,
    /*
     The input is wrong and will stay wrong.
     */
    DATABRIDGE_STATUS_INVALID = 1,
    /*
     Nobody is signed in, or the token is not accepted.
     */
    DATABRIDGE_STATUS_UNAUTHENTICATED = 2,
    /*
     Known, but not allowed.
     */
    DATABRIDGE_STATUS_FORBIDDEN = 3,
    /*
     There is no such thing, or none that the caller may see.
     */
    DATABRIDGE_STATUS_NOT_FOUND = 4,
    /*
     Somebody else was first, or something already stands there.
     */
    DATABRIDGE_STATUS_CONFLICT = 5,
    /*
     The subject is in a state that does not allow this.
     */
    DATABRIDGE_STATUS_ILLEGAL_STATE = 6,
    /*
     A check ran and failed: mismatch, infected, tampered, missing.
     */
    DATABRIDGE_STATUS_CHECK_FAILED = 7,
    /*
     A check could not come to a verdict.
     */
    DATABRIDGE_STATUS_UNDECIDED = 8,
    /*
     Too many requests.
     */
    DATABRIDGE_STATUS_RATE_LIMITED = 9,
    /*
     A service or host that is needed does not answer now.
     */
    DATABRIDGE_STATUS_UNAVAILABLE = 10,
    /*
     Reading or writing failed.
     */
    DATABRIDGE_STATUS_IO = 11,
    /*
     Somebody asked to stop, or the time was over.
     */
    DATABRIDGE_STATUS_CANCELLED = 12,
    /*
     A defect of DataBridge.
     */
    DATABRIDGE_STATUS_INTERNAL = 13,
    /*
     The subject was changed since the version that the caller names.
     */
    DATABRIDGE_STATUS_OUTDATED = 14,
    /*
     The caller must name the version that they looked at.
     */
    DATABRIDGE_STATUS_UNCONDITIONAL = 15,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum databridge_status databridge_status;
#else
typedef int32_t databridge_status;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/*
 A daemon, and who we are to it. Several threads may use one at a time.
 */
typedef struct databridge_client databridge_client;

/*
 The wish to stop, for calls that take one. May be raised from any thread, also in a
 signal handler of a thread that makes no call.
 */
typedef struct databridge_stop databridge_stop;

/*
 Told about ten times a second how far a call is, on the thread that made the call;
 files and bytes count from nothing again when a copy begins to read back. Once more at
 the end of a call that succeeds. `false` stops the call, which then answers
 DATABRIDGE_STATUS_CANCELLED. It must return: neither throw nor longjmp.
 */
typedef bool (*databridge_progress)(void *context,
                                    uint64_t files,
                                    uint64_t total_files,
                                    uint64_t bytes,
                                    uint64_t total_bytes);

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/*
 The ABI version of the library that is loaded: compare it with
 DATABRIDGE_ABI_VERSION of the header. From any thread.
 */
uint32_t databridge_abi_version(void);

/*
 The library's version, such as `0.1.0`; not to be freed. From any thread.
 */
const char *databridge_version(void);

/*
 What went wrong in the last call of the calling thread that failed, with its causes;
 NULL before the first. Stays valid until the next call that fails on this thread; not
 to be freed. From any thread, each has its own.
 */
const char *databridge_error_message(void);

/*
 The stable code of that failure, such as `copy.no_space` (docs/errors.md lists them).
 Lives and is shared as the message.
 */
const char *databridge_error_code(void);

/*
 What to do next about that failure, in one sentence; may be NULL. Lives and is shared as
 the message.
 */
const char *databridge_error_hint(void);

/*
 Frees a text that was handed over as `out`; NULL does no harm. From any thread.

 Required: `text` is NULL or such a text, and is not used again.
 */
void databridge_string_free(char *text);

/*
 One value of a JSON text: the text, or the JSON, at `pointer` (RFC 6901), such as
 `/state` or `/digests/sha256`. DATABRIDGE_STATUS_NOT_FOUND where there is none, or null.
 From any thread.

 Required: `json` and `pointer` are NULL or end with a NUL; `out` is NULL or can be written.
 */
databridge_status databridge_json_text(const char *json, const char *pointer, char **out);

/*
 Makes a wish to stop that nobody has yet. From any thread.

 Required: `out` is NULL or can be written.
 */
databridge_status databridge_stop_new(databridge_stop **out);

/*
 Asks every call that was given `stop`, or will be, to end soon. From any thread, also
 while such calls run.

 Required: `stop` is NULL or lives.
 */
databridge_status databridge_stop_raise(const databridge_stop *stop);

/*
 Frees it; NULL does no harm. From any thread, once no call uses it.

 Required: `stop` is NULL or came from databridge_stop_new, and is not used again.
 */
void databridge_stop_free(databridge_stop *stop);

/*
 The digests of a file, read once: `{"size_bytes", "digests": {"sha256", …}}`.
 `options` is NULL or JSON: `algorithms` besides SHA-256 (sha512, sha1, md5, c4, xxh64,
 xxh3, xxh128, blake3). From any thread.

 Required: Texts are NULL or end with a NUL, `stop` is NULL or lives, `out` is NULL or can be
 written, `progress` is NULL or may be called with `context`.
 */
databridge_status databridge_checksum_file(const char *file,
                                           const char *options,
                                           databridge_progress progress,
                                           void *context,
                                           const databridge_stop *stop,
                                           char **out);

/*
 The digests of every file below a folder, sorted by path:
 `[{"path", "size_bytes", "digests"}, …]`. `options` as for a file, and `jobs`, the files
 read at a time (1 at least). From any thread.

 Required: As databridge_checksum_file.
 */
databridge_status databridge_checksum_tree(const char *root,
                                           const char *options,
                                           databridge_progress progress,
                                           void *context,
                                           const databridge_stop *stop,
                                           char **out);

/*
 Copies a file or a folder to a path that does not exist yet: what stands there
 afterwards was read back and compared, or nothing stands there. Answers the report that
 `databridge copy --json` prints. `options` is NULL or JSON: `resume` (true), `algorithms`,
 `jobs`, `limit_bytes_per_second`, `file_mode`, `dir_mode` ("0644"), `keep_mode`,
 `keep_mtime` (true), `keep_dir_mtime`, `xattrs` (["user"]), `acls`,
 `tolerate_attributes`, `owner` ("user:group"), `readable_by`. From any thread.

 Required: As databridge_checksum_file.
 */
databridge_status databridge_copy(const char *source,
                                  const char *destination,
                                  const char *options,
                                  databridge_progress progress,
                                  void *context,
                                  const databridge_stop *stop,
                                  char **out);

/*
 Holds a folder against a list: SHA256SUMS and its like, a folder with ASC MHL, MHL 1.1,
 a bag, JSON. DATABRIDGE_STATUS_OK only where everything was looked at and is right.
 Otherwise DATABRIDGE_STATUS_CHECK_FAILED or DATABRIDGE_STATUS_UNDECIDED, and `out` has
 the report all the same: `{"verified", "complete", "files", "differences": [{"path",
 "what"}, …], …}`. `options` is NULL or JSON: `jobs`, `from_device` (true),
 `limit_bytes_per_second`, `seconds` after which to stop, undecided. From any thread.

 Required: As databridge_checksum_file.
 */
databridge_status databridge_verify(const char *root,
                                    const char *list,
                                    const char *options,
                                    databridge_progress progress,
                                    void *context,
                                    const databridge_stop *stop,
                                    char **out);

/*
 A daemon at `url` (`https://…`), used with a token or an API key; `token` may be NULL.
 Nothing is sent yet. From any thread.

 Required: Texts are NULL or end with a NUL; `out` is NULL or can be written.
 */
databridge_status databridge_client_new(const char *url,
                                        const char *token,
                                        databridge_client **out);

/*
 Frees it; NULL does no harm. From any thread, once no call uses it.

 Required: `client` is NULL or came from databridge_client_new, and is not used again.
 */
void databridge_client_free(databridge_client *client);

/*
 Any call of docs/rest.md by its name, with its fields as a JSON object; `fields` may be
 NULL. With `key` (may be NULL) a call that is made twice is done once. Lost connections
 and answers of 5xx are tried again twice. From any thread.

 Required: Texts are NULL or end with a NUL, `client` is NULL or lives, `out` is NULL or can be
 written.
 */
databridge_status databridge_client_call(const databridge_client *client,
                                         const char *op,
                                         const char *fields,
                                         const char *key,
                                         char **out);

/*
 Makes a transfer and answers its code (`TRF-00042`). `key` as for
 databridge_client_call. From any thread.

 Required: As databridge_client_call.
 */
databridge_status databridge_transfer_create(const databridge_client *client,
                                             const char *title,
                                             const char *project,
                                             const char *category,
                                             const char *key,
                                             char **out);

/*
 Adds a file, or everything in a folder, to a transfer; answers the transfer. From any
 thread.

 Required: As databridge_client_call; `stop` is NULL or lives, `progress` is NULL or may be called
 with `context`.
 */
databridge_status databridge_transfer_add(const databridge_client *client,
                                          const char *code,
                                          const char *source,
                                          databridge_progress progress,
                                          void *context,
                                          const databridge_stop *stop,
                                          char **out);

/*
 Asks for review; answers the transfer. `key` as for databridge_client_call. From any
 thread.

 Required: As databridge_client_call.
 */
databridge_status databridge_transfer_submit(const databridge_client *client,
                                             const char *code,
                                             const char *key,
                                             char **out);

/*
 Everything about a transfer; `/state` says where it stands (docs/transfer.md). From any
 thread.

 Required: As databridge_client_call.
 */
databridge_status databridge_transfer_status(const databridge_client *client,
                                             const char *code,
                                             char **out);

/*
 The signed receipt of a delivered transfer, as a DSSE envelope. From any thread.

 Required: As databridge_client_call.
 */
databridge_status databridge_transfer_receipt(const databridge_client *client,
                                              const char *code,
                                              char **out);

/*
 Waits until a transfer waits for a person, stands still or is at its end; answers it.
 After `timeout_seconds` (INFINITY waits for ever), or once `stop` (may be NULL) is
 raised: DATABRIDGE_STATUS_CANCELLED, and the daemon's work goes on. A step that failed
 is a state, and no failure of this call. From any thread.

 Required: As databridge_client_call; `stop` is NULL or lives.
 */
databridge_status databridge_transfer_wait(const databridge_client *client,
                                           const char *code,
                                           double timeout_seconds,
                                           const databridge_stop *stop,
                                           char **out);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* DATABRIDGE_H */
