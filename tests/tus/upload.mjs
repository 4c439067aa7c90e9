// Uploads a file by tus-js-client, which goes on by itself however often the way breaks.
//
// upload.mjs ENDPOINT TOKEN FILE PATH CHUNK_BYTES [deferred]
import fs from "node:fs";
import { createRequire } from "node:module";
import { PassThrough } from "node:stream";

// As installed beside the other tools.
const tus = createRequire(`${process.env.NODE_PATH}/`)("tus-js-client");
const [endpoint, token, file, path, chunk, deferred] = process.argv.slice(2);
// Of a file the client knows where it ends; of what comes out of a pipe it does not.
const source = fs.createReadStream(file);
const upload = new tus.Upload(deferred ? source.pipe(new PassThrough()) : source, {
  endpoint,
  headers: { Authorization: `Bearer ${token}` },
  metadata: { path },
  chunkSize: Number(chunk),
  ...(deferred ? { uploadLengthDeferred: true } : { uploadSize: fs.statSync(file).size }),
  retryDelays: Array(600).fill(100),
  onError: (error) => {
    console.error(error);
    process.exit(1);
  },
  onSuccess: () => console.log(upload.url),
});
upload.start();
