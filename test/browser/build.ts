import { build } from '../../build.mjs'

/** Playwright's global set-up: what is tested is what the source says now. Declarations are left to `npm run build`. */
export default async (): Promise<void> => void (await build())
