/** The pass-through in workerd, alone. */
import { createBare } from './handlers.ts'
import { toWorker } from './worker.ts'

export default toWorker(createBare)
