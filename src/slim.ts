/** The script-tag face for those who track in JavaScript alone. */
import './install.ts'

export type { QueuedCall, TagOptions } from './install.ts'
