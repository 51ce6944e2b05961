// The script: the relay serves it too.
export { GET, HEAD, POST, OPTIONS } from '../pristo/route.js'
