// tus-js-client as its documentation shows it: `node send_tus_js.mjs OPTIONS`, the options as JSON. Ends with 0 when it says that the upload is done.

import fs from 'node:fs'
import { PassThrough } from 'node:stream'
import * as tus from 'tus-js-client'

const { endpoint, file, headers, metadata, chunkSize, uploadDataDuringCreation, deferred } = JSON.parse(process.argv[2])

// Of a file the client knows the length; a length is told later for what comes through a pipe.
const source = deferred ? fs.createReadStream(file).pipe(new PassThrough()) : fs.createReadStream(file)
const upload = new tus.Upload(source, {
  endpoint,
  headers,
  metadata,
  chunkSize: chunkSize ?? Number.POSITIVE_INFINITY,
  uploadSize: deferred ? null : fs.statSync(file).size,
  uploadLengthDeferred: deferred ?? false,
  uploadDataDuringCreation: uploadDataDuringCreation ?? false,
  retryDelays: Array(200).fill(100),
  onError: (error) => {
    console.error(String(error))
    process.exit(1)
  },
  onSuccess: () => process.exit(0),
})
upload.start()
