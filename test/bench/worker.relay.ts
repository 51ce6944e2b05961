/** The relay in workerd, alone. */
import { createOurs } from './handlers.ts'
import { toWorker } from './worker.ts'

export default toWorker(createOurs)
