// tus-js-client as one module without further imports: resumable sending of large files.

export { Upload } from "tus-js-client";
