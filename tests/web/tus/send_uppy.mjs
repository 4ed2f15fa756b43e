// Uppy with its tus plugin: `node send_uppy.mjs OPTIONS`, the options as JSON. Ends with 0 when it says that all files are uploaded.

import fs from 'node:fs'
import path from 'node:path'
import Uppy from '@uppy/core'
import Tus from '@uppy/tus'

const { endpoint, file, headers, metadata, chunkSize } = JSON.parse(process.argv[2])

const uppy = new Uppy({ autoProceed: false, meta: metadata })
uppy.use(Tus, {
  endpoint,
  headers,
  chunkSize: chunkSize ?? Number.POSITIVE_INFINITY,
  retryDelays: Array(200).fill(100),
  allowedMetaFields: true,
})
const data = Buffer.concat(await Array.fromAsync(fs.createReadStream(file, { highWaterMark: 1 << 24 })))
data.size = data.length // what a browser's File has
uppy.addFile({ name: metadata.filename ?? path.basename(file), type: 'application/octet-stream', data })
const { failed } = await uppy.upload()
for (const { error } of failed) console.error(error)
process.exit(failed.length ? 1 : 0)
